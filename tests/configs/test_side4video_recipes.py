"""Side4Video's recipes are the released ones, number by number (paper, Tables 1, 2 and 12)."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from mmstadapter import TunedOptimWrapperConstructor, shipped

REFERENCE = json.loads(
    (Path(__file__).parents[1] / 'reference' / 'learning_rates.json').read_text()
)['side4video_lr_base1e-3_epochs30_warmup4']
STEMS = [n.removesuffix('.py') for n in shipped.configs() if n.startswith('side4video_')]
STEMS = [stem for stem in STEMS if stem.split('_')[2] in ('k400', 'ssv1', 'ssv2')]
# Videos a GPU, copies of each, epochs, warm-up, rate; 8 GPUs throughout.
RELEASED = {
    ('b', 'k400'): (32, 1, 30, 4, 1e-3),
    ('l', 'k400'): (32, 1, 30, 4, 1e-4),
    ('e', 'k400'): (1, 1, 20, 4, 1e-4),
    ('b', 'ssv1'): (16, 2, 40, 4, 1e-3),
    ('l', 'ssv1'): (16, 2, 30, 4, 1e-4),
    ('e', 'ssv1'): (8, 2, 30, 6, 1e-4),
    ('b', 'ssv2'): (16, 2, 30, 4, 1e-3),
    ('l', 'ssv2'): (16, 2, 30, 4, 1e-4),
    ('e', 'ssv2'): (8, 2, 25, 6, 1e-4),
}
# Tuned parameters with 400 and 174 classes; those of MILLIONS were counted in the authors' code.
TUNED = {
    'b32': (23_350_032, 23_277_486),
    'b': (21_185_232, 21_112_686),
    'b-light': (4_574_032, 4_530_414),
    'l': (102_224_784, 102_108_846),
    'l-light': (22_020_816, 21_948_270),
    'e': (183_504_208, 183_373_806),
}
MILLIONS = {  # the paper's and the released code's
    ('b32', 174): '23.28', ('b', 400): '21.19', ('b', 174): '21.11', ('b-light', 174): '4.53',
    ('l', 400): '102.2', ('l-light', 174): '21.95', ('e', 400): '183.50', ('e', 174): '183.37',
}  # fmt: skip
SIDE = {'b32': (12, 320), 'b': (12, 320), 'b-light': (6, 192)}
SIDE |= {'l': (24, 512), 'l-light': (12, 320), 'e': (32, 576)}


@cache
def recipe(stem: str) -> Config:
    return Config.fromfile(shipped.config(f'{stem}.py'))


@cache
def meta_model(stem: str) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(recipe(stem).model)


def parts(stem: str) -> tuple[str, str, int]:
    """Trunk with variant, data set, frames."""
    _, trunk, data, *frames = stem.split('_')
    return trunk.removeprefix('vit-'), data, int(frames[0][:-1]) if frames else 8


def kinds(stem: str, loader: str) -> list[str]:
    return [s.type.split('.')[-1] for s in recipe(stem)[loader].dataset.pipeline]


def test_every_trunk_and_data_set_is_there_and_more_frames_where_the_paper_has_a_result():
    names = {parts(stem) for stem in STEMS}
    longer = {(t, d, 16) for t, d in RELEASED} | {('b', 'k400', 32)}
    assert names == {(t, d, 8) for t in TUNED for _, d in RELEASED} | longer


@pytest.mark.parametrize('stem', STEMS)
@pytest.mark.sweep
class TestEveryRecipe:
    def test_batch_copies_length_and_rate_are_as_released(self, stem):
        config, (trunk, data, _) = recipe(stem), parts(stem)
        batch, copies, epochs, warmup, rate = RELEASED[trunk[0], data]
        loader = config.train_dataloader
        assert (loader.batch_size, loader.dataset.num_sample) == (batch, copies)
        assert loader.collate_fn == dict(type='mmstadapter.flat_collate')
        assert config.auto_scale_lr.base_batch_size == 8 * batch
        assert '--gpus 8' in shipped.config(f'{stem}.py').read_text()
        assert config.train_cfg.max_epochs == epochs
        (schedule,) = config.param_scheduler
        assert (schedule.warmup, schedule.update_interval) == (warmup, 10)
        assert config.optim_wrapper.optimizer == dict(
            type='AdamW', lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.15
        )
        assert 'clip_grad' not in config.optim_wrapper
        assert config.optim_wrapper.type == 'mmstadapter.AmpOptimWrapper'
        assert not config.test_cfg.get('fp16', False)

    def test_augmentation_is_as_released(self, stem):
        trunk, data, _ = parts(stem)
        augmented = data != 'k400' or trunk == 'e'
        steps = ['VideoInit', 'SampleSide4Video', 'VideoDecode']
        steps += ['RandAugment'] * augmented + ['PILResize', 'PILRandomSquare', 'Flip']
        steps += ['RandomGrey'] * (data == 'k400') + ['FormatShape', 'PackActionInputs']
        found = kinds(stem, 'train_dataloader')
        if data == 'ssv1':  # its videos are folders of frames
            found[0], found[2] = steps[0], steps[2]
        assert found == steps
        flip = recipe(stem).train_dataloader.dataset.pipeline[steps.index('Flip')]
        assert ('flip_label_map' in flip) == (data != 'k400')

    def test_views_are_the_tables(self, stem):
        trunk, data, _ = parts(stem)
        steps = recipe(stem).test_dataloader.dataset.pipeline
        clips = next(s.num_views for s in steps if 'num_views' in s)
        crops = next(s.num_crops for s in steps if 'num_crops' in s)
        of_table_2 = 'light' in trunk and data == 'ssv2'
        assert (clips, crops) == ((3, 1) if of_table_2 else (4 if data == 'k400' else 2, 3))
        steps = recipe(stem).val_dataloader.dataset.pipeline
        assert [s.get('num_views', 1) for s in steps if 'clip_len' in s] == [1]
        assert [s.num_crops for s in steps if 'num_crops' in s] == [1]

    def test_the_head_is_the_released_one(self, stem):
        head = recipe(stem).model.cls_head
        assert (head.dropout_ratio, head.init_std, head.label_smooth_eps) == (0, None, 0.1)
        assert head.num_classes == (400 if parts(stem)[1] == 'k400' else 174)

    def test_the_side_network_is_that_of_table_1(self, stem):
        trunk, backbone = parts(stem)[0], meta_model(stem).backbone
        layers, dims = SIDE[trunk]
        assert len(backbone.side.blocks) == layers
        assert backbone.side.position_embedding.shape[1] == dims
        reads = len(backbone.trunk.blocks)
        assert backbone.side.reads == list(range(*((reads,) if layers == reads else (1, reads, 2))))
        assert backbone.side.blocks[0].post == (trunk == 'e')

    def test_tuned_parameters_are_those_of_the_authors_code(self, stem):
        trunk, data, _ = parts(stem)
        tuned = sum(p.numel() for p in meta_model(stem).parameters() if p.requires_grad)
        assert tuned == TUNED[trunk][data != 'k400']


def test_the_counts_are_the_papers_millions():
    for (trunk, classes), millions in MILLIONS.items():
        count = TUNED[trunk][classes == 174]
        assert f'{count / 1e6:.{len(millions.split(".")[1])}f}' == millions


def test_the_header_has_the_papers_result_where_there_is_one():
    found = {}
    for stem in STEMS:
        header = ' '.join(shipped.config(f'{stem}.py').read_text().split('"""')[1].split())
        paper = re.search(r'Paper: ([\d.]+) top-1 \(Table (\d)\)', header)
        assert bool(paper) != ('The paper has no result.' in header), stem
        if paper:
            found[parts(stem)] = (float(paper[1]), int(paper[2]))
    assert len(found) == 21
    assert found['e', 'ssv2', 16] == (75.2, 4) and found['b', 'k400', 32] == (84.2, 5)


