"""Predict videos with an exported model: NumPy, PyAV and ONNX Runtime, and nothing of ours.

    mmstadapter export adapter.safetensors --to onnx
    python predict_onnx.py adapter.onnx a.mp4 b.mp4

What the file says of its input is followed step by step; copy this file and keep what you need.
It knows the steps of `mmstadapter fit` and of ST-Adapter's recipes, and stops at others.
"""

import json
import sys
from collections.abc import Sequence

import av
import numpy as np
import onnxruntime


def main(model: str, *videos: str) -> None:
    """Print the best classes of each video."""
    predict = Predictor(model)
    for video in videos:
        scores = predict(video)
        best = np.argsort(-scores, kind='stable')[:5]
        print(f'{video}:', ', '.join(f'{predict.labels[i]} {scores[i]:.3f}' for i in best))


class Predictor:
    """An exported classifier; called with a file it gives a probability for each class."""

    def __init__(self, model: str) -> None:
        self.session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
        stored = self.session.get_modelmeta().custom_metadata_map
        self.facts = {name: json.loads(text) for name, text in stored.items()}
        (scores,) = self.session.get_outputs()
        numbers = range(scores.shape[1])
        self.labels = self.facts.get('labels') or [str(number) for number in numbers]

    def __call__(self, video: str) -> np.ndarray:
        """Probabilities (classes,), the mean over the views."""
        (scores,) = self.session.run(None, {'video': self.clips(video)})
        if self.facts['preprocessing']['average_views'] == 'score':
            return softmax(scores.mean(axis=0))
        return softmax(scores).mean(axis=0)

    def clips(self, video: str) -> np.ndarray:
        """The views of a video as the model reads them, (V, 3, T, H, W)."""
        facts = self.facts['preprocessing']
        frames: list[np.ndarray] = []
        for step in facts['pipeline']:
            kind = step['type'].rpartition('.')[2]
            if kind.startswith('Sample'):
                frames = decode(video, sampled(step, kind, count(video)))
            elif kind == 'ResizeShortSide':
                frames = [resize(f, step['size'], step.get('interpolation')) for f in frames]
            elif kind == 'SpatialViews':
                frames = squares(frames, step)
            elif kind not in ('VideoInit', 'VideoDecode', 'FormatShape', 'PackActionInputs'):
                sys.exit(f'this example does not know the step {step["type"]}')
        pixels = np.stack(frames).astype(np.float32)
        pixels = (pixels - np.float32(facts['mean'])) / np.float32(facts['std'])
        pixels = pixels.reshape(-1, facts['clip_len'], *pixels.shape[1:])
        return np.ascontiguousarray(pixels.transpose(0, 4, 1, 2, 3))


def softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---------------------------------------------------------------------- frames


def count(video: str) -> int:
    """Frames of a video, by decoding it."""
    with av.open(video) as container:
        return sum(1 for _ in container.decode(video=0))


def decode(video: str, numbers: Sequence[int]) -> list[np.ndarray]:
    """These frames, in this order, (H, W, 3) of 0..255."""
    found, wanted = {}, {*numbers}
    with av.open(video) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                found[number] = frame.to_ndarray(format='rgb24')
    return [found[number] for number in numbers]


def sampled(step: dict, kind: str, total: int) -> list[int]:
    """Numbers of the frames of all views, of a video of so many frames."""
    length = step['clip_len']
    if kind == 'SampleSegments':
        ticks = [round((total - 1) / length * i) for i in range(length + 1)]
        return [(a + b) // 2 for a, b in zip(ticks[:-1], ticks[1:], strict=True)]
    known = {'type', 'clip_len', 'frame_interval', 'num_views', 'num_clips', 'test_mode'}
    one = kind == 'SampleFrames' and step.get('num_clips', 1) == 1
    if not (one or kind == 'SampleStride') or {*step} - known:
        sys.exit(f'this example does not know the sampling {step}')
    offsets = range(0, length * step['frame_interval'], step['frame_interval'])
    slack, views = max(total - offsets[-1] - 1, 0), step.get('num_views', step.get('num_clips', 1))
    starts = [slack // 2] if views == 1 else [round(slack / (views - 1) * i) for i in range(views)]
    numbers = [start + offset for start in starts for offset in offsets]
    if kind == 'SampleFrames':  # a short video begins again, of the other kind its end stays
        return [number % total for number in numbers]
    return [min(number, total - 1) for number in numbers]


# ---------------------------------------------------------------------- pixels


def resize(image: np.ndarray, size: int, interpolation: str | None) -> np.ndarray:
    """So that the short side has ``size`` pixels, (H, W, 3) in float."""
    height, width = image.shape[:2]
    rest = max(height, width) * size // min(height, width)
    height, width = (rest, size) if width < height else (size, rest)
    down = weights(image.shape[0], height, interpolation or 'bicubic')
    right = weights(image.shape[1], width, interpolation or 'bicubic')
    return np.einsum('ih,hwc,jw->ijc', down, image.astype(np.float32), right, optimize=True)


def weights(old: int, new: int, interpolation: str) -> np.ndarray:
    """What each new pixel takes of each old one, (new, old); borders are repeated."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(places).astype(int)
    taps = range(-1, 3) if interpolation == 'bicubic' else range(2)
    table = np.zeros((new, old))
    for tap in taps:
        share = kernel(np.abs(places - first - tap), interpolation)
        np.add.at(table, (np.arange(new), np.clip(first + tap, 0, old - 1)), share)
    return table.astype(np.float32)


def kernel(d: np.ndarray, interpolation: str) -> np.ndarray:
    """The weight of a pixel at distance d, bilinear or bicubic with a = -0.75."""
    if interpolation == 'bilinear':
        return 1 - d
    near = (1.25 * d - 2.25) * d * d + 1
    far = -0.75 * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, far)


def squares(frames: list[np.ndarray], step: dict) -> list[np.ndarray]:
    """One or three squares of all frames, square by square."""
    size, three = step['size'], step.get('num_crops', 1) == 3
    down, right = frames[0].shape[0] - size, frames[0].shape[1] - size
    if step.get('rule') == 'quarters':
        middle = [(round(down / 2), round(right / 2))]
        corners = [(2 * (down // 4), k * (right // 4)) for k in (0, 4, 2)] if three else middle
    else:
        middle = [(down // 2, right // 2)]
        corners = [(0, 0), *middle, (down, right)] if three else middle
    return [f[top : top + size, left : left + size] for top, left in corners for f in frames]


if __name__ == '__main__':
    main(*sys.argv[1:])
