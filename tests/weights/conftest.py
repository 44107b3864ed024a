"""Toy state dicts under every source's names, written out by hand rather than by our tables."""

import logging
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from safetensors.torch import save_file
from torch import Tensor, nn

D, E, LAYERS = 6, 4, 11  # eleven blocks, so that numbers have two digits


def random(*shape: int) -> Tensor:
    return torch.randn(*shape)


def block_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Of a transformer block under OpenAI's names."""
    return {
        'ln_1.weight': (width,),
        'ln_1.bias': (width,),
        'attn.in_proj_weight': (3 * width, width),
        'attn.in_proj_bias': (3 * width,),
        'attn.out_proj.weight': (width, width),
        'attn.out_proj.bias': (width,),
        'ln_2.weight': (width,),
        'ln_2.bias': (width,),
        'mlp.c_fc.weight': (4 * width, width),
        'mlp.c_fc.bias': (4 * width,),
        'mlp.c_proj.weight': (width, 4 * width),
        'mlp.c_proj.bias': (width,),
    }


def clip_trunk() -> dict[str, Tensor]:
    """Our names: OpenAI's without ``visual.``."""
    tensors = {
        'class_embedding': random(D),
        'positional_embedding': random(5, D),
        'conv1.weight': random(D, 3, 2, 2),
        'ln_pre.weight': random(D),
        'ln_pre.bias': random(D),
        'ln_post.weight': random(D),
        'ln_post.bias': random(D),
        'proj': random(D, E),
    }
    for i in range(LAYERS):
        tensors |= {
            f'transformer.resblocks.{i}.{n}': random(*s) for n, s in block_shapes(D).items()
        }
    return tensors


def text() -> dict[str, Tensor]:
    """The text tower's names in OpenAI's files."""
    return {
        'positional_embedding': random(7, E),
        'token_embedding.weight': random(9, E),
        'transformer.resblocks.0.ln_1.weight': random(E),
        'transformer.resblocks.0.attn.in_proj_weight': random(3 * E, E),
        'ln_final.weight': random(E),
        'ln_final.bias': random(E),
        'text_projection': random(E, E),
        'logit_scale': torch.tensor(4.6),
    }


