"""Draw tested clips with what they are and what they were taken for."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmaction.registry import HOOKS
from mmaction.structures import ActionDataSample
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

LINE = 18  # height of a line of text, in pixels
MIN_WIDTH = 480  # so that the text fits under small frames


@HOOKS.register_module()
class DrawingHook(Hook):
    """Writes or shows a strip of frames with the label and the best three scores.

    For `mmstadapter test --show-dir` and `--show`. MMAction2's ``VisualizationHook`` cannot draw
    video: it takes a clip (views, 3, T, H, W) for frames and hands its visualizer an argument
    that this does not have.

    Args:
        out_dir: folder for one PNG a drawn video; None writes nothing.
        show: open a window for each.
        interval: draw every so many videos.
        wait_time: seconds a window stays.
    """

    def __init__(
        self,
        out_dir: str | None = None,
        show: bool = False,
        interval: int = 1,
        wait_time: float = 2.0,
    ) -> None:
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.show = show
        self.interval = interval
        self.wait_time = wait_time
        self.seen = 0

    def before_test_epoch(self, runner: Runner) -> None:
        """Count from the first video again."""
        self.seen = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[ActionDataSample] | None = None,
    ) -> None:
        """Draw every ``interval``-th video that this process has tested."""
        for clips, sample in zip(data_batch['inputs'], outputs, strict=True):
            if self.seen % self.interval == 0:
                self.put(f'{runner.rank}_{self.seen:06d}', draw(clips[0], sample))
            self.seen += 1

    def put(self, name: str, picture: np.ndarray) -> None:
        """Write and show one picture, (H, W, 3) uint8 BGR."""
        if self.out_dir is not None:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(self.out_dir / f'{name}.png'), picture)
        if self.show:
            cv2.imshow('mmstadapter', picture)
            cv2.waitKey(int(self.wait_time * 1000))


def draw(clip: Tensor, sample: ActionDataSample) -> np.ndarray:
    """A clip (3, T, H, W) of RGB 0..255 as a strip with its labels, (H', W', 3) BGR."""
    frames = clip.permute(2, 1, 3, 0).flatten(1, 2).cpu().numpy()  # (H, T·W, 3)
    strip = np.ascontiguousarray(frames.astype(np.uint8)[..., ::-1])
    lines = describe(sample)
    width = max(strip.shape[1], MIN_WIDTH)
    picture = np.full((strip.shape[0] + LINE * len(lines) + 4, width, 3), 255, np.uint8)
    picture[: strip.shape[0], : strip.shape[1]] = strip
    for i, text in enumerate(lines, start=1):
        place = (2, strip.shape[0] + LINE * i - 4)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
    return picture


def describe(sample: ActionDataSample) -> list[str]:
    """A line with the label and one with the best three scores, for every task if several.

    Raises:
        ValueError: for a sample without scores, as a retriever gives it.
    """
    if 'tasks' in sample:
        return [f'{task}: {line}' for task, own in sample.tasks.items() for line in describe(own)]
    if 'pred_score' not in sample:
        raise ValueError(
            'DrawingHook: needs class scores (pred_score), got a sample with '
            f'{sorted(sample.keys())}. Retrieval has none: `mmstadapter search` draws its hits.'
        )
    scores, classes = sample.pred_score.topk(min(3, len(sample.pred_score)))
    guesses = ', '.join(
        f'{label} ({score:.2f})' for score, label in zip(scores, classes.tolist(), strict=True)
    )
    return [f'label {sample.gt_label.flatten().tolist()}', f'predicted {guesses}']
