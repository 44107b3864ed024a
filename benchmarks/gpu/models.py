"""The models that are checked, at toy size and at the papers' sizes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

import mmstadapter

TOY = dict(img_size=32, patch_size=8, embed_dims=128, num_layers=4, num_heads=2, output_dims=64)
TOY_EVA = dict(TOY, mlp_ratio=2)
ONE, TWO = ('after_attn',), ('before_attn', 'after_attn')
NUM_FRAMES = 8


@dataclass
class Setting:
    """A model at a size of the papers, and what it costs.

    Attributes:
        name: for tables.
        arch: of the trunk.
        clips: of a step, 8 frames each.
        kind: 'st', 's4v' or 's4v-eva'.
        options: of the backbone.
        gmac: multiply-adds of a clip, forward and backward, in units of 1e9.
    """

    name: str
    arch: str
    clips: int
    kind: str
    options: dict = field(default_factory=dict)
    gmac: tuple[float, float] = (0.0, 0.0)


# Clips a step as in the Side4Video paper's Table 2; multiply-adds as counted on the authors' code.
SETTINGS = [
    Setting('ST-Adapter B/16 12x384', 'vit-b-p16', 32, 'st', dict(positions=ONE), (151.6, 170.7)),
    Setting('ST-Adapter B/16 24x384', 'vit-b-p16', 32, 'st', dict(positions=TWO), (162.7, 206.6)),
    Setting(
        'Side4Video B/16 light 6x192',
        'vit-b-p16',
        32,
        's4v',
        dict(side_dims=192, layers='interval'),
        (148.2, 16.3),
    ),
    Setting('Side4Video B/16 12x320', 'vit-b-p16', 32, 's4v', dict(side_dims=320), (175.7, 75.6)),
    Setting('ST-Adapter L/14 24x384', 'vit-l-p14', 16, 'st', dict(positions=ONE), (686.8, 776.0)),
    Setting(
        'Side4Video L/14 light 12x320',
        'vit-l-p14',
        16,
        's4v',
        dict(side_dims=320, layers='interval'),
        (696.7, 104.5),
    ),
    Setting('Side4Video L/14 24x512', 'vit-l-p14', 16, 's4v', dict(side_dims=512), (869.3, 478.0)),
    Setting('ST-Adapter L/14 48x384', 'vit-l-p14', 16, 'st', dict(positions=TWO), (746.0, 940.0)),
    Setting(
        'Side4Video E/14 32x576',
        'eva-e-p14',
        8,
        's4v-eva',
        dict(side_dims=576, layers='interval', norm='post'),
        (9451.0, 830.0),
    ),
]


def build(
    setting: Setting, device, dtype: str | None = 'bfloat16', fake: bool = False, **more
) -> nn.Module:
    """A setting's backbone on a device, in training mode; unless fake, no adapter at zero."""
    kind = 'mmstadapter.EVAViT' if setting.kind == 's4v-eva' else 'mmstadapter.CLIPViT'
    trunk = dict(type=kind, arch=setting.arch, dtype=dtype)
    make = mmstadapter.STAdapterViT if setting.kind == 'st' else mmstadapter.Side4VideoViT
    with torch.device(device):
        model = make(trunk=trunk, **setting.options, **more).train()
        return model if fake else stir(model)


def stir(model: nn.Module) -> nn.Module:
    """Move every tuned tensor off zero, so that every gradient is a number to compare."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad and (p.ndim < 2 or 'conv' in name or not p.any()):
                p.add_(torch.randn_like(p) * (0.3 if 'conv' in name else 0.02))
    return model


def toy_trunk(eva: bool = False, **fields) -> dict:
    """The config of a toy trunk."""
    kind, arch = ('mmstadapter.EVAViT', TOY_EVA) if eva else ('mmstadapter.CLIPViT', TOY)
    return dict(type=kind, arch=arch, **fields)


def toys() -> dict[str, Callable[[], nn.Module]]:
    """Name -> builder of a toy backbone, every option that has code of its own."""

    def st(**options):
        return lambda: mmstadapter.STAdapterViT(trunk=toy_trunk(), bottleneck_dims=32, **options)

    def s4v(eva=False, tune='none', proj=False, **options):
        trunk = toy_trunk(eva, tune=tune, with_proj=proj)
        return lambda: mmstadapter.Side4VideoViT(trunk=trunk, side_dims=64, **options)

    found = {
        'ST one a block': st(),
        'ST two a block': st(positions=TWO),
        'ST two a block, with_cp': st(positions=TWO, with_cp=True),
        'ST kernel 3x3x3, gelu': st(kernel_size=(3, 3, 3), activation='gelu'),
        'ST last 2 blocks, frames': lambda: mmstadapter.STAdapterViT(
            trunk=toy_trunk(tune='after_blocks', with_proj=True),
            bottleneck_dims=32,
            blocks='last_2',
            output='frames',
        ),
        'S4V all': s4v(),
        'S4V light': s4v(layers='interval'),
        'S4V with_cp': s4v(with_cp=True),
        'S4V chunks of 5 frames': s4v(frames_per_pass=5),
        'S4V attention, sum, side_cls': s4v(
            temporal='attention', fusion='sum', representation='side_cls'
        ),
        'S4V EVA, post norm': s4v(True, norm='post'),
        'S4V EVA, post norm, with_cp': s4v(True, norm='post', with_cp=True),
        'S4V frames (retrieval)': s4v(
            tune='after_blocks', proj=True, output='frames', cls_position=True
        ),
        'mean of frames, all tuned': lambda: mmstadapter.FrameMeanViT(trunk=toy_trunk(tune='all')),
        'TimeSformer': lambda: mmstadapter.TimeSformerViT(trunk=toy_trunk()),
        'XViT': lambda: mmstadapter.XViT(trunk=toy_trunk()),
        'prompts': lambda: mmstadapter.PromptViT(trunk=toy_trunk()),
        'attentive pooling': lambda: mmstadapter.AttnPoolViT(trunk=toy_trunk()),
    }
    return found


def toy_retriever(decorrelation: float = 0.06, micro_batch: int | None = None) -> nn.Module:
    """A Side4Video retriever with token-wise matching, every part trained that can be."""
    width = TOY['output_dims']
    tower = dict(embed_dims=64, num_layers=2, num_heads=2, output_dims=width)
    return mmstadapter.Retriever(
        backbone=dict(
            type='mmstadapter.Side4VideoViT',
            side_dims=64,
            output='frames',
            cls_position=True,
            trunk=toy_trunk(tune='after_blocks', with_proj=True),
        ),
        text_tower=dict(type='mmstadapter.CLIPText', arch=tower),
        tokenizer=dict(type='mmstadapter.WordTokenizer', words=[f'w{i}' for i in range(20)]),
        similarity=dict(type='mmstadapter.TokenSimilarity', embed_dims=width, header=dict()),
        loss=dict(type='mmstadapter.ContrastiveLoss', decorrelation=decorrelation),
        micro_batch=micro_batch,
    )
