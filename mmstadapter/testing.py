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
def fill(
    module: nn.Module, seed: int = 0, scale: float = 0.2, tuned_alone: bool = False
) -> nn.Module:
    """Give every parameter random values, so that nothing hides behind a zero.

    Norm weights stay around one. Returns the module.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if tuned_alone and not parameter.requires_grad:
            continue
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


def tiny_recipe(checkpoint: str, num_classes: int = 3, **changes) -> dict:
    """Config of a tiny recogniser and its test pipeline, as an adapter file holds them.

    Args:
        checkpoint: the trunk's file, of :func:`write_clip_file`.
        num_classes: of the classifier.
        changes: ``backbone``, its config without the trunk, ST-Adapter if none; ``sampling``, the
            step that samples, 4 frames 2 apart if none; ``spatial``, the steps between decoding
            and formatting.
    """
    backbone = changes.get('backbone', dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8))
    sample = dict(type='mmstadapter.SampleStride', clip_len=4, frame_interval=2, test_mode=True)
    spatial = [
        dict(type='mmstadapter.ResizeShortSide', size=32),
        dict(type='CenterCrop', crop_size=32),
    ]
    sampling = changes.get('sampling', sample)
    steps: list[dict] = [dict(type='mmstadapter.VideoInit')]
    steps += sampling if isinstance(sampling, list) else [sampling]
    steps += [dict(type='mmstadapter.VideoDecode'), *changes.get('spatial', spatial)]
    steps += [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]
    pixels = dict(mean=[123.0, 117.0, 104.0], std=[68.0, 66.0, 70.0], format_shape='NCTHW')
    model = dict(
        type='Recognizer3D',
        data_preprocessor=dict(type='ActionDataPreprocessor', **pixels),
        backbone=backbone | dict(trunk=tiny_trunk(checkpoint=checkpoint)),
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=0, num_classes=num_classes),
        test_cfg=None,
    )
    return dict(model=model, test_dataloader=dict(dataset=dict(pipeline=steps)))


def write_tiny_adapter(folder: Path, seed: int = 0, **changes) -> str:
    """Write an adapter file of random values, and its trunk beside it; arguments of `tiny_recipe`.

    Returns:
        The path, for `Predictor` and the commands that take an adapter.
    """
    from mmaction.registry import MODELS
    from mmengine.config import Config

    from .apis.building import build_model
    from .engine.tuned_checkpoint import write_adapter

    metadata = {k: changes.pop(k) for k in ('labels', 'none_of_these') if k in changes}
    config = Config(tiny_recipe(write_clip_file(folder / 'clip.safetensors'), **changes))
    backbone = MODELS.build(config.model.backbone)
    config.model.cls_head.in_channels = backbone.out_channels
    model = build_model(config.model, pretrained=True)
    fill(model, seed, tuned_alone=True)
    path = folder / 'adapter.safetensors'
    write_adapter(path, model, config, **metadata)
    return str(path)


def write_noise_video(
    path: str | Path, frames: int = 24, rate: int = 8, size: tuple[int, int] = (48, 40)
) -> str:
    """Write a small video of coarse noise that changes all the time, (width, height) pixels."""
    import av

    generator = torch.Generator().manual_seed(frames)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for _ in range(frames):
            coarse = torch.randint(0, 256, (size[1] // 8, size[0] // 8, 3), generator=generator)
            image = coarse.repeat_interleave(8, 0).repeat_interleave(8, 1).to(torch.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image.numpy(), 'rgb24')))
        container.mux(stream.encode())
    return str(path)
