"""The rows of the sweep over every registered backbone: how each is built on the tiny trunk.

A backbone without a row here is swept with its defaults, under the name of its file. Rows say
other options, and options worth a sweep of their own. `make keys` writes the names of each row's
tensors to tests/keys/, which are public API: review what it changes.
"""

from pathlib import Path

from mmaction.registry import MODELS
from torch import nn

import mmstadapter  # noqa: F401  (registers the backbones)
from mmstadapter.testing import tiny_trunk

ROWS = {
    'frame_mean': dict(type='mmstadapter.FrameMeanViT'),
    'frame_mean-bias': dict(type='mmstadapter.FrameMeanViT', trunk=dict(tune='bias')),
    'frame_mean-last': dict(type='mmstadapter.FrameMeanViT', trunk=dict(tune='last_1')),
    'frame_mean-full': dict(type='mmstadapter.FrameMeanViT', trunk=dict(tune='all')),
    'prompt': dict(type='mmstadapter.PromptViT', num_prompts=3),
    'attn_pool': dict(type='mmstadapter.AttnPoolViT', num_heads=2),
    'probe': dict(type='mmstadapter.ProbeViT', num_heads=2),
    'probe-alone': dict(
        type='mmstadapter.ProbeViT',
        depth=1,
        num_heads=2,
        mlp_ratio=2.0,
        num_queries=3,
        complete_block=False,
        tokens='all',
        final_norm=False,
        frames_per_pass=3,
    ),
    'probe-full': dict(
        type='mmstadapter.ProbeViT', depth=2, num_heads=2, with_cp=True, trunk=dict(tune='all')
    ),
    'timesformer': dict(type='mmstadapter.TimeSformerViT', num_frames=4),
    'timesformer-frame': dict(
        type='mmstadapter.TimeSformerViT', num_frames=4, num_heads=2, class_token='frame'
    ),
    'timesformer-last': dict(
        type='mmstadapter.TimeSformerViT', blocks='last_1', trunk=dict(tune='last_1')
    ),
    'timesformer-full': dict(type='mmstadapter.TimeSformerViT', trunk=dict(tune='all')),
    'xvit': dict(type='mmstadapter.XViT', num_frames=4),
    'xvit-full': dict(type='mmstadapter.XViT', trunk=dict(tune='all')),
    'st_adapter': dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8),
    'st_adapter-two': dict(
        type='mmstadapter.STAdapterViT', bottleneck_dims=8, positions=('before_attn', 'after_attn')
    ),
    'st_adapter-all': dict(
        type='mmstadapter.STAdapterViT',
        bottleneck_dims=8,
        kernel_size=(3, 3, 3),
        positions=('before_attn', 'after_attn', 'after_mlp'),
    ),
    'st_adapter-last': dict(
        type='mmstadapter.STAdapterViT', bottleneck_dims=8, blocks='last_1', with_cp=True
    ),
    'side4video': dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8),
    'side4video-post': dict(
        type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8, norm='post', layers='interval'
    ),
    'side4video-attention': dict(
        type='mmstadapter.Side4VideoViT',
        side_dims=16,
        head_dims=8,
        temporal='attention',
        representation='side_cls',
        fusion='sum',
    ),
    'side4video-top': dict(
        type='mmstadapter.Side4VideoViT',
        side_dims=16,
        head_dims=8,
        layers='top_1',
        temporal='none',
        cls_shift=False,
        representation='trunk_cls',
        with_cp=True,
        frames_per_pass=3,
    ),
    'side4video-full': dict(
        type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8, trunk=dict(tune='all')
    ),
    'tds_clip': dict(type='mmstadapter.TDSCLIPViT', side_dims=32, head_dims=16),
    'tds_clip-three': dict(
        type='mmstadapter.TDSCLIPViT',
        side_dims=32,
        head_dims=8,
        num_diff=3,
        layers='top_2',
        with_cp=True,
        frames_per_pass=3,
        trunk=dict(tune='after_blocks'),
    ),
    'temp_me': dict(
        type='mmstadapter.TempMeViT',
        num_frames=4,
        merge_layers=(1,),
        merge_frames=(2,),
        tome_r=1,
        lora_dims=4,
    ),
    'temp_me-whole': dict(
        type='mmstadapter.TempMeViT',
        num_frames=4,
        merge_layers=(0, 2),
        merge_frames=(1, 4),
        proportions=(0.0, 0.4),
        prop_attn=False,
        lora_dims=0,
        with_cp=True,
    ),
    'aim': dict(type='mmstadapter.AIMViT', num_frames=4, trunk=dict(tune='after_blocks')),
    'aim-two': dict(type='mmstadapter.AIMViT', time_in=True, scale=1.0, with_cp=True),
    'zeroi2v': dict(type='mmstadapter.ZeroI2VViT', num_frames=4, trunk=dict(tune='after_blocks')),
    'zeroi2v-qkv': dict(
        type='mmstadapter.ZeroI2VViT',
        shifts=((-1, 3), (1, 7), (-2, 8)),
        shift_over='each_head',
        adapters=('attn_qkv', 'attn_out', 'mlp_in'),
        activation='gelu',
        with_cp=True,
    ),
    'zeroi2v-merged': dict(type='mmstadapter.ZeroI2VViT', adapters=()),
    'evl': dict(type='mmstadapter.EVLViT', blocks='last_2', num_frames=4, dropout=0.0),
    'evl-conv': dict(
        type='mmstadapter.EVLViT',
        blocks=[0],
        temporal=['conv'],
        attn_dims=24,
        num_heads=3,
        dropout=0.0,
        with_cp=True,
        frames_per_pass=3,
    ),
    'evl-full': dict(
        type='mmstadapter.EVLViT', blocks='all', dropout=0.0, with_cp=True, trunk=dict(tune='all')
    ),
    'dist': dict(
        type='mmstadapter.DiSTViT', num_frames=8, dims=16, temporal_dims=8, output_dims=16
    ),
    'dist-last': dict(
        type='mmstadapter.DiSTViT',
        stride=3,
        blocks=[-1, 1],
        dims=16,
        temporal_dims=8,
        output_dims=None,
        with_cp=True,
        frames_per_pass=3,
        trunk=dict(tune='after_blocks'),
    ),
}

