"""The runs of the demonstration: commands, what they print in short, what came out."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

METHODS = {'linear': 'linear probe, mean of frames', 'stadapter': 'ST-Adapter'}
TASKS = ('motion', 'digit')
# -P: in a clone, the folder's mmstadapter.egg-info would hide the installed package from mim.
MIM = (sys.executable, '-P', '-m', 'mim')

TRAIN_LINE = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*? loss: ([\d.]+)')
VAL_LINE = re.compile(r'Epoch\(val\)\s+\[(\d+)\]\[.*acc/top1: ([\d.]+)')
TUNED_LINE = re.compile(r'tuned parameters: ([\d,]+)')


class StepFailed(RuntimeError):
    """A step ended with an error; the message holds the end of its log."""


def environment() -> dict[str, str]:
    """One thread a process (several runs share the cores), output at once, no old warnings."""
    own = dict(OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore')
    return os.environ | own


def stop_group(process: subprocess.Popen) -> None:
    """End a command together with what it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)


def execute(
    command: list[str], log: Path, on_line: Callable[[str], None], started: Callable | None = None
) -> None:
    """Run a command, its output into a log and line by line to ``on_line``.

    Raises:
        StepFailed: if it does not end with status 0.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        text=True,
        errors='replace',
        start_new_session=True,  # so that stopping reaches the children of mim as well
    )
    if started is not None:
        started(process)
    try:
        with log.open('a') as file:
            file.write(f'$ {shlex.join(command)}\n')
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                on_line(line.rstrip())
        status = process.wait()
    finally:
        stop_group(process)
    if status != 0:
        end = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
        raise StepFailed(
            f'{shlex.join(command)}\nended with status {status}; the end of {log}:\n\n{end}'
        )


class Console:
    """Lines with the time since the start; several runs may speak."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.lock = threading.Lock()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    def say(self, text: str) -> None:
        """Print a line."""
        with self.lock:
            print(f'[{self.elapsed():4.0f} s]   {text}', flush=True)

    def step(self, text: str) -> None:
        """Print the heading of a step."""
        with self.lock:
            print(f'[{self.elapsed():4.0f} s] {text}', flush=True)

    def follow(self, command: list[str], log: Path) -> None:
        """Run a command and show all it prints."""
        execute(command, log, lambda line: self.say(line) if line else None)


def runs_through_mim() -> bool:
    """Whether mim finds the package and its configs.

    It does not for editable installs or without a fitting setuptools, and asked to train
    nevertheless it would try to install the package from the network.
    """
    probe = (
        'import sys, pathlib, mim.utils as u; '
        'root = pathlib.Path(u.get_installed_path("mmstadapter")); '
        'sys.exit(not (root / ".mim" / "tools" / "train.py").is_file())'
    )
    done = subprocess.run([*MIM[:2], '-c', probe], env=environment(), capture_output=True)
    return done.returncode == 0


