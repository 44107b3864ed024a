"""Batch norms where people trip: checkpoints, small batches, accumulated gradients."""

import shutil
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import load_checkpoint, save_checkpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmstadapter import TunedOptimWrapperConstructor, shipped
from mmstadapter.engine.tuned_checkpoint import drop_frozen, write_adapter
from mmstadapter.launch import build_runner
from mmstadapter.models.ops.sync_batch_norm import synchronise
from mmstadapter.testing import fill, tiny_trunk, toy_clips, toy_samples, write_clip_file


def config(checkpoint: str | None = None, norm: str = 'pre', **backbone) -> Config:
    side = dict(type='mmstadapter.Side4VideoViT', side_dims=64, layers='top_2', norm=norm)
    return Config(
        dict(
            model=dict(
                type='Recognizer3D',
                backbone=side | dict(trunk=tiny_trunk(checkpoint=checkpoint)) | backbone,
                cls_head=dict(
                    type='mmstadapter.VideoHead',
                    in_channels=64,
                    num_classes=5,
                    dropout_ratio=0.0,
                    init_std=None,
                ),
            )
        )
    )


def build(*args, **kwargs) -> nn.Module:
    model = MODELS.build(config(*args, **kwargs).model)
    model.init_weights()
    return model


def step(model: nn.Module, clips: torch.Tensor) -> torch.Tensor:
    """Loss of a training pass; statistics move."""
    samples = toy_samples(len(clips))
    return model.train().parse_losses(model(clips.unsqueeze(1), samples, mode='loss'))[0]


def scores(model: nn.Module) -> torch.Tensor:
    return model.eval().cls_head(model.backbone(toy_clips(seed=5)))


def statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.named_buffers() if 'running' in k or 'tracked' in k}


@pytest.fixture
def trained(tmp_path) -> tuple[nn.Module, str]:
    """A model whose statistics have moved, and its trunk's file."""
    file = write_clip_file(tmp_path / 'clip.safetensors')
    model = build(file)
    fill(model.backbone.side)
    for seed in range(3):
        step(model, toy_clips(seed=seed))
    return model, file


@pytest.mark.parametrize('norm', ['pre', 'post'])
def test_recomputed_blocks_count_their_batch_once(norm):
    plain, recomputed = fill(build(norm=norm)), fill(build(norm=norm, with_cp=True))
    for model in (plain, recomputed):
        step(model, toy_clips()).backward()
    for name, value in statistics(plain).items():
        assert torch.equal(statistics(recomputed)[name], value)
        assert 'tracked' not in name or value == 1


class TestTunedOnlyCheckpoints:
    def test_they_hold_the_statistics(self, trained):
        kept = drop_frozen(trained[0], trained[0].state_dict())
        moved = statistics(trained[0])
        assert len(moved) == 3 * 6
        for name, value in moved.items():
            assert torch.equal(kept[name], value)
            assert 'tracked' not in name or value == 3

    def test_a_checkpoint_gives_the_same_scores(self, trained, tmp_path):
        model, file = trained
        path = str(tmp_path / 'tuned.pth')
        save_checkpoint(dict(state_dict=drop_frozen(model, model.state_dict())), path)
        again = build(file)
        assert not torch.allclose(scores(again), scores(model))
        load_checkpoint(again, path, strict=True)
        assert torch.equal(scores(again), scores(model))

    def test_so_does_the_portable_form(self, trained, tmp_path):
        model, file = trained
        write_adapter(tmp_path / 'a.safetensors', model, config(file))
        again = build(file)
        load_checkpoint(again, str(tmp_path / 'a.safetensors'), strict=True)
        assert torch.equal(scores(again), scores(model))
        assert statistics(again).keys() == statistics(model).keys()

    def test_synchronised_norms_read_and_write_the_same_checkpoints(self, trained):
        model, file = trained
        before = scores(model)
        kept = drop_frozen(model, model.state_dict())
        again = synchronise(build(file))
        again.load_state_dict(kept, strict=True)
        assert torch.equal(scores(again), before)
        assert drop_frozen(again, again.state_dict()).keys() == kept.keys()


