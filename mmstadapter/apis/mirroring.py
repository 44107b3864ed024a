"""Whether the mirror image of a clip still belongs to its class, measured on a few clips."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor, nn

from ..printing import shown
from .device import choose_device
from .own_videos import Video
from .pipelines import clip_length, samples_frames

PER_CLASS, AT_LEAST, IN_ALL = 12, 4, 400  # clips
FOLDS = 4
KEPT = 0.75  # share of a class's mirrored clips that must stay in it
LOST = 0.25  # share that their movement may send elsewhere
FRAMES, GRID = 8, 16
SECONDS = 300.0  # then the measurement is given up


class Mirror(NamedTuple):
    """Whether to mirror, and why."""

    flip: bool
    reason: str


def decide(config: Config, videos: list[Video], names: list[str], note: Path) -> Mirror:
    """What :func:`measure` finds for a training; a note keeps it for when the training goes on.

    Args:
        config: of the training. The trunk's weights must be here.
        videos: to train on.
        names: of the classes.
        note: the file to keep it in.
    """
    trunk = config.model.backbone.get('trunk')
    if trunk is None:
        return Mirror(False, 'no mirroring: no trunk to try it with; --mirror if it is right')
    asked = json.dumps([trunk.to_dict(), [[v.path, v.label] for v in videos]], default=str)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    try:
        old = json.loads(note.read_text(encoding='utf-8'))
        if old['digest'] == digest:
            return Mirror(old['flip'], old['reason'])
    except (OSError, ValueError, KeyError):
        pass
    chosen = [videos[i] for i in choose_clips([video.label for video in videos])]
    encode, device = _encoder(trunk), choose_device()
    root = config.train_dataloader.dataset.data_prefix.video
    clips = _clips(config, [str(Path(root) / video.path) for video in chosen], device)
    found = measure(clips, [video.label for video in chosen], names, encode.to(device))
    note.write_text(json.dumps(dict(digest=digest, **found._asdict())), encoding='utf-8')
    return found


def _encoder(trunk: dict) -> nn.Module:
    encode = MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=trunk))
    encode.trunk.init_weights()
    return encode.eval()


def _clips(config: Config, paths: list[str], device: torch.device) -> Callable[[int], Tensor]:
    """The middle view of each video as testing has it, its frames from all of the video."""
    length = clip_length(config)
    whole = dict(type='mmstadapter.SampleSegments', clip_len=length, test_mode=True)
    steps = config.test_dataloader.dataset.pipeline
    pipeline = Compose([whole if samples_frames(step) else dict(step) for step in steps])
    scale = config.model.get('data_preprocessor', {})
    mean, std = (torch.tensor(scale.get(k, [d])) for k, d in (('mean', 0.0), ('std', 1.0)))

    def clip(index: int) -> Tensor:
        info = dict(filename=paths[index], label=-1, start_index=0, modality='RGB')
        views = pipeline(info)['inputs']
        frames = views[len(views) // 2].float()
        return ((frames - mean.view(-1, 1, 1, 1)) / std.view(-1, 1, 1, 1)).to(device)

    return clip


def choose_clips(labels: list[int], seed: int = 0) -> list[int]:
    """Indices of a few clips of each class, the same number of each as far as there are."""
    classes = sorted(set(labels))
    count = max(AT_LEAST, min(PER_CLASS, IN_ALL // len(classes)))
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    return [i for c in classes for i in [j for j in order if labels[j] == c][:count]]


def measure(
    clip: Callable[[int], Tensor], labels: list[int], names: list[str], encode: nn.Module
) -> Mirror:
    """Try to tell the classes apart, then show mirror images.

    Two simple classifiers learn from most of the clips and judge the others and their mirror
    images: one by the image model's features, mean and drift over time, the other by where and
    when something moves. Mirroring is right if the first still knows the mirror images of every
    class, and the second takes no class's for another. Whatever is uncertain speaks against it:
    a wrong "yes" teaches that left is right, a wrong "no" costs a little variety.

    Args:
        clip: index -> normalised frames (3, T, H, W).
        labels: class of each clip to try.
        names: of the classes.
        encode: (B, 3, 1, H, W) -> (B, D), a frozen image model.
    """
    few = [names[c] for c in range(len(names)) if labels.count(c) < AT_LEAST]
    if few:
        return Mirror(False, f'no mirroring: too few videos of {shown(few[0])} to try it')
    start, rows = time.monotonic(), []
    for index in range(len(labels)):
        if time.monotonic() - start > SECONDS:
            return Mirror(False, 'no mirroring: trying it takes too long on this machine')
        frames = clip(index)
        rows.append([describe(frames, encode), describe(frames.flip(-1), encode)])
    y = np.array(labels)
    looks, moves = (
        [np.stack([both[side][kind] for both in rows]) for side in (0, 1)] for kind in (0, 1)
    )
    seen, kept = recalls(looks[0], looks[1], y)
    moved, stayed = recalls(moves[0], moves[1], y)
    worst = int(kept.argmin())
    turned = int((moved - stayed).argmax())
    if moved[turned] - stayed[turned] >= LOST:
        share, name = f'{stayed[turned]:.0%} instead of {moved[turned]:.0%}', names[turned]
        why = f'moves as another class when mirrored ({share} of the clips tried are known)'
    elif kept[worst] < KEPT:
        name = names[worst]
        why = (
            f'is known in {kept[worst]:.0%} of its mirror images, and in {seen[worst]:.0%} as it is'
        )
    else:
        return Mirror(
            True, f'mirroring: at least {kept.min():.0%} of each class stay what they are'
        )
    return Mirror(False, f'no mirroring: {shown(name)} {why}; --mirror if that is wrong')


@torch.inference_mode()
def describe(frames: Tensor, encode: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """(3, T, H, W) -> (2·D,) of the image model, and where and when something moves."""
    picked = np.linspace(0, frames.shape[1] - 1, FRAMES).round().astype(int)
    frames = frames[:, picked]
    features = encode(rearrange(frames, 'c t h w -> t c 1 h w')).float().cpu()
    drift = torch.linspace(-1, 1, FRAMES)[:, None] * features
    grey = F.adaptive_avg_pool2d(frames.float().mean(0), GRID).cpu()
    moving = (grey - grey.mean(0)).abs().mean(1)  # (T, GRID): columns of the picture over time
    appearance = torch.cat([features.mean(0), drift.mean(0)])
    return appearance.numpy(), (moving / (moving.sum() + 1e-6)).flatten().numpy()


def recalls(
    clips: np.ndarray, mirrored: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of each class that a ridge classifier knows: held-out clips, their mirror images.

    Args:
        clips: (N, F) features.
        mirrored: (N, F), of their mirror images.
        y: (N,) classes 0..C-1, at least ``FOLDS`` clips of each.
    """
    classes = np.arange(y.max() + 1)
    known = np.zeros((2, len(y)), bool)
    fold = np.zeros(len(y), int)
    for c in classes:
        fold[y == c] = np.arange((y == c).sum()) % FOLDS
    for k in range(FOLDS):
        train, held = fold != k, fold == k
        mean, scale = clips[train].mean(0), clips[train].std(0) + 1e-6
        known_clips = (clips[train] - mean) / scale
        targets = np.eye(len(classes))[y[train]]
        gram = known_clips @ known_clips.T / clips.shape[1] + 0.1 * np.eye(train.sum())
        weights = np.linalg.solve(gram, targets - targets.mean(0))
        for row, asked in enumerate((clips[held], mirrored[held])):
            scores = (asked - mean) / scale @ known_clips.T / clips.shape[1] @ weights
            known[row, held] = scores.argmax(1) == y[held]
    shares = [[known[row, y == c].mean() for c in classes] for row in (0, 1)]
    return np.array(shares[0]), np.array(shares[1])