def openai(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    sizes = dict(input_resolution=224, context_length=77, vocab_size=49408)
    visual = {f'visual.{name}': tensor for name, tensor in trunk.items()}
    return visual | text() | {name: torch.tensor(size) for name, size in sizes.items()}


def open_clip(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """CustomTextCLIP, whose text tower is a module of its own."""
    visual = {f'visual.{name}': tensor for name, tensor in trunk.items()}
    own_text = {f'text.{name}': tensor for name, tensor in text().items() if name != 'logit_scale'}
    return visual | own_text | dict(logit_scale=torch.tensor(4.6), logit_bias=torch.tensor(-10.0))


def hf_vision(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIPVisionModelWithProjection of transformers."""
    modules = {
        'ln_1': 'layer_norm1',
        'attn.out_proj': 'self_attn.out_proj',
        'ln_2': 'layer_norm2',
        'mlp.c_fc': 'mlp.fc1',
        'mlp.c_proj': 'mlp.fc2',
    }
    tensors = {
        'vision_model.embeddings.class_embedding': trunk['class_embedding'],
        'vision_model.embeddings.position_embedding.weight': trunk['positional_embedding'],
        'vision_model.embeddings.patch_embedding.weight': trunk['conv1.weight'],
        'vision_model.pre_layrnorm.weight': trunk['ln_pre.weight'],
        'vision_model.pre_layrnorm.bias': trunk['ln_pre.bias'],
        'vision_model.post_layernorm.weight': trunk['ln_post.weight'],
        'vision_model.post_layernorm.bias': trunk['ln_post.bias'],
        'visual_projection.weight': trunk['proj'].T.contiguous(),
    }
    for i in range(LAYERS):
        ours, theirs = f'transformer.resblocks.{i}', f'vision_model.encoder.layers.{i}'
        for kind in ('weight', 'bias'):
            fused = trunk[f'{ours}.attn.in_proj_{kind}']
            for j, part in enumerate('qkv'):
                rows = fused[j * D : (j + 1) * D].clone()
                tensors[f'{theirs}.self_attn.{part}_proj.{kind}'] = rows
            for name, other in modules.items():
                tensors[f'{theirs}.{other}.{kind}'] = trunk[f'{ours}.{name}.{kind}']
    return tensors


def hf(trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIPModel of transformers, with the index buffer of older versions."""
    return hf_vision(trunk) | {
        'vision_model.embeddings.position_ids': torch.arange(5)[None],
        'text_model.embeddings.token_embedding.weight': random(9, E),
        'text_model.encoder.layers.0.layer_norm1.weight': random(E),
        'text_projection.weight': random(E, E),
        'logit_scale': torch.tensor(4.6),
    }


def adapters(pre_attn: bool, pre_mlp: bool) -> dict[str, Tensor]:
    """What the official ST-Adapter code saves: the trained tensors alone."""
    tensors = {'fc.weight': random(3, D), 'fc.bias': random(3)}
    places = [('adapter_pre_attn', pre_attn), ('adapter_pre_mlp', pre_mlp)]
    for place in (name for name, present in places if present):
        for i in range(LAYERS):
            start = f'transformer.resblocks.{i}.{place}'
            tensors |= {
                f'{start}.fc1.weight': random(2, D),
                f'{start}.fc1.bias': random(2),
                f'{start}.conv.weight': random(2, 1, 3, 1, 1),
                f'{start}.conv.bias': random(2),
                f'{start}.fc2.weight': random(D, 2),
                f'{start}.fc2.bias': random(D),
            }
    return tensors


def without(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


# What a CLIP file may look like -> the source that its names belong to, and how it is made.
CLIP_FILES = {
    'openai': ('openai-clip', openai),
    'openai, visual alone': ('openai-clip', dict),
    'open_clip': ('open_clip', open_clip),
    'CLIPModel': ('hf-clip', hf),
    'CLIPVisionModelWithProjection': ('hf-clip', hf_vision),
    'CLIPVisionModel, transformers 5': (
        'hf-clip',
        lambda t: without('vision_model.', hf_vision(t)),
    ),
}


@pytest.fixture
def trunk() -> dict[str, Tensor]:
    """A tiny image tower under our names."""
    torch.manual_seed(0)
    return clip_trunk()


@pytest.fixture(params=CLIP_FILES)
def clip_file(request, trunk) -> tuple[str, dict[str, Tensor]]:
    """Its source and state dict, as each CLIP file has it."""
    source, make = CLIP_FILES[request.param]
    return source, make(trunk)


@pytest.fixture(params=[(True, False), (False, True), (True, True)], ids=['pre', 'mlp', 'both'])
def official_adapters(request) -> dict[str, Tensor]:
    """A checkpoint of the official ST-Adapter code: the trained tensors."""
    return adapters(*request.param)


def nested(tensors: dict[str, Tensor]) -> nn.Module:
    """A module tree with these tensors as buffers, as a TorchScript archive has them."""
    root = nn.Module()
    for name, tensor in tensors.items():
        node, *parts = root, *name.split('.')
        for part in parts[:-1]:
            if not hasattr(node, part):
                node.add_module(part, nn.Module())
            node = getattr(node, part)
        node.register_buffer(parts[-1], tensor)
    return root


def save(tensors: dict[str, Tensor], path: Path) -> Path:
    """Write a container by the suffix: safetensors, a training checkpoint, TorchScript (.pt)."""
    if path.suffix == '.safetensors':
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    elif path.suffix == '.pth':
        torch.save({'state_dict': tensors}, path)
    else:
        torch.jit.save(torch.jit.script(nested(tensors)), str(path))
    return path


@pytest.fixture
def logged():
    """What is logged during a test."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
