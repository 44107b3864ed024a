"""Exported files: what 8 bit costs in accuracy on moving digits, and size, time and difference.

Writes Markdown. Makes the data and the tiny image model, as `mmstadapter demo` does, unless they
are there; trains the two motion models and tests each as ONNX, with and without int8, on the 400
validation clips; then exports both methods at full size with random weights and times them beside
PyTorch. Needs the extra ``export``.

    python benchmarks/export.py [--part full-size] [--data DIR] > benchmarks/...md
"""

import argparse
import datetime
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnxruntime
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import mmstadapter
from mmstadapter import create_model, logs, shipped
from mmstadapter.demo.runs import Console, Run, tool
from mmstadapter.exporting import Exported
from mmstadapter.testing import fill

METHODS = {'stadapter': 'ST-Adapter', 'side4video': 'Side4Video'}
TASK, BATCH = 'motion', 40
LARGE = {
    'ST-Adapter B/16, 8 frames': 'stadapter_vit-b_k400',
    'Side4Video B/16, 8 frames': 'side4video_vit-b_k400',
}
FORMS = {'float32': False, 'int8': True}
MB = 1e6
Answer = Callable[[Tensor], Tensor]


def trained(method: str, data: Path, work: Path) -> tuple[nn.Module, Config]:
    """A motion model, trained and tested by the package's own commands, and its config."""
    run = Run(method, TASK, data, work, None, False, Console(time.perf_counter()))
    run.console.say = note
    run.complete()
    checkpoint = (run.folder / 'last_checkpoint').read_text().strip()
    config = Config.fromfile(shipped.config(f'{method}_vit-tiny_demo-{TASK}'))
    trunk = dict(checkpoint=str(data / 'clip_tiny.safetensors'))
    with logs.on_stderr():
        return create_model(config, checkpoint=checkpoint, trunk=trunk), config


def validation(config: Config, data: Path) -> list[tuple[Tensor, Tensor]]:
    """The validation clips as the model takes them, and their labels, in batches."""
    dataset = DATASETS.build(config.val_dataloader.dataset.to_dict() | dict(data_root=str(data)))
    preprocessor = config.model.data_preprocessor
    mean, std = (torch.tensor(preprocessor[name]).view(3, 1, 1, 1) for name in ('mean', 'std'))
    items = [dataset[number] for number in range(len(dataset))]
    clips = torch.stack([(item['inputs'][0].float() - mean) / std for item in items])
    labels = torch.cat([item['data_samples'].gt_label for item in items])
    return list(zip(clips.split(BATCH), labels.split(BATCH), strict=True))


def session(path: Path) -> Answer:
    """A file as a function, on as many threads as PyTorch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ['CPUExecutionProvider']
    loaded = onnxruntime.InferenceSession(path, options, providers=providers)
    return lambda clips: torch.from_numpy(loaded.run(None, {'video': clips.numpy()})[0])


def logits(answer: Answer, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Of all clips."""
    with torch.no_grad():
        return torch.cat([answer(clips) for clips, _ in batches])


def accuracy_rows(data: Path, work: Path) -> Iterator[str]:
    """A line a method and form: accuracy, size, how far from the model."""
    for method, title in METHODS.items():
        model, config = trained(method, data, work)
        batches = validation(config, data)
        labels = torch.cat([part for _, part in batches])
        own = logits(model, batches)
        yield f'| {title} | PyTorch | {top1(own, labels)} | | | |'
        for form, int8 in FORMS.items():
            path = work / f'{method}-{form}.onnx'
            mmstadapter.export(model, path, int8=int8, force=True)
            found = logits(session(path), batches)
            same = 100 * (found.argmax(1) == own.argmax(1)).float().mean()
            yield (
                f'| {title} | ONNX Runtime, {form} | {top1(found, labels)} | {same:.1f} % | '
                f'{(found - own).abs().max():.1e} | {path.stat().st_size / MB:.2f} |'
            )


def top1(found: Tensor, labels: Tensor) -> str:
    """Per cent."""
    return f'{100 * (found.argmax(1) == labels).float().mean():.2f} %'


