"""What pipelines say of the clips that they make."""

import math

from mmengine.config import Config


def clip_length(config: Config) -> int:
    """Frames T of a clip, the same in all pipelines of a config.

    Raises:
        ValueError: if no step samples frames, or the pipelines disagree, also with a
            ``num_frames`` of the backbone.
    """
    found: dict[str, int] = {}
    for kind in ('train', 'val', 'test'):
        loader = config.get(f'{kind}_dataloader')
        for step in loader.dataset.pipeline if loader else ():
            if samples_frames(step):
                found[f'{kind}_dataloader'] = step['clip_len']
    fixed = config.model.backbone.get('num_frames')
    if fixed is not None:
        found['model.backbone.num_frames'] = fixed
    if not found or len(set(found.values())) > 1:
        listed = ', '.join(f'{name}: {length}' for name, length in found.items())
        raise ValueError(
            'clip_len: the pipelines of training, validation and testing and the model must have '
            f'the same number of frames a clip, got {listed or "no sampling step"}. Set clip_len '
            'at the top level of the config, or --cfg-options clip_len=8, for all of them.'
        )
    return next(iter(found.values()))


def samples_frames(step: dict) -> bool:
    """Whether a step chooses frames, by whatever rule."""
    return 'Sample' in kind_of(step) and 'clip_len' in step


def clips_a_video(pipeline: list[dict]) -> int:
    """Views of each video in testing."""
    return math.prod(
        step.get(key, 1) for step in pipeline for key in ('num_views', 'num_clips', 'num_crops')
    )


def kind_of(step: dict) -> str:
    """'mmstadapter.SampleStride' -> 'SampleStride'."""
    return str(step['type']).rpartition('.')[2]
