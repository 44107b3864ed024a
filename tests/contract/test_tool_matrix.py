"""No tool is ignored: what one does to a model's layers, the model does.

Rows are tools, columns are models. In each cell the tool changes the model as it means to, its
tensors get gradients, or it raises an error that names the tool and the way out.
"""

import os
import socket
import subprocess
import sys
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter.models.ops.clips import frames_seen
from mmstadapter.models.ops.linear import Projection
from mmstadapter.testing import (
    TINY_ARCH,
    caption_samples,
    fill,
    tiny_retriever,
    tiny_text,
    tiny_trunk,
    toy_clips,
)

from .cases import registered

LINEAR = (nn.Linear,)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
LAYERS = (*LINEAR, *CONVOLUTIONS, nn.LayerNorm, nn.modules.batchnorm._BatchNorm, Projection)
eva = dict(type='mmstadapter.EVAViT', arch=dict(TINY_ARCH))
timm = dict(
    type='mmstadapter.TimmViT',
    model='vit_base_patch16_clip_224',
    options=dict(embed_dim=32, depth=3, num_heads=2, patch_size=8, img_size=32),
)
mmpretrain = dict(
    type='mmstadapter.MMPretrainViT',
    vit=dict(
        arch=dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64),
        img_size=32,
        patch_size=8,
    ),
)
side = dict(type='mmstadapter.Side4VideoViT', trunk=tiny_trunk(), side_dims=16, head_dims=16)


dist = dict(
    type='mmstadapter.DiSTViT', trunk=tiny_trunk(), dims=16, temporal_dims=16, output_dims=16
)


tds_clip = dict(type='mmstadapter.TDSCLIPViT', trunk=tiny_trunk(), side_dims=256)


class Column(NamedTuple):
    """A model, the library it needs, and its parts that cannot change what it gives."""

    config: dict
    needs: str | None = None
    idle: tuple[str, ...] = ('without',)


COLUMNS = {
    'CLIPViT': Column(tiny_trunk()),
    'EVAViT': Column(eva),
    'TimmViT': Column(timm, 'timm'),
    'MMPretrainViT': Column(mmpretrain, 'mmpretrain'),
    'CLIPText': Column(tiny_text(tune='none')),
    'STAdapterViT': Column(
        dict(type='mmstadapter.STAdapterViT', trunk=tiny_trunk(), bottleneck_dims=16),
        idle=('after_attn.2.',),  # behind the last attention: the class token passes by
    ),
    'AIMViT': Column(dict(type='mmstadapter.AIMViT', trunk=tiny_trunk(), time_in=True)),
    'ZeroI2VViT': Column(dict(type='mmstadapter.ZeroI2VViT', trunk=tiny_trunk())),
    'EVLViT': Column(
        dict(type='mmstadapter.EVLViT', trunk=tiny_trunk(), blocks='last_2'),
        idle=('trunk.ln_post',),
    ),
    'DiSTViT': Column(dist, idle=('trunk.ln_post', 'layers.2.to_temporal')),
    'TempMeViT': Column(
        dict(
            type='mmstadapter.TempMeViT',
            trunk=tiny_trunk(),
            num_frames=4,
            merge_layers=[1],
            merge_frames=[2],
            lora_dims=16,
            recompute='attention',
        )
    ),
    'TempMeText': Column(tiny_text(type='mmstadapter.TempMeText', lora_dims=16)),
    'Side4VideoViT': Column(side, idle=('trunk.ln_post',)),
    'STAdapterViT-recomputing': Column(
        dict(
            type='mmstadapter.STAdapterViT',
            trunk=tiny_trunk(),
            bottleneck_dims=16,
            recompute='attention',
        ),
        idle=('after_attn.2.',),
    ),
    'Side4VideoViT-recomputing': Column(
        side | dict(recompute='attention'), idle=('trunk.ln_post',)
    ),
    'TDSCLIPViT': Column(tds_clip, idle=('trunk.ln_post',)),
    'Retriever': Column(tiny_retriever(), idle=('backbone.after_attn.2.',)),
}
# Networks beside a trunk have a norm of their own.
BESIDE = ('EVLViT', 'DiSTViT', 'Side4VideoViT', 'Side4VideoViT-recomputing', 'TDSCLIPViT')
UNREAD = {name: {'trunk.ln_post'} for name in BESIDE}


