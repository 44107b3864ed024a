"""One trunk pass, several tasks: the same results as separate models."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from torch import nn

from mmstadapter import (
    FrameMeanViT,
    MultiTaskHead,
    SharedTrunkViT,
    Side4VideoViT,
)
from mmstadapter.testing import fill, tiny_trunk, toy_clips

MOTION = dict(side_dims=16, head_dims=8, layers='interval')
DIGIT = dict(side_dims=8, head_dims=8, norm='post', with_cp=True)


def shared() -> SharedTrunkViT:
    return fill(
        SharedTrunkViT(
            trunk=tiny_trunk(),
            branches=dict(
                motion=dict(type='mmstadapter.SideNetwork', **MOTION),
                digit=dict(type='mmstadapter.SideNetwork', **DIGIT),
                probe=dict(type='mmstadapter.FrameMean'),
            ),
        )
    )


def separate(model: SharedTrunkViT) -> dict[str, nn.Module]:
    """The same parts as models of their own."""
    alone = dict(
        motion=Side4VideoViT(trunk=tiny_trunk(), **MOTION),
        digit=Side4VideoViT(trunk=tiny_trunk(), **DIGIT),
        probe=FrameMeanViT(trunk=tiny_trunk()),
    )
    for name, backbone in alone.items():
        backbone.trunk.load_state_dict(model.trunk.state_dict())
        if name != 'probe':
            backbone.side.load_state_dict(model.branches[name].state_dict())
    return alone


def test_features_gradients_and_statistics_are_those_of_separate_models():
    together = shared().train()
    alone = {name: model.train() for name, model in separate(together).items()}
    for _ in range(2):
        features = together(toy_clips())
        sum(f.square().sum() for f in features.values() if f.requires_grad).backward()
        for name, model in alone.items():
            feature = model(toy_clips())
            torch.testing.assert_close(features[name], feature)
            if feature.requires_grad:
                feature.square().sum().backward()
    for name in ('motion', 'digit'):
        pairs = zip(
            together.branches[name].named_parameters(), alone[name].side.parameters(), strict=True
        )
        for (parameter, a), b in pairs:
            torch.testing.assert_close(a.grad, b.grad, msg=parameter)
        for a, b in zip(together.branches[name].buffers(), alone[name].side.buffers(), strict=True):
            torch.testing.assert_close(a, b)


def test_inference_gives_the_features_of_separate_models():
    together = shared().eval()
    with torch.no_grad():
        features = together(toy_clips())
        for name, model in separate(together).items():
            torch.testing.assert_close(features[name], model.eval()(toy_clips()))


def test_a_built_trunk_is_taken_as_it_is_and_another_module_refused():
    trunk, branches = shared().trunk, dict(probe=dict(type='mmstadapter.FrameMean'))
    assert SharedTrunkViT(trunk, branches).trunk is trunk
    with pytest.raises(TypeError, match='SharedTrunkViT: trunk must be a trunk'):
        SharedTrunkViT(nn.Identity(), branches)


def test_the_trunk_runs_once():
    model, calls = shared().eval(), []
    model.trunk.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    model(toy_clips())
    assert len(calls) == 1


def test_a_tuned_trunk_or_no_branch_is_refused():
    branch = dict(a=dict(type='mmstadapter.FrameMean'))
    with pytest.raises(ValueError, match="frozen trunk, got branches .'a'., tune='bias'"):
        SharedTrunkViT(trunk=tiny_trunk(tune='bias'), branches=branch)
    with pytest.raises(ValueError, match="tune='none' and lora={'r': 2}"):
        SharedTrunkViT(trunk=tiny_trunk(lora=dict(r=2)), branches=branch)
    with pytest.raises(ValueError, match='one branch or more'):
        SharedTrunkViT(trunk=tiny_trunk(), branches={})


def test_a_branch_of_another_type_is_refused():
    branch = dict(a=dict(type='mmstadapter.Side4VideoViT'))
    with pytest.raises(ValueError, match="'a' must be of type SideNetwork or FrameMean, got"):
        SharedTrunkViT(trunk=tiny_trunk(), branches=branch)


def recogniser() -> nn.Module:
    head = dict(type='mmstadapter.VideoHead', dropout_ratio=0.0)
    return MODELS.build(
        dict(
            type='Recognizer3D',
            data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
            backbone=dict(
                type='mmstadapter.SharedTrunkViT',
                trunk=tiny_trunk(),
                branches=dict(
                    motion=dict(type='mmstadapter.SideNetwork', **MOTION),
                    digit=dict(type='mmstadapter.FrameMean'),
                ),
            ),
            cls_head=dict(
                type='mmstadapter.MultiTaskHead',
                heads=dict(
                    motion=dict(head, in_channels=16, num_classes=8),
                    digit=dict(head, in_channels=32, num_classes=10),
                ),
            ),
        )
    )


def samples(*labels: tuple[int, ...]) -> list[ActionDataSample]:
    """Samples as a data set with multi_class=True and 18 classes gives them."""
    made = []
    for own in labels:
        onehot = torch.zeros(18)
        onehot[list(own)] = 1.0
        made.append(ActionDataSample().set_gt_label(onehot))
    return made


def test_the_page_s_config_builds_model_and_evaluator(tmp_path):
    page = (Path(__file__).parents[2] / 'docs' / 'several_tasks.md').read_text()
    (tmp_path / 'mine.py').write_text(page.split('```python')[1].split('```')[0])
    config = Config.fromfile(tmp_path / 'mine.py')
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert model.cls_head.num_classes == config.train_dataloader.dataset.num_classes == 410
    (metric,) = Runner.build_evaluator(None, config.val_evaluator).metrics
    assert metric.metrics.keys() == model.backbone.branches.keys()


class TestMultiTaskHead:
    def test_every_task_has_its_loss_and_missing_labels_are_left_out(self):
        model = fill(recogniser()).train()
        inputs = toy_clips()[:, None]
        both = model(inputs, samples((3, 8 + 4), (7,)), mode='loss')
        assert {'motion.loss_cls', 'digit.loss_cls'} <= both.keys()
        digit = model.cls_head.heads['digit']
        feature = model.backbone(inputs[:, 0])['digit'][:1]
        own = digit.loss(feature, [ActionDataSample().set_gt_label(4)])
        torch.testing.assert_close(both['digit.loss_cls'], own['loss_cls'])
        none = model(inputs, samples((3,), (7,)), mode='loss')
        assert none['digit.loss_cls'] == 0.0
        sum(v for k, v in none.items() if 'loss' in k).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)

    def test_predictions_and_metrics_are_a_task_s_own(self):
        model = fill(recogniser()).eval()
        with torch.no_grad():
            inputs = toy_clips()[:, None]
            predicted = model(inputs, samples((3, 12), (7, 17)), mode='predict')
        metrics = {task: dict(type='mmstadapter.VideoAccMetric') for task in ('motion', 'digit')}
        config = dict(type='mmstadapter.MultiTaskMetric', tasks=metrics)
        evaluator = Runner.build_evaluator(None, ConfigDict(config))  # as a config's val_evaluator
        evaluator.process(predicted)
        found = evaluator.evaluate(2)
        for task, label in (('motion', (3, 7)), ('digit', (4, 9))):
            scores = [p.tasks[task].pred_score for p in predicted]
            right = [int(s.argmax()) == own for s, own in zip(scores, label, strict=True)]
            assert found[f'{task}/acc/top1'] == sum(right) / 2

    def test_videos_without_a_task_s_label_do_not_count_and_lost_ones_are_misses(self):
        model = fill(recogniser()).eval()
        given = samples((), (7,), (7,))
        given[0].set_metainfo(dict(lost_label=samples((3,))[0].gt_label))
        with torch.no_grad():
            predicted = model(toy_clips(3)[:, None], given, mode='predict')
        for sample in predicted:  # all predict class 7
            sample.tasks['motion'].set_pred_score(torch.eye(8)[7])
        kind = dict(
            type='mmstadapter.VideoAccMetric',
            metric_list=('top_k_accuracy', 'mean_class_accuracy'),
        )
        evaluator = Runner.build_evaluator(
            None, dict(type='mmstadapter.MultiTaskMetric', tasks=dict(motion=kind, digit=kind))
        )
        evaluator.process(predicted)
        found = evaluator.evaluate(3)
        assert found['motion/acc/top1'] == pytest.approx(2 / 3)  # the lost video has label 3
        assert found['motion/acc/mean1'] == pytest.approx(1 / 2)
        assert not any(name.startswith('digit') for name in found)

    def test_wrong_labels_and_features_are_refused(self):
        head = MultiTaskHead(
            dict(a=dict(type='mmstadapter.VideoHead', in_channels=4, num_classes=3))
        )
        feats = dict(a=torch.randn(1, 4))
        with pytest.raises(ValueError, match='multi_class=True and num_classes=3'):
            head.loss(feats, [ActionDataSample().set_gt_label(1)])
        with pytest.raises(ValueError, match='has 2 labels among the classes 0 to 2'):
            head.loss(feats, [ActionDataSample().set_gt_label(torch.tensor([1.0, 1.0, 0.0]))])
        with pytest.raises(ValueError, match='a feature for each of .*got Tensor'):
            head.loss(torch.randn(1, 4), [])
        with pytest.raises(ValueError, match='needs one head or more'):
            MultiTaskHead({})
        with pytest.raises(ValueError, match="accuracies of 'gloss' too"):
            MultiTaskHead(dict(gloss=dict(type='mmstadapter.VideoHead')))