class Run:
    """A method on a task: train, test, and read the result.

    Args:
        method: key of `METHODS`.
        task: one of `TASKS`.
        data_root: folder of data and image model.
        work_dir: folder of the demonstration; the run gets one of its own there.
        epochs: instead of the config's, or None.
        through_mim: call `mim`, not the package's own command.
        console: where progress is told.
    """

    def __init__(
        self,
        method: str,
        task: str,
        data_root: Path,
        work_dir: Path,
        epochs: int | None,
        through_mim: bool,
        console: Console,
    ) -> None:
        self.method, self.task, self.data_root, self.epochs = method, task, data_root, epochs
        self.through_mim, self.console = through_mim, console
        self.folder = work_dir / f'{method}-{task}'
        self.config = f'{method}_vit-tiny_demo-{task}.py'
        self.process: subprocess.Popen | None = None
        self.stopped = False

    def complete(self) -> None:
        """Train and test, unless both are done with these very inputs."""
        self.discard_others()
        if self.result_file().is_file():
            self.tell(f'done before: {self.summary()}')
            return
        words = ['mim train mmstadapter'] if self.through_mim else shown('train')
        self.tell(' '.join([*words, self.config]))
        self.call([*self.command('train'), *self.options('train'), '--resume'], 'train.log')
        metrics = self.test()
        part = self.result_file().with_suffix('.part')
        part.write_text(metrics)
        os.replace(part, self.result_file())
        self.tell(f'tested: {self.summary()}')

    def test(self) -> str:
        """Test the trained model; its metrics as JSON."""
        self.call([*self.command('test'), *self.options('test')], 'test.log')
        return sorted((self.folder / 'test').glob('*/*.json'))[-1].read_text()

    def summary(self) -> str:
        """What the test gave, in words."""
        return f'{self.top1():.1f} %'

    def inputs(self) -> dict:
        """What the result depends on, besides the code."""
        model = (self.data_root / 'clip_tiny.safetensors').read_bytes()
        recipe = json.loads((self.data_root / 'recipe.json').read_text())
        digest = hashlib.sha256(model).hexdigest()
        return dict(data=recipe, image_model=digest, epochs=self.epochs)

    def discard_others(self) -> None:
        """Drop a folder that was made with other inputs."""
        note, inputs = self.folder / 'inputs.json', self.inputs()
        if self.folder.exists() and (not note.is_file() or json.loads(note.read_text()) != inputs):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(inputs))

    def command(self, verb: str) -> list[str]:
        """`mim train mmstadapter CONFIG` or `mmstadapter train CONFIG`."""
        if self.through_mim:
            return [*MIM, verb, 'mmstadapter', self.config]
        return [*tool(verb), self.config]

    def options(self, verb: str) -> list[str]:
        """Folders, files and changed settings."""
        settings = [f'model.backbone.trunk.checkpoint={self.data_root / "clip_tiny.safetensors"}']
        settings += [
            f'{split}_dataloader.dataset.data_root={self.data_root}'
            for split in ('train', 'val', 'test')
        ]
        if self.epochs is not None:
            settings.append(f'train_cfg.max_epochs={self.epochs}')
        options = ['--cfg-options', *settings]
        if verb == 'train':
            return ['--work-dir', str(self.folder), *options]
        checkpoint = (self.folder / 'last_checkpoint').read_text().strip()
        flag = ['--checkpoint'] if self.through_mim else []
        return [*flag, checkpoint, '--work-dir', str(self.folder / 'test'), *options]

    def call(self, command: list[str], log: str) -> None:
        """Run a command and tell what matters of its output."""
        if self.stopped:
            raise StepFailed(f'{self.folder.name} was stopped.')
        execute(command, self.folder / log, self.condense, self.started)

    def started(self, process: subprocess.Popen) -> None:
        """Remember the command that runs, so that it can be stopped."""
        self.process = process
        if self.stopped:
            stop_group(process)

    def stop(self) -> None:
        """End the run, also from another thread."""
        self.stopped = True
        if self.process is not None:
            stop_group(self.process)

    def condense(self, line: str) -> None:
        """One line an epoch: its last loss, and the accuracy where it is validated."""
        if match := TRAIN_LINE.search(line):
            epoch, step, steps, loss = match.groups()
            if step == steps:
                self.tell(f'epoch {epoch}: loss {float(loss):.3f}')
        elif match := VAL_LINE.search(line):
            self.tell(f'epoch {match[1]}: validation {100 * float(match[2]):.1f} %')

    def tell(self, text: str) -> None:
        """Print a line under the run's name."""
        self.console.say(f'{self.method + ", " + self.task:<17} {text}')

    def result_file(self) -> Path:
        """Metrics of the test; there once the run is complete."""
        return self.folder / 'result.json'

    def top1(self) -> float:
        """Top-1 accuracy in per cent."""
        return 100 * json.loads(self.result_file().read_text())['acc/top1']

    def tuned_parameters(self) -> int:
        """Tuned parameters with the classifier, as the training log reports them.

        Raises:
            StepFailed: if the log has no such line.
        """
        found = TUNED_LINE.findall((self.folder / 'train.log').read_text(errors='replace'))
        if not found:
            raise StepFailed(f'{self.folder}/train.log has no line "tuned parameters: ...".')
        return int(found[-1].replace(',', ''))


def tool(command: str) -> list[str]:
    """What runs a command of the package, installed or not."""
    return [sys.executable, '-m', 'mmstadapter', command]


def shown(command: str) -> list[str]:
    """The same as one would type it."""
    script, here = Path(sys.executable).with_name('mmstadapter'), Path.cwd()
    if not script.is_file():
        return ['python', '-m', 'mmstadapter', command]
    return [str(script.relative_to(here) if script.is_relative_to(here) else script), command]