def full_size_rows(work: Path, times: int) -> Iterator[str]:
    """A line a model and form: time and size of the export, difference, milliseconds a clip."""
    for title, name in LARGE.items():
        model = fill(create_model(name, pretrained=False), scale=0.02)
        clips = torch.randn(1, *(3, 8, 224, 224), generator=torch.Generator().manual_seed(0))
        own = milliseconds(model, clips, times)
        for form, int8 in FORMS.items():
            path = work / f'{name}-{form}.onnx'
            begun = time.perf_counter()
            (written,) = mmstadapter.export(model, path, int8=int8, force=True)
            seconds = time.perf_counter() - begun
            theirs = milliseconds(session(path), clips, times)
            yield (
                f'| {title} | {form} | {seconds:.0f} | {path.stat().st_size / MB:.0f} | '
                f'{written.difference:.1e} | {sizes(written)} | {theirs:.0f} | {own:.0f} |'
            )


@torch.no_grad()
def milliseconds(answer: Answer, clips: Tensor, times: int) -> float:
    """The least of some calls, after one that warms up."""
    answer(clips)
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        answer(clips)
        found.append(1000 * (time.perf_counter() - begun))
    return min(found)


def sizes(written: Exported) -> str:
    """The inputs at which a file was compared with its model, clips x frames."""
    return ', '.join(f'{shape[0]}x{shape[2]}' for shape in written.tried)


def about() -> str:
    """Where and when."""
    line = f'python benchmarks/export.py {shlex.join(sys.argv[1:])}'.strip()
    return (
        f'{platform.machine()}, {torch.get_num_threads()} thread(s), load average '
        f'{os.getloadavg()[0]:.1f}, torch {torch.__version__}, onnxruntime '
        f'{onnxruntime.__version__}, {datetime.date.today()}; `{line}`\n'
    )


def prepare(data: Path) -> None:
    """Data and tiny image model, unless they are there."""
    if (data / 'clip_tiny.safetensors').is_file():
        return
    console = Console(time.perf_counter())
    for command in (
        [*tool('prepare'), 'moving_digits', '--root', str(data)],
        [*tool('prepare'), 'tiny_clip', '--out', str(data / 'clip_tiny.safetensors')],
    ):
        console.say = note
        console.follow(command, data.with_suffix('.log'))


def table(columns: str, rows: Iterator[str]) -> None:
    """Print a table as it comes."""
    print(columns, '|---' * (columns.count('|') - 1) + '|', sep='\n', flush=True)
    for row in rows:
        print(row, flush=True)
    print()


def note(line: str) -> None:
    """For who waits."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    add = parser.add_argument
    add('--part', choices=('accuracy', 'full-size'), help='one of the two alone')
    add('--data', type=Path, help='folder of the data and the image model [a temporary one]')
    add('--work', type=Path, help='folder of the trained models, which are kept [a temporary one]')
    add('--times', type=int, default=5, help='calls to time [5]')
    args = parser.parse_args()
    init_default_scope('mmaction')
    with tempfile.TemporaryDirectory() as name:
        work = args.work or Path(name)
        work.mkdir(parents=True, exist_ok=True)
        data = args.data or Path(name) / 'data'
        print(f'# Exported files\n\n{about()}')
        if args.part != 'full-size':
            prepare(data)
            print('Trained on moving digits, 8 motions, tested on the 400 validation clips.\n')
            table('| method | run by | top-1 | same answer | largest difference of a logit | MB |',
                  accuracy_rows(data, work))  # fmt: skip
        if args.part != 'accuracy':
            print(
                'Full size, random weights, one clip of 8 frames. The difference to the model is '
                'the largest at the sizes named (clips x frames; traced with others), as a share '
                'of the largest number where that is above 1.\n'
            )
            table('| model | form | export s | MB | difference | tried at | ONNX Runtime ms | '
                  'PyTorch ms |', full_size_rows(work, args.times))  # fmt: skip


if __name__ == '__main__':
    main()
