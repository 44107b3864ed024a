"""What an exported file says about itself: how its input is made, what its output means."""

import json
from typing import Any

from ..apis.pipelines import clips_a_video, samples_frames
from ..version import __version__
from .sources import Source
from .tracing import LEAST, Traced

FORMAT = 'mmstadapter.export/1'


def metadata_of(source: Source, traced: Traced, **facts: Any) -> dict[str, str]:
    """Names and JSON texts; facts are the file's own, such as its opset."""
    tower = traced.tower
    found = dict(
        format=FORMAT,
        version=__version__,
        model=source.name,
        task=tower.name,
        precision='float32',
        inputs={tower.given: _axes(traced)},
        outputs=list(tower.found),
    )
    found |= dict(preprocessing=preprocessing_of(source)) if tower.given == 'video' else {}
    found |= dict(tokenizer=_tokenizer(source)) if tower.given == 'ids' else {}
    found |= dict(labels=source.labels) if tower.name == 'scores' and source.labels else {}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in (found | facts).items()}


def _axes(traced: Traced) -> list:
    """Sizes of the input: words for axes that are open."""
    tower = traced.tower
    sizes: list[Any] = list(tower.example.shape)
    sizes[0] = 'batch' if tower.clips == 1 else f'{tower.clips} * videos'
    if traced.takes_any_frames:
        groups = f', {tower.unit} at a time' if tower.unit > 1 else ''
        sizes[2] = f'frames, {LEAST * tower.unit} to {tower.most or "any"}{groups}'
    return sizes


def preprocessing_of(source: Source) -> dict[str, Any]:
    """From a video to the model's input, in plain words and as the steps themselves.

    A clip is ``(pixels - mean) / std`` of RGB pixels of 0..255, (3, T, H, W).
    """
    transform = source.transform
    steps = transform.pipeline
    sampling = next((step for step in steps if samples_frames(step)), {})
    return dict(
        size=list(transform.size),
        mean=list(transform.mean),
        std=list(transform.std),
        channels='RGB',
        layout='B C T H W',
        clip_len=transform.num_frames,
        frame_interval=sampling.get('frame_interval'),
        sampling=sampling,
        views=clips_a_video(steps),
        average_views=source.averages,
        pipeline=steps,
    )


def _tokenizer(source: Source) -> dict[str, Any]:
    tokenizer = source.model.tokenizer
    return dict(
        type=type(tokenizer).__name__, context_length=getattr(tokenizer, 'context_length', None)
    )
