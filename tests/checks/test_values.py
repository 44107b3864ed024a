"""Values that cannot be meant are refused before anything is built."""

import pytest

IMPOSSIBLE = {
    'optim_wrapper__clip_grad__max_norm': [-1.0, 0, float('nan'), '1'],
    'optim_wrapper__optimizer__lr': [-1e-3, float('inf'), '1e-3', True],
    'optim_wrapper__optimizer__weight_decay': [-0.1],
    'optim_wrapper__optimizer__betas': [(0.9, 1.0), (-0.1, 0.9)],
    'optim_wrapper__accumulative_counts': [0, 1.5],
    'optim_wrapper__paramwise_cfg__bias_decay_mult': [-1.0],
    'model__cls_head__label_smooth_eps': [2.0, 1.0, -0.1],
    'model__cls_head__dropout_ratio': [1.0, 1.5, -0.5],
    'model__cls_head__average_clips': ['sofmax'],
    'model__cls_head__num_classes': [0],
    'model__cls_head__topk': [(0,)],
    'train_dataloader__batch_size': [0, -1, 2.0],
    'train_dataloader__num_workers': [-1],
    'train_cfg__max_epochs': [0, -3, 1.5],
    'train_cfg__val_interval': [0, -1],
    'train_cfg__val_begin': [9],
    'auto_scale_lr__base_batch_size': [0],
    'randomness__seed': [-1],
    'env_cfg__mp_cfg__mp_start_method': ['fork_it'],
    'default_hooks__checkpoint__rule': ['biggest'],
    'val_evaluator__metric_list': ['acc', ('top_k_accuracy', 'top1')],
    'model__data_preprocessor__std': [(0, 0, 0), (1, 1)],
    'model__backbone__trunk__patch_size': [0],
    'default_hooks__logger__interval': [0],
    'default_hooks__checkpoint__interval': [0],
    'train_dataloader__dataset__pipeline__1__clip_len': [0],
}


@pytest.mark.parametrize(('key', 'value'), [(k, v) for k, vs in IMPOSSIBLE.items() for v in vs])
def test_it_is_refused_by_its_dotted_name(complaint, key, value):
    assert f'{key.replace("__", ".")}' in complaint(**{key: value})


@pytest.mark.parametrize(
    'options',
    [
        dict(optim_wrapper__clip_grad=None),
        dict(model__cls_head__label_smooth_eps=0.1, model__cls_head__average_clips=None),
        dict(default_hooks__checkpoint__interval=-1),
        dict(optim_wrapper__optimizer__lr=0.0, train_dataloader__num_workers=0),
        dict(randomness__seed=None, val_cfg=None, val_dataloader=None, val_evaluator=None),
    ],
)
def test_what_can_be_meant_passes(complaint, options):
    assert complaint(**options) == ''


def test_clipping_needs_its_bound(complaint):
    lines = "optim_wrapper = dict(clip_grad=dict(_delete_=True, type='value', max_norm=1.0))"
    assert 'clip_value' in complaint(lines)


class TestValidation:
    @pytest.mark.parametrize('name', ['acc/top_1', 'retrieval/t2v/R1', 'acc/mean1'])
    def test_the_best_metric_must_be_one_that_validation_gives(self, complaint, name):
        said = complaint(default_hooks__checkpoint__save_best=name)
        assert f'no metric {name!r}' in said and 'acc/top1' in said

    def test_so_must_the_one_that_stops_early(self, complaint):
        hook = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='acc/top1%s')]"
        assert complaint(hook % '0') and not complaint(hook % '')

    def test_the_names_are_those_of_the_evaluator_as_set(self, complaint):
        lines = 'val_evaluator = dict(metric_options=dict(top_k_accuracy=dict(topk=(1, 2))))'
        assert complaint(lines, default_hooks__checkpoint__save_best='acc/top2') == ''

    def test_of_a_metric_of_ones_own_nothing_is_known(self, complaint):
        lines = "val_evaluator = dict(_delete_=True, type='ConfusionMatrix')"
        assert complaint(lines, default_hooks__checkpoint__save_best='acc/top7') == ''

    def test_retrieval_has_no_best_by_itself(self, complaint):
        lines = "val_evaluator = dict(_delete_=True, type='mmstadapter.TextVideoMetric')"
        assert "rule='greater'" in complaint(lines)
        named = dict(save_best='retrieval/t2v/R1', rule='greater')
        assert complaint(lines, default_hooks__checkpoint=named) == ''