@pytest.mark.slow
def test_a_resumed_run_has_those_of_an_uninterrupted_one(toy):
    def settings(work_dir: str, **changes) -> Config:
        made = toy.toy_config(work_dir, epochs=2, val_dataloader=None, val_cfg=None, **changes)
        made |= dict(val_evaluator=None)
        made['optim_wrapper'] |= dict(accumulative_counts=3, dtype='bfloat16')  # 3 an epoch
        given = config(made['model']['backbone']['trunk']['checkpoint'], with_cp=True).model
        made['model'] |= dict(backbone=given.backbone, cls_head=given.cls_head)
        return Config(made)

    build_runner(settings('whole')).train()
    Path('parts').mkdir()
    shutil.copy('whole/epoch_1.pth', 'parts')
    Path('parts/last_checkpoint').write_text('parts/epoch_1.pth')
    build_runner(settings('parts', resume=True)).train()
    one, other = (torch.load(f'{folder}/epoch_2.pth') for folder in ('whole', 'parts'))
    assert one['state_dict']['backbone.side.stem.norm.num_batches_tracked'] == 6
    for name, value in one['state_dict'].items():
        assert torch.equal(other['state_dict'][name], value), name


@pytest.mark.parametrize('norm', ['pre', 'post'])
class TestSmallBatches:
    def test_one_clip_is_enough_since_its_places_count(self, norm):
        step(build(norm=norm), toy_clips(1)).backward()

    def test_one_value_is_refused_with_the_remedy(self, norm):
        trunk = tiny_trunk(img_size=8)
        model = build(norm=norm, trunk=trunk)
        with pytest.raises(ValueError, match='more than one value a channel'):
            step(model, toy_clips(1, num_frames=1, size=8))
        assert not any(v.any() for k, v in statistics(model).items() if 'tracked' in k)
        assert model.eval().backbone(toy_clips(1, num_frames=1, size=8)).shape == (1, 64)

    def test_clips_of_a_batch_meet_in_training_and_not_in_testing(self, norm):
        backbone = fill(build(norm=norm)).backbone
        clips = toy_clips(2)
        for mode, meet in ((True, True), (False, False)):
            backbone.train(mode)
            both, alone = backbone(clips)[:1], backbone(clips[:1])
            assert torch.allclose(both, alone, atol=1e-5) != meet


class TestAccumulatedGradients:
    def test_the_running_average_moves_once_a_batch_not_once_a_step(self):
        model = build()
        wrapper = constructor(4)(model)
        expected = statistics(model)['backbone.side.stem.norm.running_mean']
        for seed in range(4):
            clips = toy_clips(seed=seed)
            stem = model.backbone.side.stem
            mean = stem.conv(clips).mean(dim=(0, 1))
            expected = 0.9 * expected + 0.1 * mean.detach()
            wrapper.update_params(step(model, clips))
        found = statistics(model)
        torch.testing.assert_close(found['backbone.side.stem.norm.running_mean'], expected)
        assert found['backbone.side.stem.norm.num_batches_tracked'] == 4

    def test_it_is_not_the_gradient_of_the_joint_batch(self):
        model = fill(build())
        clips = toy_clips(4)

        def gradient(*parts: torch.Tensor) -> torch.Tensor:
            model.zero_grad()
            for part in parts:
                (step(model, part) / len(parts)).backward()
            return model.backbone.side.blocks[0].mlp.fc1.weight.grad.clone()

        joint, summed = gradient(clips), gradient(clips[:2], clips[2:])
        assert (joint - summed).abs().max() > 1e-3 * joint.abs().max()

    @pytest.mark.parametrize(('counts', 'rate'), [(1, 1e-3), (4, 2.5e-4)])
    def test_the_recipe_divides_the_rate_of_batch_norms(self, counts, rate):
        model = build()
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        slow = {id(p) for m in norms for p in m.parameters()}
        groups = constructor(counts)(model).optimizer.param_groups
        rates = {id(p): g['lr'] for g in groups for p in g['params']}
        assert len(slow) == 12
        assert {rates.pop(p) for p in slow} == {rate}
        assert set(rates.values()) == {1e-3}

    def test_synchronised_norms_keep_their_rate(self):
        groups = constructor(4)(synchronise(build())).optimizer.param_groups
        assert {g['lr'] for g in groups} == {1e-3}


def constructor(counts: int) -> TunedOptimWrapperConstructor:
    """That of the B/16 recipe, with accumulated gradients."""
    recipe = Config.fromfile(shipped.config('side4video_vit-b_k400.py')).optim_wrapper
    settings = dict(optimizer=recipe.optimizer, accumulative_counts=counts)
    return TunedOptimWrapperConstructor(settings, recipe.paramwise_cfg)


def test_the_page_names_the_field_and_the_tests():
    page = (Path(__file__).parents[2] / 'docs' / 'batchnorm.md').read_text()
    assert "sync_bn = 'torch'" in page and 'accumulative_counts' in page
