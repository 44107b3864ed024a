"""What every registered backbone keeps, on the tiny trunk."""

from importlib import import_module
from pkgutil import iter_modules

import pytest
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter import models
from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.models import Trunk, backbones
from mmstadapter.models.ops import products
from mmstadapter.models.ops.clips import frames_seen
from mmstadapter.testing import fill, toy_clips, write_clip_file

from .cases import CASES, ELSEWHERE, KEYS, build, names, registered

THERE = 'in mmstadapter/models/backbones/__init__.py'
REMEDY = 'run `make keys` and review what it changes in tests/keys/'


def test_every_backbone_of_the_folder_is_registered_and_exported():
    files = {module.name for module in iter_modules(backbones.__path__)}
    for file in files:
        import_module(f'{backbones.__name__}.{file}')
    missing = registered().keys() - set(models.__all__)
    assert not missing, f'import {missing} {THERE}'
    assert {'STAdapterViT', 'Side4VideoViT'} < registered().keys()


def test_the_sweep_sees_every_registered_backbone():
    swept = {case['type'].removeprefix('mmstadapter.') for case in CASES.values()}
    missing = registered().keys() - swept - ELSEWHERE
    assert not missing, f'import {missing} {THERE}, or give it a row in tests/contract/cases.py'
    assert not swept - registered().keys(), 'rows of tests/contract/cases.py that name no backbone'


def test_the_key_files_are_those_of_the_cases():
    assert {path.stem for path in KEYS.glob('*.txt')} == CASES.keys(), REMEDY


def clips_of(backbone: nn.Module, batch: int = 2, num_frames: int = 4, **options) -> Tensor:
    """Toy clips of so many sampled frames, with those around each that a backbone looks at."""
    return toy_clips(batch, frames_seen(backbone, num_frames), **options)


