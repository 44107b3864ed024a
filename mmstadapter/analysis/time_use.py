"""What a model loses, class by class, when the frames of its videos lose their order."""

from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets.files import read_lines
from ..engine.tuned_checkpoint import read_adapter
from ..progress import told
from ..weights import PREFIX

IN_ORDER = 'in order'
CHANGES = ('shuffled', 'reversed', 'frozen')
ORDERS = (IN_ORDER, *CHANGES)


def frame_order(kind: str, num_frames: int, seed: int = 0) -> Tensor:
    """Indices of the frames to show, (T,), for a kind of `ORDERS`.

    ``'shuffled'`` is one of all other orders than the true one, chosen by the seed.
    """
    order = np.arange(num_frames)
    if kind == 'shuffled':
        draw = np.random.RandomState(seed)
        while num_frames > 1 and (order == np.arange(num_frames)).all():
            order = draw.permutation(num_frames)
    elif kind == 'reversed':
        order = order[::-1].copy()
    elif kind == 'frozen':
        order = np.full(num_frames, num_frames // 2)
    return torch.from_numpy(order)


def show(video: Tensor, kind: str, seed: int) -> Tensor:
    """The clips of one video (views, 3, T, H, W) with their frames in another order."""
    if video.dim() != 5:
        raise ValueError(
            f'time_use: the test pipeline gives {tuple(video.shape)}; clips (views, 3, T, H, W) '
            "are needed. Set FormatShape's input_format to 'NCTHW'."
        )
    return video if kind == IN_ORDER else video[:, :, frame_order(kind, video.shape[2], seed)]


def true_label(sample) -> int:
    """A sample's own label, also of a video that could not be decoded.

    Raises:
        ValueError: if it has none or several.
    """
    label = sample.get('lost_label', None)
    label = sample.gt_label if label is None else torch.as_tensor(label)
    if label.numel() != 1 or label.item() < 0:
        raise ValueError(
            f'time_use: one label a video is needed, got {label.tolist()}. Check the annotation '
            'file of test_dataloader.'
        )
    return int(label.item())


@torch.no_grad()
def compare(model: nn.Module, loader: DataLoader, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Test a model on every video in every order of `ORDERS`.

    Args:
        model: a recognizer in eval mode.
        loader: batches of ``inputs`` (views, 3, T, H, W) and ``data_samples``, as in testing.
        seed: of the shuffled orders; each video has its own, whatever the batch size.

    Returns:
        Labels (V,), and which videos were right (V, orders), bool. A video that could not be
        decoded is wrong in all.
    """
    labels: list[int] = []
    right: list[list[bool]] = []
    for batch in told(loader, len(loader), 'batches'):
        own = [true_label(sample) for sample in batch['data_samples']]
        seeds = [crc32(f'{seed}:{len(labels) + i}'.encode()) for i in range(len(own))]
        lost = [sample.get('lost_label', None) is not None for sample in batch['data_samples']]
        columns = []
        for kind in ORDERS:
            videos = [show(v, kind, s) for v, s in zip(batch['inputs'], seeds, strict=True)]
            tested = model.test_step(dict(inputs=videos, data_samples=batch['data_samples']))
            best = [int(sample.pred_score.argmax()) for sample in tested]
            columns.append([a == b and not c for a, b, c in zip(best, own, lost, strict=True)])
        labels += own
        right += [list(row) for row in zip(*columns, strict=True)]
    return np.array(labels), np.array(right, dtype=bool)


def summary(right: np.ndarray) -> dict[str, float | int]:
    """Top-1 in per cent for each order, and the largest loss, of some videos (V, orders)."""
    top1 = dict(zip(ORDERS, (100 * right.mean(axis=0)).tolist(), strict=True))
    drop = top1[IN_ORDER] - min(top1[kind] for kind in CHANGES)
    return dict(videos=len(right), **top1, drop=drop)


def report(labels: np.ndarray, right: np.ndarray, names: list[str] | None = None) -> dict:
    """All numbers: ``overall``, and ``classes``, the largest loss first.

    Args:
        labels: (V,).
        right: (V, orders), from `compare`.
        names: of the classes.

    Raises:
        ValueError: if there are fewer names than classes.
    """
    if names is not None and labels.max() >= len(names):
        raise ValueError(f'time_use: {len(names)} label names, but a video of class {labels.max()}')
    rows = [
        dict(label=label, name=names[label] if names else str(label))
        | summary(right[labels == label])
        for label in np.unique(labels).tolist()
    ]
    rows.sort(key=lambda row: (-row['drop'], row['label']))
    return dict(overall=summary(right), classes=rows)


def table(result: dict) -> str:
    """The report as Markdown."""
    head = ['class', 'videos', *(f'{kind}, top-1' for kind in ORDERS), 'largest loss']
    lines = [head, ['---', *['---:'] * (len(head) - 1)]]
    for row in (dict(name='all') | result['overall'], *result['classes']):
        numbers = [f'{row[kind]:.1f}' for kind in (*ORDERS, 'drop')]
        lines.append([row['name'], f'{row["videos"]}', *numbers])
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def read_names(labels: Path | None, checkpoint: str) -> list[str] | None:
    """Names of the classes, from a file of a name a line or from an adapter file."""
    if labels is not None:
        return read_lines(labels)
    if checkpoint.startswith(PREFIX) or checkpoint.endswith('.safetensors'):
        return read_adapter(checkpoint)[1].get('labels')
    return None


def build_loader(cfg: Config) -> DataLoader:
    """The config's test set."""
    return Runner.build_dataloader(cfg.test_dataloader, seed=0)