def mark(name: str, needs: str | None) -> pytest.MarkDecorator:
    missing = needs is not None and find_spec(needs) is None
    return pytest.mark.skipif(missing, reason=f'{name}: {needs} is not installed')


EVERY = [pytest.param(n, marks=mark(n, c.needs)) for n, c in COLUMNS.items()]


def build(name: str) -> nn.Module:
    return fill(MODELS.build(COLUMNS[name].config)).eval()


def run(model: nn.Module) -> Tensor:
    """What a model makes of toy clips, or of toy captions, in one row."""
    kind = type(model).__name__.removeprefix('FSDP')
    if 'Text' in kind:
        return model(torch.tensor([[1, 4, 7, 2], [1, 5, 2, 0]]))[0].flatten()
    if kind == 'Retriever':
        text, video = model(toy_clips(), caption_samples(2), mode='tensor')
        features = (*text.values(), *video.values())
        return torch.cat([t.flatten() for t in features if t.is_floating_point()])
    if hasattr(model, 'embed'):
        x = model(toy_clips()[:, :, 0])
        return model.final_norm(model.readout(x)).flatten()
    return model(toy_clips(num_frames=frames_seen(model, 4))).flatten()


def assert_same(after: Tensor, before: Tensor) -> None:
    """Up to rounding, which is another where layers are called; random weights amplify it."""
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * before.abs().max().item())


def layers(model: nn.Module, kinds: tuple[type, ...] = LAYERS) -> dict[str, nn.Module]:
    return {n: m for n, m in model.named_modules() if isinstance(m, kinds)}


@pytest.mark.parametrize('name', EVERY)
class TestEveryTool:
    def test_a_forward_hook_fires_on_every_layer_and_what_it_returns_counts(self, name):
        model, fired = build(name), set()
        before = run(model)
        for n, layer in layers(model).items():
            layer.register_forward_hook(lambda *_, n=n: fired.add(n))
        assert_same(run(model), before)
        assert fired == layers(model).keys() - UNREAD.get(name, set())
        layer = next(iter(layers(model, LINEAR).values()))
        layer.register_forward_hook(lambda module, args, out: out.roll(1, -1))
        assert not torch.allclose(run(model), before)

    @pytest.mark.parametrize('dora', [False, True], ids=['lora', 'dora'])
    def test_peft(self, name, dora):
        peft = pytest.importorskip('peft', reason='peft is not installed')
        model = build(name)
        before = run(model)
        targets = [n for n in layers(model, LINEAR)]
        config = peft.LoraConfig(r=2, target_modules=targets, use_dora=dora)
        peft.inject_adapter_in_model(config, model)
        assert_same(run(model), before)
        added = {n: p for n, p in model.named_parameters() if '.lora_' in n}
        assert len(added) == len(targets) * (3 if dora else 2)
        for n, parameter in added.items():
            nn.init.normal_(parameter, mean=float('magnitude' in n), std=0.1)
        after = run(model)
        after.square().sum().backward()
        assert not [n for n, p in added.items() if p.grad is None]
        idle = COLUMNS[name].idle
        assert not [n for n, p in added.items() if not (p.grad.any() or n.startswith(idle))]
        assert not torch.allclose(after, before)

    def test_torchao_stores_every_linear_map_in_8_bit(self, name):
        quantization = pytest.importorskip('torchao.quantization', reason='no torchao')
        model = build(name)
        before, wanted = run(model), list(layers(model, LINEAR))
        quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
        model.requires_grad_(False)
        assert list(layers(model, LINEAR)) == wanted
        assert all(type(m.weight) is not nn.Parameter for m in layers(model, LINEAR).values())
        after = run(model)
        assert not torch.equal(after, before)
        torch.testing.assert_close(after, before, rtol=0.1, atol=0.1 * before.abs().max().item())

    def test_torchao_trains_in_8_bit_floats(self, name):
        float8 = pytest.importorskip('torchao.float8', reason='no torchao')
        model = build(name)
        before, names = run(model), list(model.state_dict())
        float8.convert_to_float8_training(
            model,
            module_filter_fn=lambda layer, _: layer.out_features % 16 == 0,
            config=float8.Float8LinearConfig(emulate=True),
        )
        after = run(model)
        assert not torch.equal(after, before)
        torch.testing.assert_close(after, before, rtol=0.2, atol=0.2 * before.abs().max().item())
        assert list(model.state_dict()) == names

    def test_bitsandbytes(self, name):
        bnb = pytest.importorskip('bitsandbytes', reason='bitsandbytes is not installed')
        model = build(name)
        before = run(model)
        for n, layer in layers(model, LINEAR).items():
            owner = model.get_submodule(n.rpartition('.')[0])
            new = bnb.nn.Linear8bitLt(
                layer.in_features,
                layer.out_features,
                layer.bias is not None,
                has_fp16_weights=False,
            )
            new.load_state_dict(
                dict(weight=layer.weight.detach())
                | ({} if layer.bias is None else dict(bias=layer.bias.detach()))
            )
            setattr(owner, n.rpartition('.')[2], new)
        model.to('cpu')
        after = run(model).float()
        assert not torch.equal(after, before)
        torch.testing.assert_close(after, before, rtol=0.2, atol=0.2 * before.abs().max().item())

    @pytest.mark.sweep
    def test_a_parametrisation_changes_the_layer(self, name):
        names = [n for n, m in layers(build(name)).items() if 'weight' in m._parameters]
        for n in [n for n in names if not n.startswith(COLUMNS[name].idle)]:
            model = build(name)
            before = run(model)
            nn.utils.parametrize.register_parametrization(
                model.get_submodule(n), 'weight', Doubled(), unsafe=True
            )
            assert not torch.allclose(run(model), before), n

    def test_a_copy_shares_nothing_and_gives_the_same(self, name):
        model = build(name)
        copied = deepcopy(model)
        assert torch.equal(run(copied), run(model))
        theirs = {p.data_ptr() for p in model.parameters()}
        assert not theirs & {p.data_ptr() for p in copied.parameters()}
        before = run(model)
        fill(copied, seed=1)
        assert torch.equal(run(model), before) and not torch.allclose(run(copied), before)


