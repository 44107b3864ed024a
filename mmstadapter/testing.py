"""A tiny trunk, toy clips and deterministic weights, for our tests and for users' own."""

from pathlib import Path

import torch
from mmaction.structures import ActionDataSample
from safetensors.torch import save_file
from torch import Tensor, nn

TINY_ARCH = dict(
    img_size=32, patch_size=8, embed_dims=32, num_layers=3, num_heads=2, output_dims=16
)

TINY_WORDS = ('a', 'and', 'cat', 'dog', 'falls', 'jumps', 'left', 'right', 'sleeps', 'the', 'to')
TINY_TEXT_ARCH = dict(
    vocab_size=len(TINY_WORDS) + 3,  # and padding, start, end
    context_length=8,
    embed_dims=32,
    num_layers=2,
    num_heads=2,
    output_dims=16,
)

NORMS = ('ln_', 'bn_', 'norm')  # in the names of normalisation layers


def tiny_trunk(**changes) -> dict:
    """Config of a random 3-layer CLIP trunk for 32-pixel frames, 40 k parameters."""
    return dict(type='mmstadapter.CLIPViT', arch=dict(TINY_ARCH)) | changes


def tiny_text(**changes) -> dict:
    """Config of a random 2-layer text tower of eleven words, into the tiny trunk's space."""
    return dict(type='mmstadapter.CLIPText', arch=dict(TINY_TEXT_ARCH)) | changes


def tiny_tokenizer() -> dict:
    """Config of the tokenizer of the tiny text tower: at most six of `TINY_WORDS`."""
    return dict(type='mmstadapter.WordTokenizer', words=TINY_WORDS, context_length=8)


def tiny_retriever(**changes) -> dict:
    """Config of a random retriever of tiny trunk and tiny text tower, joint width 16."""
    trunk = tiny_trunk(with_proj=True)
    return (
        dict(
            type='mmstadapter.Retriever',
            backbone=dict(
                type='mmstadapter.STAdapterViT', trunk=trunk, bottleneck_dims=8, output='frames'
            ),
            text_tower=tiny_text(),
            tokenizer=tiny_tokenizer(),
            similarity=dict(
                type='mmstadapter.TokenSimilarity', embed_dims=TINY_ARCH['output_dims']
            ),
        )
        | changes
    )


def toy_clips(batch: int = 2, num_frames: int = 4, size: int = 32, seed: int = 0) -> Tensor:
    """Normalised random clips (B, 3, T, H, W) that are the same on every machine."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, num_frames, size, size, generator=generator)


def toy_samples(batch: int = 2, num_classes: int = 5) -> list[ActionDataSample]:
    """Data samples with labels 0, 1, 2, ... below ``num_classes``."""
    return [ActionDataSample().set_gt_label(i % num_classes) for i in range(batch)]


def caption_samples(batch: int = 2) -> list[ActionDataSample]:
    """Data samples of different captions and videos, one caption each, at most 12."""
    pairs = [f'{who} {does}' for does in ('jumps', 'falls', 'sleeps') for who in ('a cat', 'a dog')]
    captions = [*pairs, *(f'{pair} left' for pair in pairs)]
    infos = (dict(video_id=str(i), captions=[text]) for i, text in enumerate(captions[:batch]))
    return [ActionDataSample(metainfo=info) for info in infos]


@torch.no_grad()
def fill(module: nn.Module, seed: int = 0, scale: float = 0.2) -> nn.Module:
    """Give every parameter random values, so that nothing hides behind a zero.

    Norm weights stay around one. Returns the module.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        noise = scale * torch.randn(parameter.shape, generator=generator)
        is_norm_weight = any(w in name for w in NORMS) and name.endswith('weight')
        parameter.copy_(noise + 1 if is_norm_weight else noise)
    return module


def write_clip_file(path: str | Path, arch: dict | None = None, seed: int = 0) -> str:
    """Write random tiny CLIP, image and text tower, under OpenAI's names.

    Args:
        path: a .safetensors file to write.
        arch: sizes as in `CLIPViT`'s arch dict; the tiny ones by default.
        seed: another seed gives other weights.

    Returns:
        The path, for ``trunk.checkpoint`` and ``text_tower.checkpoint``.
    """
    from .models import CLIPText, CLIPViT  # models import the host; keep this module light

    arch = arch or dict(TINY_ARCH)
    trunk = fill(CLIPViT(arch, with_proj=True), seed)
    text = fill(CLIPText(TINY_TEXT_ARCH | dict(output_dims=arch['output_dims'])), seed)
    tensors = {f'visual.{name}': tensor for name, tensor in trunk.state_dict().items()}
    tensors |= text.state_dict() | dict(logit_scale=torch.tensor(100.0).log())
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, str(path))
    return str(path)


def write_eva_file(path: str | Path, arch: dict | None = None, seed: int = 0) -> str:
    """Write a random tiny EVA-CLIP, its image tower alone, under EVA-CLIP's names.

    Args:
        path: a .safetensors file to write.
        arch: sizes as in `EVAViT`'s arch dict; the tiny ones by default.
        seed: another seed gives other weights.

    Returns:
        The path, for ``trunk.checkpoint``.
    """
    from .models import EVAViT

    trunk = fill(EVAViT(arch or dict(TINY_ARCH), with_proj=True), seed)
    tensors = {f'visual.{name}': tensor.detach() for name, tensor in trunk.state_dict().items()}
    save_file(tensors | dict(logit_scale=torch.tensor(100.0).log()), str(path))
    return str(path)
