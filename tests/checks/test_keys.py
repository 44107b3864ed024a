"""Keys below the top level that no constructor takes are refused with the closest that is."""

import pytest

CASES = {
    'train_cfg = dict(max_epoch=3)': 'max_epochs',
    'val_cfg = dict(fp_16=True)': 'fp16',
    'train_dataloader = dict(batchsize=2)': 'batch_size',
    'train_dataloader = dict(dataset=dict(ann_fil="x"))': 'ann_file',
    'train_dataloader = dict(sampler=dict(shufle=True))': 'shuffle',
    'train_dataloader = dict(sampler=dict(type="DefaultSampeler"))': 'DefaultSampler',
    'val_evaluator = dict(metric_option=dict())': 'metric_options',
    'optim_wrapper = dict(accumulative_count=2)': 'accumulative_counts',
    'optim_wrapper = dict(optimizer=dict(weigth_decay=0.1))': 'weight_decay',
    'optim_wrapper = dict(clip_grad=dict(max_nrom=1.0))': 'max_norm',
    'optim_wrapper = dict(paramwise_cfg=dict(bias_decay=0.0))': 'bias_decay_mult',
    'optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mul=1.0))))': (
        'lr_mult'
    ),
    'param_scheduler = [dict(type="mmstadapter.WarmupCosineLR", warm_up=1)]': 'warmup',
    'default_hooks = dict(chekpoint=dict(interval=1))': 'checkpoint',
    'default_hooks = dict(checkpoint=dict(intervall=1))': 'interval',
    'default_hooks = dict(bad_videos=dict(max_bads=1))': 'max_bad',
    'custom_hooks = [dict(type="mmstadapter.BadVideosHook")]': '',
    'custom_hooks = [dict(type="EarlyStoppingHook", monitor="acc/top1", patient=3)]': 'patience',
    'env_cfg = dict(cudnn_bench=True)': 'cudnn_benchmark',
    'env_cfg = dict(mp_cfg=dict(opencv_threads=0))': 'opencv_num_threads',
    'randomness = dict(sead=1)': 'seed',
    'auto_scale_lr = dict(enabled=True)': 'enable',
    'model = dict(backbone=dict(bottleneck_dim=8))': 'bottleneck_dims',
    'model = dict(backbone=dict(trunk=dict(tunes="all")))': 'tune',
    'model = dict(cls_head=dict(dropout=0.1))': 'dropout_ratio',
    'model = dict(cls_head=dict(label_smoth_eps=0.1))': 'label_smooth_eps',
    'model = dict(backbone=dict(type="mmstadapter.STAdapterVit"))': 'mmstadapter.STAdapterViT',
    'model = dict(test_cfg=dict(max_testing_view=2))': 'max_testing_views',
    'train_dataloader = dict(dataset=dict(pipeline=[dict(type="Flip", flip_ration=0.5)]))': (
        'flip_ratio'
    ),
    'train_dataloader = dict(dataset=dict(pipeline=[dict(type="mmstadapter.VideoDecod")]))': (
        'VideoDecode'
    ),
    'train_dataloader = dict(collate_fn=dict(type="mmstadapter.flat_colate"))': 'flat_collate',
    'train_dataloader = dict(dataset=dict(data_prefix=dict(vido=".")))': 'video',
    'val_evaluator = dict(metric_options=dict(top_k_acuracy=dict(topk=(1,))))': 'top_k_accuracy',
    'val_evaluator = dict(metric_options=dict(top_k_accuracy=dict(tokp=(1,))))': 'topk',
    'optim_wrapper = dict(constructor="TunedConstructor")': 'optim_wrapper.constructor',
    'optim_wrapper = dict(clip_grad="max_norm=1")': 'dict(max_norm=1)',
    'custom_hooks = dict(type="EMAHook")': 'must be a list',
    'log_processor = dict(window=5)': 'window_size',
}


@pytest.mark.parametrize('line', CASES)
def test_a_key_that_nothing_reads_is_refused(complaint, line):
    said = complaint(line)
    assert 'mine.py: a setting that nothing reads' in said
    assert CASES[line] in said


def test_all_that_is_wrong_is_said_at_once(complaint):
    said = complaint('train_cfg = dict(max_epoch=3)\nmodel = dict(cls_head=dict(dropout=0.1))')
    assert '2 settings' in said and 'max_epochs' in said and 'dropout_ratio' in said


def test_what_a_constructor_hands_on_or_takes_out_is_known():
    from mmengine.hooks import EMAHook

    from mmstadapter import Side4VideoViT, StepTrainLoop, VideoHead
    from mmstadapter.checks.signatures import accepted

    assert {'trunk', 'side_dims', 'cls_shift'} <= accepted(Side4VideoViT)  # SideNetwork's
    assert {'topk', 'init_cfg', 'dropout_ratio'} <= accepted(VideoHead)  # of BaseHead, BaseModule
    assert 'val_begin' in accepted(StepTrainLoop) and 'max_epochs' not in accepted(StepTrainLoop)
    assert accepted(EMAHook) is None  # whatever the averaging takes


def test_a_constructor_that_reads_names_one_by_one_takes_these():
    from mmstadapter.checks.signatures import accepted

    class Reads:
        def __init__(self, size=1, **kwargs):
            self.size, self.rate = size, kwargs.pop('rate', 2)
            self.kind = kwargs['kind']

    class Keeps:
        def __init__(self, **kwargs):
            self.settings = kwargs

    class Ignores:
        def __init__(self, size=1, **kwargs):
            self.size = size

    assert accepted(Reads) == {'size', 'rate', 'kind'}
    assert accepted(Keeps) is None
    assert accepted(Ignores) == {'size'}
