"""The account of a step: by hand, against real tensors, and what changes it."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmstadapter import shipped
from mmstadapter.models.text_towers import text_mask
from mmstadapter.models.trunks.video_models import VJEPA2Block
from mmstadapter.planning import TrainingStep, account_of, meter
from mmstadapter.planning.cards import CARDS, Card, find_card
from mmstadapter.planning.settings import settings_of
from mmstadapter.planning.step import loss_of, states_of
from mmstadapter.testing import fill, tiny_retriever, tiny_trunk, toy_clips

pytestmark = pytest.mark.slow

ADAMW = dict(type='AdamW', lr=1e-3)


def config(backbone: dict, batch_size: int = 3, **wrapper) -> Config:
    """A recognition config of a tiny backbone, four frames a clip."""
    model = dict(
        type='Recognizer3D',
        backbone=dict(trunk=tiny_trunk(checkpoint='gone.pt')) | backbone,
        cls_head=dict(type='mmstadapter.VideoHead', in_channels=16, num_classes=5),
        data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
    )
    if 'side_dims' not in backbone:
        model['cls_head']['in_channels'] = 32
    dataset = dict(pipeline=[dict(type='mmstadapter.SampleSegments', clip_len=4)])
    return Config(
        dict(
            model=model,
            train_dataloader=dict(batch_size=batch_size, dataset=dataset),
            optim_wrapper=dict(type='OptimWrapper', optimizer=ADAMW) | wrapper,
        )
    )


ST_ADAPTER = dict(type='mmstadapter.STAdapterViT', bottleneck_dims=8)
SIDE = dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8, frames_per_pass=5)
BACKBONES = [ST_ADAPTER, ST_ADAPTER | dict(with_cp=True), SIDE, SIDE | dict(with_cp=True)]
HALF = dict(type='mmstadapter.AmpOptimWrapper', dtype='bfloat16')


def test_two_linear_maps_are_as_counted_by_hand():
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    x = torch.zeros(800, 10)
    account = account_of(lambda: model(x).sum(), model, [x], autocast=None, states=2, bucket=True)
    tuned = 10 * 20 + 20 + 20 * 5 + 5
    assert (account.tuned, account.frozen, account.inputs) == (4 * tuned, 0, 32000)
    assert (account.states, account.bucket) == (8 * tuned, 4 * tuned)
    assert account.kept['1'] == 800 * 20 * 4  # of ReLU's result both it and the map behind keep
    forward = 2 * 800 * (10 * 20 + 20 * 5)
    assert account.operations == 2 * forward + 2 * 800 * 20 * 5  # no gradient of x


@pytest.mark.parametrize('wrapper', [{}, HALF], ids=['float32', 'bfloat16'])
@pytest.mark.parametrize('backbone', BACKBONES, ids=str)
def test_fake_tensors_account_for_what_real_ones_take(backbone, wrapper):
    step = TrainingStep(config(backbone, **wrapper))
    planned = step.account()
    given = config(backbone | dict(trunk=tiny_trunk())).model
    real = fill(MODELS.build(given)).train()
    video, labels = toy_clips(3), torch.zeros(3, dtype=torch.long)
    actual = account_of(
        lambda: loss_of(real, video, labels=labels),
        real,
        [video, labels],
        autocast=torch.bfloat16 if wrapper else None,
        bucket=False,
    )
    # PyTorch's fake layer norm has its statistics in 16 bit, its real one in 32.
    assert planned.categories() == pytest.approx(actual.categories(), rel=0.01 if wrapper else 0)
    assert planned.operations == actual.operations > 0
    assert planned.traffic == pytest.approx(actual.traffic, rel=0.01)


def test_retrieval_is_accounted_for_as_well():
    model = tiny_retriever()
    dataset = dict(pipeline=[dict(type='SampleFrames', clip_len=4)])
    loader = dict(batch_size=3, dataset=dataset)
    step = TrainingStep(Config(dict(model=model, train_dataloader=loader)))
    planned = step.account()
    real = fill(MODELS.build(model)).train()
    video, ids = toy_clips(3), torch.zeros(3, 8, dtype=torch.long)
    actual = account_of(
        lambda: loss_of(real, video, ids=ids), real, [video, ids], autocast=None, bucket=False
    )
    assert text_mask(ids).shape == (3, 8)
    assert planned.categories() == actual.categories()


@pytest.mark.parametrize('name', [n for n in shipped.configs() if '_vit-tiny_' in n])
def test_every_method_is_accounted_for(name):
    given = Config.fromfile(shipped.config(name))
    if given.model.backbone.trunk.get('lora'):
        pytest.importorskip('peft', reason='peft is not installed')
    account = TrainingStep(given).account(2)
    assert account.peak > account.frozen + account.tuned + account.states > 0
    assert account.operations > 0


def test_pixels_are_blended_before_they_are_counted():
    given = config(ST_ADAPTER)
    given.model.data_preprocessor = dict(type='no such thing')
    assert TrainingStep(given).account() == TrainingStep(config(ST_ADAPTER)).account()


def test_the_kinds_add_up_to_all_that_was_alive(monkeypatch):
    peaks = []
    sort = meter.Meter.watching
    monkeypatch.setattr(
        meter.Meter, 'watching', lambda self, model: peaks.append(self) or sort(self, model)
    )
    account = TrainingStep(config(ST_ADAPTER)).account()
    assert account.peak == peaks[0].peak + account.states


def grid_of_probes() -> Config:
    """Three probes on a video encoder of transformers, two clips of the trunk at a time."""
    pytest.importorskip('transformers')
    sizes = dict(patch_size=8, embed_dims=36, num_layers=3, num_heads=2)
    trunk = dict(type='mmstadapter.HFVideoViT', arch=sizes, num_frames=4, img_size=32)
    probes = dict(type='mmstadapter.ProbeViT', num_heads=2, depth=2, num_probes=3, with_cp=True)
    given = config(probes | dict(trunk=trunk, frames_per_pass=8), batch_size=5)
    rates = dict(lrs=(1e-3, 3e-4, 1e-4), weight_decays=(0.1,))
    given.model.cls_head = dict(
        type='mmstadapter.ProbesHead', in_channels=36, num_classes=5, **rates
    )
    return given


# Of the video encoder run two blocks, one for each size of a portion (2 clips, 1), of 3 x 3.
@pytest.mark.parametrize(
    'given, few, all_of_them',
    [(lambda: config(SIDE), 0, 0), (grid_of_probes, 2, 9)],
    ids=['ours', 'wrapped'],
)
def test_equal_frozen_blocks_need_not_run(given, few, all_of_them, monkeypatch):
    runs = []
    attend = VJEPA2Block.attend
    monkeypatch.setattr(VJEPA2Block, 'attend', lambda *a, **k: runs.append(1) or attend(*a, **k))
    once = TrainingStep(given()).account()
    assert len(runs) == few
    monkeypatch.setattr(meter, '_equal_blocks', lambda model: {})
    each = TrainingStep(given()).account()
    assert len(runs) == few + all_of_them
    assert once.categories() == each.categories()
    assert sorted(once.operators) == sorted(each.operators)


def test_recomputing_keeps_less_and_computes_more():
    plain, lean = (TrainingStep(config(b, 16)).account() for b in BACKBONES[:2])
    assert lean.peak < plain.peak and lean.operations > plain.operations


def test_several_cards_have_a_bucket_and_accumulation_holds_gradients():
    alone = TrainingStep(config(ST_ADAPTER)).account()
    together = TrainingStep(config(ST_ADAPTER), gpus=2).account()
    assert alone.bucket == 0 and together.bucket == together.tuned
    parts = TrainingStep(config(ST_ADAPTER, accumulative_counts=2)).account()
    assert parts.gradients == parts.tuned > alone.gradients


def test_float16_autocast_is_float32_on_a_cpu():
    wrapper = dict(type='mmstadapter.AmpOptimWrapper')
    assert TrainingStep(config(ST_ADAPTER, **wrapper)).autocast is torch.float16
    assert TrainingStep(config(ST_ADAPTER, **wrapper), on_cpu=True).autocast is None
    assert TrainingStep(config(ST_ADAPTER, **HALF), on_cpu=True).autocast is torch.bfloat16


def test_a_gpus_forms_are_accounted_for_without_a_gpu():
    names = {}
    for on_cpu in (False, True):
        for backbone in (ST_ADAPTER, SIDE):
            account = TrainingStep(config(backbone, **HALF), on_cpu=on_cpu).account()
            names.setdefault(on_cpu, set()).update(o.name for o in account.operators)
    rows, shifted = {'pow_', 'sub'}, {'addcmul_'}  # of batch norm's own sums; of the convolution
    assert not names[False] & rows and names[False] >= shifted | {'native_batch_norm_backward'}
    assert names[True] >= rows and not names[True] & shifted


def test_equal_blocks_that_are_told_how_many_tokens_are_asked_for_are_run_once():
    backbone = MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk())).eval()
    video = toy_clips(2)
    with torch.no_grad():
        account = account_of(lambda: backbone(video).sum(), backbone, [video], autocast=None)
        plain = meter.Meter()
        with plain:
            backbone(video)
    assert account.operations == sum(o.operations for o in plain.operators)


def test_a_result_written_over_an_argument_is_read_once():
    x = torch.zeros(1000)
    with meter.Meter() as counted:
        torch.sigmoid(x, out=x)
    assert [o.nbytes for o in counted.operators] == [2 * x.nbytes]


@pytest.mark.parametrize(
    'optimizer, states',
    [
        (dict(type='SGD', lr=0.1), 0),
        (dict(type='SGD', lr=0.1, momentum=0.9), 1),
        (ADAMW, 2),
        (ADAMW | dict(amsgrad=True), 3),
        (dict(type='mmstadapter.BertAdam', lr=1e-3), 2),
    ],
    ids=str,
)
def test_an_optimiser_is_asked_what_it_keeps(optimizer, states):
    assert states_of(optimizer) == states


def test_attention_in_16_bit_goes_back_in_16_bit():
    account = TrainingStep(config(ST_ADAPTER, **HALF)).account()
    attention = [o for o in account.operators if 'attention' in o.name and o.operations]
    assert any('backward' in o.name for o in attention)
    assert all(o.half for o in attention)


def test_an_operator_takes_the_longer_of_computing_and_moving():
    card = Card('', memory=1, half=100, single=10, bandwidth=2)
    assert card.seconds(1000 * 10**9, 10**9, half=True) == pytest.approx(10e-3)
    assert card.seconds(1000 * 10**9, 10**9, half=False) == pytest.approx(100e-3)
    assert card.seconds(1, 10**9, half=True) == pytest.approx(0.5e-3)


def test_cards_are_known_by_short_names():
    assert find_card('H100') is CARDS['h100'] and find_card('A100 40') is CARDS['a100-40']
    with pytest.raises(ValueError, match=r"unknown card 'gtx'. Known: t4, .*h100"):
        find_card('gtx')


@pytest.mark.parametrize(
    'broken, message',
    [
        (dict(train_dataloader=None), 'has no train_dataloader'),
        (dict(train_dataloader=dict(dataset=dict(pipeline=[]))), 'has a clip_len'),
        (dict(model=dict(type='Recognizer3D', backbone=dict(type='C3D'))), 'has no trunk'),
    ],
    ids=['loader', 'frames', 'trunk'],
)
def test_a_config_without_a_training_of_ours_is_refused(broken, message):
    with pytest.raises(ValueError, match=message):
        TrainingStep(Config(config(ST_ADAPTER).to_dict() | broken))


def test_frames_that_a_backbone_cannot_join_are_no_setting():
    backbone = dict(type='mmstadapter.TempMeViT', merge_layers=[1], merge_frames=[4], num_frames=4)
    step = TrainingStep(config(backbone))
    names = {setting.name for setting in settings_of(step)}
    assert '8 frames a clip' in names and '2 frames a clip' not in names