@pytest.mark.parametrize('stem', ['side4video_vit-b_k400', 'side4video_vit-e_ssv2'])
def test_every_tuned_tensor_decays_and_learns_at_one_rate(stem):
    config, model = recipe(stem), meta_model(stem)
    settings = {k: v for k, v in config.optim_wrapper.items() if k not in ('constructor', 'type')}
    paramwise = settings.pop('paramwise_cfg')
    (group,) = TunedOptimWrapperConstructor(settings, paramwise)(model).param_groups
    assert (group['weight_decay'], group['lr']) == (0.15, settings['optimizer']['lr'])
    assert len(group['params']) == sum(p.requires_grad for p in model.parameters())


def rates(length: int, steps: int, **changes) -> list[float]:
    """Learning rates of the B/16 recipe for Kinetics-400 with ``length`` iterations an epoch."""
    config = recipe('side4video_vit-b_k400')
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=config.optim_wrapper.optimizer.lr)
    scheduler = PARAM_SCHEDULERS.build(
        config.param_scheduler[0] | changes,
        default_args=dict(
            optimizer=optimizer, epoch_length=length, end=config.train_cfg.max_epochs
        ),
    )
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


def test_the_recipes_rates_are_those_of_the_released_code():
    assert rates(95, 285) == REFERENCE['trace_3_epochs_of_95_iterations']


def test_the_first_nine_iterations_have_rate_zero_as_released():
    assert rates(95, 10)[:9] == [0.0] * 9 and rates(95, 10)[9] > 0


def test_one_field_gives_a_new_rate_every_iteration():
    found = rates(95, 95 * 30, update_interval=1)
    assert found[:3] == pytest.approx([0, 1e-3 / 4 / 95, 2e-3 / 4 / 95])
    assert len(set(found[: 4 * 95])) == 4 * 95