class EveryBackbone:
    """The sweep, for the cases that a subclass is parametrised with."""

    def test_gives_one_feature_a_clip(self, case):
        backbone = build(case)['backbone']
        assert backbone(clips_of(backbone, batch=3)).shape == (3, backbone.out_channels)

    def test_a_built_trunk_is_taken_as_it_is(self, case):
        model = build(case)['backbone']
        again = MODELS.build(CASES[case] | dict(trunk=model.trunk))
        assert again.trunk is model.trunk
        again.load_state_dict(model.state_dict())
        clips = clips_of(model)
        assert torch.equal(again.eval()(clips), model.eval()(clips))

    def test_another_librarys_model_is_refused_as_a_trunk(self, case):
        with pytest.raises(TypeError, match=r'ViT: trunk must be .*got Linear, which has no embed'):
            MODELS.build(CASES[case] | dict(trunk=nn.Linear(3, 3)))

    def test_one_clip_does_not_see_another(self, case):
        model = fill(build(case)).eval()['backbone']
        clips = clips_of(model, batch=2)
        together = model(clips)
        apart = torch.cat([model(clip[None]) for clip in clips])
        torch.testing.assert_close(together, apart)

    def test_float32_products_by_onednn_give_the_same(self, case, monkeypatch):
        if not torch.backends.mkldnn.is_available():
            pytest.skip('this PyTorch has no oneDNN')
        model = fill(build(case)).eval()['backbone']
        tuned = [p for p in model.parameters() if p.requires_grad]
        found = []
        for outruns in (False, True):
            monkeypatch.setattr(products, '_outruns_mkl', lambda outruns=outruns: outruns)
            monkeypatch.setattr(products, 'LEAST', 0)
            feature = model(clips_of(model))
            grads = torch.autograd.grad(feature.sum(), tuned) if tuned else ()
            found.append([feature, *grads])
        torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)  # both round

    def test_trunk_stays_in_eval_after_train_and_train_returns_self(self, case):
        model = build(case)
        assert model.train() is model
        trunk = model['backbone'].trunk
        assert trunk.training == (trunk.tune != 'none')

    def test_only_tuned_parameters_get_gradients(self, case):
        model = fill(build(case))
        feature = model['backbone'](clips_of(model['backbone']))
        head = nn.Linear(feature.shape[1], 1)
        head(feature).sum().backward()
        with_grad = {n for n, p in model.named_parameters() if p.grad is not None}
        tuned = {n for n, p in model.named_parameters() if p.requires_grad}
        assert with_grad == tuned

    def test_a_frozen_trunk_stays_bit_equal_through_a_step(self, case):
        model = fill(build(case))
        frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
        tuned = [p for p in model.parameters() if p.requires_grad]
        if tuned:
            optimiser = torch.optim.AdamW(tuned, lr=0.1, weight_decay=0.1)
            model['backbone'](clips_of(model['backbone'])).sum().backward()
            optimiser.step()
        assert all(torch.equal(model.get_parameter(n), p) for n, p in frozen.items())

    def test_tuned_checkpoint_round_trip_is_bit_equal(self, case, tmp_path):
        path = write_clip_file(tmp_path / 'clip.safetensors', seed=5)
        model = build(case, checkpoint=path)
        model['backbone'].init_weights()
        fill_tuned(model)
        clips = clips_of(model['backbone'])
        model['backbone'](clips_of(model['backbone'], seed=1))  # moves running statistics
        kept = drop_frozen(model, model.state_dict())
        again = build(case, checkpoint=path).eval()
        again.load_state_dict(kept, strict=True)
        model.eval()
        assert torch.equal(model['backbone'](clips), again['backbone'](clips))
        frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
        assert bool(frozen) == (model['backbone'].trunk.tune != 'all')
        assert not frozen & kept.keys()

    def test_other_resolutions_run(self, case):
        backbone = build(case, img_size=48)['backbone']
        assert backbone(clips_of(backbone, size=48)).shape == (2, backbone.out_channels)

    def test_any_frame_count_runs(self, case):
        model = build(case)['backbone']
        counts = [t * getattr(model, 'frame_step', 1) for t in (1, 3, 8)]  # what it can join
        assert [len(model(clips_of(model, 1, num_frames=t))) for t in counts] == [1, 1, 1]

    @pytest.mark.parametrize('dtype', [None, 'float16'])  # what the shipped trunks are stored in
    def test_what_it_makes_is_on_the_device_of_the_clips(self, case, dtype):
        trunk = dict(dtype=dtype) if dtype else {}
        model = build(case, **trunk)['backbone'].to('meta')  # which refuses others, as a GPU does
        for mode in (True, False):
            for grad in (True, False):
                with torch.set_grad_enabled(grad):
                    feature = model.train(mode)(clips_of(model).to('meta'))
                assert feature.device.type == 'meta'

    def test_under_16_bit_autocast_the_feature_is_nearly_that_of_float32(self, case):
        model = build(case)['backbone']
        clips = clips_of(model)
        with torch.autocast('cpu', torch.bfloat16):
            half = model(clips)
        if half.requires_grad:
            half.float().square().sum().backward()
        torch.testing.assert_close(half.float(), model(clips), atol=0.1, rtol=0.1)
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(g.isfinite().all() and g.dtype == torch.float32 for g in grads)

    def test_key_names_match_the_contract(self, case):
        reviewed = KEYS / f'{case}.txt'
        assert reviewed.exists() and names(case) == reviewed.read_text(), REMEDY


@pytest.mark.parametrize('case', CASES)
class TestEveryBackbone(EveryBackbone):
    pass


def fill_tuned(model: nn.Module) -> None:
    """Random values for what is trained."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def test_no_backbone_writes_into_its_trunk():
    for case in CASES:
        trunk = build(case)['backbone'].trunk
        assert isinstance(trunk, Trunk)
        assert not trunk._forward_hooks and not trunk._forward_pre_hooks
