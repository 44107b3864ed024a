"""The small world that trials of runs, files and settings share: videos, weights, configs."""

from pathlib import Path

import av
import numpy as np

from mmstadapter.testing import TINY_ARCH, TINY_TEXT_ARCH, write_clip_file

from .outcome import call

VIDEOS, WORDS = 6, 'start a bright dark video moves'.split()
TRAIN = """
_base_ = 'mmstadapter::stadapter_vit-b_k400.py'
tiny = dict(_delete_=True, type='mmstadapter.CLIPViT', arch={arch}, checkpoint={clip!r})
model = dict(
    backbone=dict(trunk=tiny, bottleneck_dims=8),
    cls_head=dict(in_channels=32, num_classes=2, topk=(1,)))
data = dict(ann_file={list!r}, data_prefix=dict(video={videos!r}), num_classes=2)
train_pipeline = [dict(step, size=32) if step['type'].endswith('RandomSquare') else
                  dict(step, size=(32, 36)) if step['type'].endswith('ResizeShortSide') else
                  dict(step, frame_interval=2) if 'frame_interval' in step else step
                  for step in _base_.train_pipeline]
test_pipeline = [dict(step, size=32) if 'size' in step else
                 dict(step, frame_interval=2) if 'frame_interval' in step else step
                 for step in _base_.test_pipeline]
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(batch_size=6, num_workers=0, dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(metric_options=dict(top_k_accuracy=dict(topk=(1,))))
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2)
param_scheduler = [dict(type='mmstadapter.WarmupCosineLR', warmup=1, convert_to_iter_based=True)]
default_hooks = dict(logger=dict(interval=1))
randomness = dict(seed=0)
"""
SEARCH = """
model = dict(
    type='mmstadapter.Retriever',
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, format_shape='NCTHW'),
    backbone=dict(
        type='mmstadapter.FrameMeanViT', output='frames',
        trunk=dict(type='mmstadapter.CLIPViT', arch={arch}, with_proj=True, checkpoint={clip!r})),
    text_tower=dict(type='mmstadapter.CLIPText', arch={text}, checkpoint={clip!r}),
    tokenizer=dict(type='mmstadapter.WordTokenizer', words={words}, context_length=8),
    similarity=dict(type='mmstadapter.MeanPoolSimilarity'))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=4, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='mmstadapter.ResizeShortSide', size=32),
    dict(type='mmstadapter.SpatialViews', size=32, num_crops=1),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]))
"""


def write_video(path: Path, number: int, frames: int = 24) -> None:
    """A clip that grows lighter (even numbers) or darker."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=24)
        stream.width, stream.height, stream.pix_fmt = 48, 40, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for level in np.linspace(40, 180, frames)[:: 1 - 2 * (number % 2)]:
            image = np.full((40, 48, 3), level + 5 * number, np.uint8)
            image[10:20, 10:30] += np.uint8(20)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())


def write_world(folder: Path) -> None:
    """Videos, their list, class folders of them, weights, and two configs."""
    videos = folder / 'videos'
    for number in range(VIDEOS):
        place = videos / 'up down'.split()[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        write_video(place / f'{number}.mp4', number)
    lines = [f'{"up down".split()[n % 2]}/{n}.mp4 {n % 2}\n' for n in range(VIDEOS)]
    (folder / 'list.txt').write_text(''.join(lines))
    clip = write_clip_file(folder / 'clip.safetensors', seed=4)
    text = dict(TINY_TEXT_ARCH) | dict(output_dims=TINY_ARCH['output_dims'])
    values = dict(arch=dict(TINY_ARCH), text=text, clip=clip, words=WORDS)
    values |= dict(list=str(folder / 'list.txt'), videos=str(videos))
    (folder / 'toy.py').write_text(TRAIN.format(**values))
    (folder / 'search.py').write_text(SEARCH.format(**values))


def use_world(folder: Path) -> None:
    """Train, publish and index in it, as files to damage."""
    run, config = folder / 'run', folder / 'toy.py'
    call('train', config, '--work-dir', run)
    (folder / 'labels.txt').write_text('down\nup\n')
    labels = ('--labels', folder / 'labels.txt')
    call('publish', config, run / 'epoch_2.pth', folder / 'adapter.safetensors', *labels)
    words = ('--index', folder / 'index', '--config', folder / 'search.py', '--device', 'cpu')
    call('index', folder / 'videos', *words, '--seconds', 0.5)
