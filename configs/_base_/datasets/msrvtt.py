"""MSR-VTT 1k-A with 9,000 training videos: 12 frames of the whole video, all captions.

`mmstadapter prepare msrvtt` writes the lists. An item in training is one of 180,000
pairs of caption and video, 16 a GPU; captions of one video that meet in a batch are negatives
of each other unless the loss says otherwise. An item in testing is a video with all its captions.
As released there is no augmentation: short side 224 (bicubic, smoothed), centre, and in training
random frames. The 1k-A split has no validation videos, so the test videos are looked at after
each epoch; the last epoch is the result, not the best.

7,010 training videos: train_dataloader.dataset.ann_file=train_7k.json. The split of the challenge:
train_full.json, val_full.json and test_full.json. One random caption of each video an epoch:
train_dataloader.dataset.captions=random.

Frames stored as images 30 a second, as the released code reads them: filename_tmpl='img_{:05}.jpg'
for VideoInit, and in the data sets data_prefix=dict(video='frames') and start_index=1. CLIP4Clip
thins videos to a frame a second first: fps=1 for SampleSpread.
"""

_base_ = '../default_loaders.py'

dataset_type = 'mmstadapter.CaptionDataset'
data_root = 'data/msrvtt'
data_prefix = dict(video='videos')

clip_len = 12
train_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=clip_len),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]
test_pipeline = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=clip_len, test_mode=True, rule='every'),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.PILResize', size=224),
    dict(type='mmstadapter.SpatialViews', size=224, num_crops=1, rule='quarters'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]

train_dataloader = dict(
    batch_size=16,
    drop_last=True,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train_9k.json',
        data_prefix=data_prefix,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='test_1k-a.json',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmstadapter.TextVideoMetric')
test_evaluator = val_evaluator
