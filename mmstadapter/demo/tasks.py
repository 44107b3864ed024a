"""The tasks of the leaderboard: what each asks, which bound it has, what it changes of a config."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SHOTS = (4, 16)


@dataclass(frozen=True)
class Task:
    """What a model is asked.

    Args:
        title: heading of its table.
        scores: what is measured, each in per cent, with its name.
        bound: most that a model blind to the order of frames can reach, if there is a bound.
        text: what it shows and what not.
        kind: of the configs that are taken.
        data: name of the data set's folder.
        options: changed fields of these configs.
        clips: of each class, drawn anew for each seed; None takes all.
    """

    title: str
    text: str
    bound: float | None = None
    scores: dict[str, str] = field(default_factory=lambda: dict(top1='top-1'))
    kind: str = 'motion'
    data: str = 'moving_digits'
    options: dict = field(default_factory=dict)
    clips: int | None = None


def lists(task: str, classes: int) -> dict:
    """Fields of a config that has another task's lists and number of classes."""
    changed: dict = {'model.cls_head.num_classes': classes}
    for loader, half in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        changed[f'{loader}_dataloader.dataset.ann_file'] = f'{half}_{task}.txt'
        changed[f'{loader}_dataloader.dataset.num_classes'] = classes
    return changed


COUNTING = dict(clip_len=16, frame_interval=1) | lists('counting', 6)
MOTION = 'Validation holds every scene forwards and backwards with identical frames.'
TASKS = {
    'motion': Task(
        'Which way does it move?',
        f'800 clips, 8 motions, 8 of 24 frames. {MOTION} Saturated: it shows whether a method '
        'sees time at all, and does not tell apart those that do.',
        bound=50.0,
    ),
    'digit': Task(
        'Which digit is it?',
        'The same clips, ten digits in unseen handwriting; one frame is enough. It shows whether '
        'a method keeps what the image model knows. 400 clips leave a standard error of 1.2.',
        options=lists('digit', 10),
    ),
    'counting': Task(
        'How often does the digit appear?',
        '240 clips, 1 to 6 appearances, all 16 frames, 20 epochs. Validation holds 70 scenes with '
        'all six counts, made of the same pictures. Neighbouring frames tell the count, so this is '
        'no test of reach; but no linear look at a window passes the bound either. It shows '
        'whether a method makes something nonlinear of neighbours, from few clips. 420 clips leave '
        'a standard error of about 2.4 at 60 %, more where the clips of a scene fail together.',
        bound=100 / 6,
        data='blinking_digits',
        options=COUNTING | {'train_cfg.max_epochs': 20},
    ),
    'motion-4': Task(
        'Which way, learnt from 4 clips of each motion',
        f'32 clips, another draw for each seed, 75 epochs. {MOTION} It shows how fast the part '
        'that looks at time becomes useful, and nothing of what a method reaches with more clips.',
        bound=50.0,
        options={'train_cfg.max_epochs': 75},
        clips=4,
    ),
    'motion-16': Task(
        'Which way, learnt from 16 clips of each motion',
        f'128 clips, another draw for each seed, 18 epochs. {MOTION} It shows how fast the part '
        'that looks at time becomes useful.',
        bound=50.0,
        options={'train_cfg.max_epochs': 18},
        clips=16,
    ),
    'captions': Task(
        'Which video fits a caption, which caption a video?',
        'The clips of the motions with captions such as "the digit three moves to the left", the '
        'words of motion new to the text tower; R@1 in five galleries of 80 videos and 80 '
        f'captions, tied answers share the credit. {MOTION} Adapters, last norm, projection and '
        'text tower are trained in one stage on captions alone, no motion labels. Opposite motions '
        'begin almost identical in the text tower (cosines of 0.91 to 1.00): without '
        '`ContrastiveLoss(text_negatives=1)`, which makes other captions negatives of a caption, '
        'they first become one, and the video side has little to learn from. The tiny vision '
        "transformer of timm has no rows here: it has no projection into the text tower's space.",
        bound=50.0,
        scores=dict(t2v='caption to video, R@1', v2t='video to caption, R@1'),
        kind='captions',
    ),
}


def draw_clips(task: Task, root: Path, seed: int) -> dict:
    """The field that names a seed's own training list, which is written; {} where all are taken."""
    if task.clips is None:
        return {}
    from ..preparation.moving_digits import few_shots

    return {'train_dataloader.dataset.ann_file': few_shots(root, task.clips, seed)}


def prepare(tasks: list[str], data: Path) -> None:
    """Film the clips of tasks, unless they are there."""
    from ..preparation import blinking_digits, moving_digits

    makers: dict[str, Callable[[Path], bool]] = dict(
        moving_digits=moving_digits.prepare, blinking_digits=blinking_digits.prepare
    )
    for name in sorted({'moving_digits', *(TASKS[task].data for task in tasks)}):
        makers[name](data / name)