ELSEWHERE = {'SharedTrunkViT'}  # gives several features: tests/models/test_shared_trunk.py
KEYS = Path(__file__).parents[1] / 'keys'


def registered() -> dict[str, str]:
    """Every backbone of ours in MMAction2's registry, and the file it stands in."""
    found = {}
    for name, cls in MODELS.module_dict.items():
        _, _, file = cls.__module__.partition('mmstadapter.models.backbones.')
        if file and name.endswith('ViT'):
            found[name] = file.partition('.')[0]
    return found


def with_defaults(rows: dict[str, dict]) -> dict[str, dict]:
    """The rows, and one of defaults for each backbone that has none."""
    have = ELSEWHERE | {row['type'].removeprefix('mmstadapter.') for row in rows.values()}
    missing = {file: name for name, file in registered().items() if name not in have}
    return rows | {file: dict(type=f'mmstadapter.{name}') for file, name in missing.items()}


CASES = with_defaults(ROWS)


def build(case: str, **trunk) -> nn.Module:
    """The backbone of a case, inside a model as the host builds it, with a trunk's options."""
    config = dict(CASES[case])
    config['trunk'] = tiny_trunk(**trunk) | config.get('trunk', {})
    return nn.ModuleDict(dict(backbone=MODELS.build(config)))


def names(case: str) -> str:
    """What the key file of a case holds: the state dict's names, a line each."""
    return '\n'.join(build(case).state_dict()) + '\n'


def write_keys(folder: Path = KEYS) -> None:
    """Write the key file of every case, remove those of no case, and say what changed."""
    wanted = {f'{case}.txt': names(case) for case in CASES}
    there = {path.name: path.read_text() for path in folder.glob('*.txt')}
    for name in sorted(wanted.keys() | there.keys()):
        if name not in wanted:
            (folder / name).unlink()
            print(f'removed {name}')
        elif wanted[name] != there.get(name):
            (folder / name).write_text(wanted[name])
            print(f'wrote {name}')


if __name__ == '__main__':
    write_keys()
