import cv2
import pytest
import torch
from mmaction.structures import ActionDataSample

from mmstadapter import DrawingHook
from mmstadapter.engine.drawing import describe, draw


class Rank0:
    rank = 0


def sample(label: int, classes: int = 5) -> ActionDataSample:
    scores = torch.linspace(0, 1, classes)
    return ActionDataSample().set_gt_label(label).set_pred_score(scores)


def test_the_strip_shows_the_frames_in_order_above_the_text():
    clip = torch.zeros(3, 4, 8, 6)
    clip[0] = torch.arange(4.0)[:, None, None] * 50  # red grows from frame to frame
    picture = draw(clip, sample(1))
    assert picture.shape[1] >= 4 * 6 and picture.shape[0] > 8
    assert picture[0, [0, 6, 12, 18], 2].tolist() == [0, 50, 100, 150]
    assert (picture[8:] < 128).any()


def test_every_task_has_its_lines():
    several = ActionDataSample()
    several.set_data(dict(tasks=dict(motion=sample(1), digit=sample(3, classes=2))))
    assert describe(several) == [
        'motion: label [1]',
        'motion: predicted 4 (1.00), 3 (0.75), 2 (0.50)',
        'digit: label [3]',
        'digit: predicted 1 (1.00), 0 (0.00)',
    ]


def test_a_sample_without_scores_is_refused():
    retrieved = ActionDataSample()
    retrieved.set_data(dict(video_features=dict(vector=torch.ones(1, 2))))
    with pytest.raises(ValueError, match=r"pred_score.*\['video_features'\].*mmstadapter search"):
        describe(retrieved)


def test_every_second_video_is_written(tmp_path):
    hook = DrawingHook(out_dir=str(tmp_path / 'drawn'), interval=2)
    hook.before_test_epoch(Rank0())
    batch = dict(inputs=[torch.zeros(1, 3, 2, 8, 8, dtype=torch.uint8)] * 3)
    for step in range(2):
        hook.after_test_iter(Rank0(), step, batch, [sample(i, classes=2) for i in (0, 1, 0)])
    assert sorted(p.name for p in (tmp_path / 'drawn').iterdir()) == [
        '0_000000.png',
        '0_000002.png',
        '0_000004.png',
    ]
    assert cv2.imread(str(tmp_path / 'drawn' / '0_000000.png')) is not None
