"""Readable refusals of what a retriever cannot work with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def check_parts(retriever: nn.Module) -> None:
    """Raise ValueError unless backbone, text tower, tokenizer and similarity fit together."""
    backbone, tower = retriever.backbone, retriever.text_tower
    output = getattr(backbone, 'output', 'frames')
    if output != 'frames':
        raise ValueError(
            f'Retriever: needs a joint vector a frame, but the backbone {type(backbone).__name__} '
            f"has output={output!r}. Set model.backbone.output='frames' and "
            'model.backbone.trunk.with_proj=True.'
        )
    widths = dict(
        backbone=getattr(getattr(backbone, 'trunk', None), 'joint_dims', None),
        text_tower=getattr(tower, 'joint_dims', None),
        similarity=retriever.similarity.embed_dims,
    )
    known = {name: width for name, width in widths.items() if width is not None}
    if len(set(known.values())) > 1:
        raise ValueError(
            'Retriever: all parts must be of one joint width E, got '
            f'{", ".join(f"{name} {width}" for name, width in known.items())}. Take trunk and '
            'text tower from one CLIP model, and set similarity.embed_dims to their width.'
        )
    longest = getattr(tower, 'context_length', None)
    length = getattr(retriever.tokenizer, 'context_length', None)
    if longest is not None and length is not None and length > longest:
        raise ValueError(
            f'Retriever: the tokenizer makes rows of {length} tokens, the text tower takes at '
            f'most {longest}. Set model.tokenizer.context_length={longest} or less.'
        )
    if getattr(tower, 'whole_rows', False) and length is not None and length < longest:
        raise ValueError(
            f'Retriever: the text tower reads a sentence at the last of {longest} tokens, the '
            f'tokenizer makes rows of {length}. Set model.tokenizer.context_length={longest}.'
        )
    ids = getattr(retriever.tokenizer, 'vocab_size', None)
    held = getattr(tower, 'vocab_size', None)
    if ids is not None and held is not None and ids > held:
        raise ValueError(
            f'Retriever: the tokenizer makes {ids} different ids, the text tower embeds {held}. '
            'Take the tokenizer that the text tower was pretrained with.'
        )


def check_videos(video: Tensor, num_frames: int | None) -> Tensor:
    """The videos as (B, 3, T, H, W), T = num_frames where that is given.

    Raises:
        ValueError: for other shapes, several views a video, or another number of frames.
    """
    if video.ndim == 6 and video.shape[1] == 1:
        video = video.squeeze(1)
    if video.ndim != 5 or 0 in video.shape[1:]:
        raise ValueError(
            'Retriever: videos must be (B, 3, T, H, W), or (B, 1, 3, T, H, W) with one view a '
            f'video, got {tuple(video.shape)}. Use one clip and one crop a video in the pipeline.'
        )
    if num_frames is not None and video.shape[2] != num_frames:
        raise ValueError(
            f'Retriever: videos must have num_frames = {num_frames} frames, as in training, got '
            f'{video.shape[2]}. Sample {num_frames}, or set model.num_frames.'
        )
    return video


def check_samples(samples: Sequence | None, num_videos: int) -> None:
    """Raise ValueError unless there is one data sample a video."""
    count = 0 if samples is None else len(samples)
    if count != num_videos:
        raise ValueError(
            f'Retriever: needs one data sample a video, got {count} samples and '
            f'{num_videos} videos.'
        )


def check_captions(samples: Sequence | None, num_videos: int) -> list[str]:
    """The one caption of each training item.

    Raises:
        ValueError: if an item has another number, or items and videos differ in number.
    """
    check_samples(samples, num_videos)
    for sample in samples:
        captions = sample.get('captions')
        if isinstance(captions, str) or captions is None or len(captions) != 1:
            raise ValueError(
                'Retriever: a training item must have a list of one caption, got '
                f'captions={captions!r} of video {sample.get("video_id")!r}. The data set makes '
                "one item of every caption with captions='each' and test_mode=False."
            )
    return [sample.captions[0] for sample in samples]


def check_numbers(*features: Tensor) -> None:
    """Raise ValueError if a feature is NaN or infinite."""
    finite = [torch.isfinite(f).flatten(1).all(dim=1) for f in features]
    if not torch.stack([f.all() for f in finite]).all():
        counts = ' and '.join(f'{int((~f).sum())} of {len(f)}' for f in finite)
        raise ValueError(
            'Retriever: features must be finite numbers, but the encoders gave NaN or infinite '
            f'ones for {counts} items. Look at the checkpoint and the learning rate; under '
            'float16 autocast, try bfloat16.'
        )
