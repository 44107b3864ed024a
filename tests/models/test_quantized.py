"""A frozen trunk in 8 or 4 bits: near the plain one, and no trace of it in checkpoints."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.hooks import EMAHook

from mmstadapter.engine.sharded import ShardedTrunk
from mmstadapter.engine.tuned_checkpoint import TunedCheckpointHook, drop_frozen
from mmstadapter.models import quantizing
from mmstadapter.models.interpolation import interpolate
from mmstadapter.models.merging import merged
from mmstadapter.models.ops.quantized import is_quantized
from mmstadapter.models.trunks.clip_vit import CLIPViT
from mmstadapter.planning import TrainingStep, account_of
from mmstadapter.testing import fill, tiny_trunk, toy_clips, write_clip_file

pytest.importorskip('torchao', reason='torchao is not installed')
# Relative error of the features. Rounding a normal weight to 8 bits costs 0.8 % of its length, to
# 4 bits 9 %; that of three layers adds up.
ERROR = dict(int8=0.03, nf4=0.3)
SIDE = dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8)
ADAPTER = dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8)
forms = pytest.mark.parametrize('form', ['int8', 'nf4'])


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    return write_clip_file(tmp_path_factory.mktemp('clip') / 'clip.pt')


def build(file, form=None, backbone=SIDE, **trunk):
    """A backbone with its pretrained file read, adapters not at zero."""
    trunk = tiny_trunk(checkpoint=file, quantize=form, **trunk)
    model = MODELS.build(dict(backbone, trunk=trunk))
    model.init_weights()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    return model


def distance(a, b):
    return ((a - b).norm() / b.norm()).item()


@forms
class TestAQuantizedTrunk:
    def test_gives_features_near_the_plain_one(self, form, file):
        frames = toy_clips()[:, :, 0]
        plain, rounded = build(file).trunk, build(file, form).trunk
        assert 0 < distance(rounded(frames), plain(frames)) < ERROR[form]

    def test_stores_every_frozen_linear_map_of_its_blocks(self, form, file):
        weights = quantizing.quantized_weights(build(file, form).trunk)
        assert len(weights) == 3 * 4

    def test_answers_in_autocasts_type(self, form, file):
        trunk = build(file, form, dtype='bfloat16').trunk
        with torch.autocast('cpu', torch.bfloat16):
            assert trunk(toy_clips()[:, :, 0]).dtype is torch.bfloat16

    def test_keeps_names_shapes_and_types_of_a_state_dict(self, form, file):
        plain, rounded = (build(file, f).state_dict() for f in (None, form))
        assert [(n, t.shape, t.dtype, type(t)) for n, t in plain.items()] == [
            (n, t.shape, t.dtype, type(t)) for n, t in rounded.items()
        ]

    def test_has_the_fingerprint_of_its_file(self, form, file):
        assert torch.equal(build(file, form).trunk.fingerprint, build(file).trunk.fingerprint)

    @pytest.mark.parametrize('to', [None, 'int8', 'nf4'])
    def test_a_tuned_checkpoint_loads_onto_every_form(self, form, to, file):
        model = build(file, form)
        kept = drop_frozen(model, model.state_dict())
        assert not any('mlp.c_fc' in name and 'trunk' in name for name in kept)
        other = MODELS.build(dict(SIDE, trunk=tiny_trunk(checkpoint=file, quantize=to)))
        other.load_state_dict(kept)
        assert other.trunk.source == 'pretrained'
        expected = build(file, to)
        torch.testing.assert_close(other(toy_clips()), expected(toy_clips()), rtol=0, atol=0)

    def test_rounds_nothing_twice(self, form, file):
        model = build(file, form)
        before = model.trunk(toy_clips()[:, :, 0])
        for state in (model.state_dict(), build(file).state_dict()):
            model.load_state_dict(state)
            assert model.trunk.source == 'pretrained'
            assert torch.equal(model.trunk(toy_clips()[:, :, 0]), before)

    def test_takes_the_weights_of_another_plain_model(self, form, file, tmp_path):
        other = build(write_clip_file(tmp_path / 'other.pt', seed=1))
        model = build(file, form)
        model.load_state_dict(other.state_dict())
        assert model.trunk.source == 'state_dict' and quantizing.quantized_weights(model.trunk)
        frames = toy_clips()[:, :, 0]
        assert distance(model.trunk(frames), other.trunk(frames)) < ERROR[form]

    def test_can_be_copied_and_moved(self, form, file):
        model = copy.deepcopy(build(file, form)).to('cpu')
        assert torch.equal(model(toy_clips()), build(file, form)(toy_clips()))

    def test_lets_gradients_through_as_its_weights_in_full_would(self, form, file):
        model = build(file, form, ADAPTER)
        full = build(file, backbone=ADAPTER)
        full.load_state_dict(model.state_dict())
        grads = []
        for each in (model, full):
            each(toy_clips()).square().sum().backward()
            grads.append([p.grad for p in each.parameters() if p.requires_grad])
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)

    @pytest.mark.slow
    def test_compiles_to_one_graph(self, form, file):
        model = build(file, form)
        expected = model(toy_clips())
        model.compile(fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(model(toy_clips()), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.slow
    @pytest.mark.parametrize('backbone', [SIDE, ADAPTER], ids=['side', 'adapter'])
    def test_keeps_no_more_for_the_backward_pass(self, form, file, backbone):
        kept = []
        for each in (None, form):
            model, video = build(file, each, backbone), toy_clips(4)
            account = account_of(
                lambda m=model, v=video: m(v).sum(), model, [video], autocast=None, bucket=False
            )
            kept.append(account.kept.total())
        assert kept[1] <= kept[0]

    @pytest.mark.slow
    def test_is_planned(self, form):
        wanted = dict(type='Recognizer3D', cls_head=dict(type='mmstadapter.VideoHead',
                      in_channels=16, num_classes=5))  # fmt: skip
        loader = dict(batch_size=2, dataset=dict(pipeline=[dict(type='SampleFrames', clip_len=4)]))
        frozen = []
        for each in (None, form):
            wanted['backbone'] = dict(SIDE, trunk=tiny_trunk(quantize=each))
            given = Config(dict(model=wanted, train_dataloader=loader))
            frozen.append(TrainingStep(given).account().frozen)
        assert frozen[1] < 0.6 * frozen[0]


def test_linear_maps_of_other_libraries_are_taken_over():
    pytest.importorskip('timm', reason='timm is not installed')
    options = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=2)
    trunk = dict(type='mmstadapter.TimmViT', model='vit_tiny_patch16_224', options=options)
    plain = fill(MODELS.build(trunk))
    rounded = MODELS.build(trunk | dict(quantize='int8'))
    rounded.load_state_dict(plain.state_dict())
    assert len(quantizing.quantized_weights(rounded)) == 2 * 4
    frames = toy_clips()[:, :, 0]
    assert 0 < distance(rounded(frames), plain(frames)) < ERROR['int8']


def test_tuned_layers_stay_as_they_are(file):
    model = build(file, 'int8', tune='last_1')
    assert len(quantizing.quantized_weights(model.trunk)) == 2 * 4
    assert not any(is_quantized(p) for p in model.trunk.blocks[-1].parameters())


def test_float8_is_refused_off_hopper_before_the_file_is_read(monkeypatch):
    monkeypatch.setattr(CLIPViT, 'read_pretrained', lambda *_: pytest.fail('file was read'))
    model = MODELS.build(dict(SIDE, trunk=tiny_trunk(checkpoint='x.pt', quantize='float8')))
    with pytest.raises(RuntimeError, match=r"needs a Hopper GPU .* set .*quantize to 'int8'"):
        model.init_weights()


@pytest.mark.parametrize(
    'fields, message',
    [
        (dict(quantize='int4'), r"quantize must be one of int8, nf4, float8 .* got 'int4'"),
        (dict(quantize='int8', lora=dict(r=2)), 'quantize and lora cannot be combined'),
        (dict(quantize='int8', tune='all'), "tune='all' trains all of them"),
    ],
)
def test_what_cannot_be_is_said(fields, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(tiny_trunk(**fields))


class Runner:
    """What the hook looks at."""

    def __init__(self, model, *hooks):
        self.model, self.hooks = model, hooks


def test_training_needs_the_file_that_gives_the_weights_back(file, tmp_path):
    runner = Runner(build(file, 'int8'))
    TunedCheckpointHook().before_train(runner)
    runner.model.load_state_dict(build(write_clip_file(tmp_path / 'b.pt', seed=1)).state_dict())
    with pytest.raises(RuntimeError, match=r'quantize=.int8. .*pretrained file'):
        TunedCheckpointHook().before_train(runner)


def test_averages_are_refused(file):
    TunedCheckpointHook().before_run(Runner(build(file), EMAHook()))
    with pytest.raises(ValueError, match='EMAHook averages all weights'):
        TunedCheckpointHook().before_run(Runner(build(file, 'int8'), EMAHook()))


def test_interpolation_is_refused(file):
    with pytest.raises(ValueError, match='cannot be interpolated'):
        interpolate(build(file, 'int8', dict(type='mmstadapter.FrameMeanViT'), tune='last_1'), 0.5)


def test_merging_is_refused(file):
    model = build(file, 'int8', dict(type='mmstadapter.ZeroI2VViT'))
    with pytest.raises(TypeError, match='stored in 8 or 4 bits'):
        merged(model)


def test_a_share_of_a_process_is_refused():
    with pytest.raises(ValueError, match='FSDP2 cannot share out'):
        ShardedTrunk(MODELS.build(tiny_trunk(quantize='int8')))


def test_the_weights_in_full_are_given_up(file):
    model = MODELS.build(tiny_trunk(checkpoint=file, quantize='int8'))
    before = [p for n, p in model.named_parameters() if n.endswith('c_fc.weight')]
    model.init_weights()
    assert before and not any(p.numel() for p in before)


def test_a_users_own_int8_with_rounded_tokens_is_left_to_torchao(file):
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = build(file).trunk
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    weight = model.blocks[0].mlp.c_fc.weight
    assert type(weight) is not torch.nn.Parameter and not is_quantized(weight)
    assert distance(model(toy_clips()[:, :, 0]), build(file).trunk(toy_clips()[:, :, 0])) < 0.1
