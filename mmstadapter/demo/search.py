"""The search of the demonstration: a retrieval model, an index of clips, a sentence."""

import json
import re
import shlex
import shutil
from pathlib import Path

from .runs import Console, Run, execute, shown, tool

METHOD, TASK, EPOCHS = 'side4video', 'captions', 3
QUERY = 'the digit three moves to the left'
SHOWN = 5
VAL_LINE = re.compile(r'Epoch\(val\)\s+\[\d+\]\[.*t2v/R1: ([\d.]+).*v2t/R1: ([\d.]+)')
MADE_BY = ('index', 'index.log', 'search.log', 'search.html')  # in the folder of the demonstration


class SearchRun(Run):
    """A retrieval model: train, with the test at the end of training, and search with it.

    Args:
        data_root, work_dir, through_mim, console: as for `Run`.
        epochs: instead of 3, or None.
    """

    def __init__(
        self,
        data_root: Path,
        work_dir: Path,
        epochs: int | None,
        through_mim: bool,
        console: Console,
    ) -> None:
        super().__init__(METHOD, TASK, data_root, work_dir, epochs or EPOCHS, through_mim, console)
        self.work_dir = work_dir
        self.found: dict[str, float] = {}

    def test(self) -> str:
        """Recall at the end of the training, as JSON."""
        if not self.found:  # resumed after the last epoch
            log = (self.folder / 'train.log').read_text(errors='replace')
            for line in log.splitlines():
                self.condense(line)
        return json.dumps(self.found)

    def options(self, verb: str) -> list[str]:
        """As of every run, and where the text tower lies."""
        checkpoint = self.data_root / 'clip_tiny.safetensors'
        return [*super().options(verb), f'model.text_tower.checkpoint={checkpoint}']

    def condense(self, line: str) -> None:
        """One line an epoch; the test at the end is kept."""
        if match := VAL_LINE.search(line):
            self.found = dict(t2v=float(match[1]), v2t=float(match[2]))
        else:
            super().condense(line)

    def summary(self) -> str:
        """Recall at 1 in both directions."""
        found = json.loads(self.result_file().read_text())
        return f'R@1 {found["t2v"]:.1f} caption to video, {found["v2t"]:.1f} video to caption'

    def search(self) -> str:
        """Index the validation clips, find the query; returns command and output.

        Raises:
            StepFailed: if one of them fails.
        """
        index = self.work_dir / 'index'
        shutil.rmtree(index, ignore_errors=True)  # perhaps of another model
        videos = self.data_root / 'videos' / 'val'
        checkpoint = (self.folder / 'last_checkpoint').read_text().strip()
        model = ['--config', self.config, '--checkpoint', checkpoint, '--seconds', '0']
        options = self.options('train')
        self.say('index', str(videos), '--index', str(index))
        command = [*tool('index'), str(videos), '--index', str(index), *model, '--batch-size', '40']
        execute(
            [*command, *options[options.index('--cfg-options') :]],
            self.work_dir / 'index.log',
            lambda line: None,
        )
        arguments = [QUERY, '--index', str(index), '--topk', str(SHOWN)]
        page = self.work_dir / 'search.html'
        hits: list[str] = []
        execute(
            [*tool('search'), *arguments, '--html', str(page)],
            self.work_dir / 'search.log',
            lambda line: hits.append(line) if line.endswith('.mp4') else None,
        )
        return '\n'.join([f'$ {shlex.join([*shown("search"), *arguments])}', *hits])

    def say(self, verb: str, *arguments: str) -> None:
        """Tell which command runs, in short."""
        self.console.say(shlex.join([*shown(verb), *arguments]))


def remove(work_dir: Path) -> None:
    """Delete what earlier demonstrations made here."""
    for name in (f'{METHOD}-{TASK}', *MADE_BY):
        path = work_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