# Methods are compiled in test_matrix.py.
@pytest.mark.parametrize('name', [p for p in EVERY if p.values[0] not in registered()])
@pytest.mark.slow
def test_torch_compile_makes_one_graph_with_the_same_numbers(name):
    model = build(name)
    tuned = [p for p in model.parameters() if p.requires_grad]
    expected = run(model)
    for part in (model.backbone, model.text_tower) if name == 'Retriever' else (model,):
        part.compile(fullgraph=True, backend='aot_eager')
    outcome = run(model)
    assert_same(outcome, expected)
    if tuned:
        ours, theirs = (gradients(y, tuned) for y in (outcome, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
        assert len(ours) >= len(tuned) - 1  # all but a retriever's scale


@pytest.mark.processes
def test_fully_shard_gathers_what_is_called_and_the_rest_is_told(tmp_path):
    """Two processes that shard every layer of every column; `shard_models` has the checks."""
    script, out = Path(__file__).with_name('shard_models.py'), tmp_path / 'told.txt'
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    port = f'--rdzv-endpoint=localhost:{free_port()}'
    environment = os.environ | {'PYTHONPATH': str(script.parents[2]), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [*launch, port, str(script), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    there = [n for n, c in COLUMNS.items() if c.needs is None or find_spec(c.needs)]
    assert out.read_text().split() == [*there, 'CLIPBlock']


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('localhost', 0))
        return listener.getsockname()[1]


def gradients(y: Tensor, tuned: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(y.square().sum(), tuned, allow_unused=True)
    return [grad for grad in found if grad is not None]


class Doubled(nn.Module):
    """A parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight + 0.1 * torch.arange(len(weight)).view(-1, *[1] * (weight.ndim - 1))


def test_the_matrix_has_every_column():
    assert len(COLUMNS) >= 12
