"""Host memory and time of building EVA-CLIP ViT-E/14 and reading its 4.4 B parameters.

    python benchmarks/load_vit_e.py [--out benchmarks/load_vit_e_<machine>_torch<version>.md]

Writes random checkpoints of full size into a folder (17.4 GB, removed afterwards): shards in
bfloat16 with their index, and one .pt in float16 as the published file is. Each is loaded by
a process of its own, the trunk alone and inside the recogniser of a recipe, as the runner
builds it. Peaks are those of the kernel's count of the process's resident memory,
with the pages of mapped files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from safetensors.torch import save_file

import mmstadapter  # noqa: F401  registers the trunk
from mmstadapter.models.trunks.eva_vit import ARCHS
from mmstadapter.weights import read_tensors

FORMS = ('shards, bfloat16', 'one .pt, float16', 'shards, bfloat16; whole recogniser')
CONFIG = Path(__file__).parents[1] / 'configs/side4video_vit-e_k400.py'
SHARD = 2 << 30  # bytes
GB = 1e9


def resident(*fields: str) -> list[int]:
    """Bytes of lines of the kernel's account of this process, such as VmHWM, the peak."""
    lines = Path('/proc/self/status').read_text().splitlines()
    account = dict(line.split(':', 1) for line in lines)
    return [1024 * int(account[field].split()[0]) for field in fields]


class Watch(threading.Thread):
    """Notes the largest share of mapped file pages, twenty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mapped, self.done = 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            self.mapped = max(self.mapped, *resident('RssFile'))


def trunk(checkpoint: str | None, layers: int) -> dict:
    """Config of ViT-E/14, or of as many of its layers, kept in bfloat16."""
    arch = ARCHS['eva-e-p14'] | dict(num_layers=layers)
    return dict(type='mmstadapter.EVAViT', arch=arch, checkpoint=checkpoint, dtype='bfloat16')


def recogniser(checkpoint: str, layers: int) -> dict:
    """Config of the recipe's model on that trunk."""
    model = Config.fromfile(CONFIG).model
    model.backbone.trunk = trunk(checkpoint, layers)
    return model


def random_tensors(layers: int):
    """(name, tensor) of a checkpoint, one by one; values are taken from one pool."""
    pool = 0.02 * torch.randn(1 << 25, generator=torch.Generator().manual_seed(0))
    pool = pool.bfloat16()
    with torch.device('meta'):
        shapes = {n: t.shape for n, t in MODELS.build(trunk(None, layers)).state_dict().items()}
    for i, (name, shape) in enumerate(shapes.items()):
        values = pool[i : i + shape.numel()].reshape(shape).clone()
        yield f'visual.{name}', values + 1 if 'norm' in name and 'weight' in name else values


def write_shards(folder: Path, layers: int) -> Path:
    """Safetensors of at most 2 GiB and their index, the path of which is returned."""
    index: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    for name, tensor in random_tensors(layers):
        if shard and sum(t.nbytes for t in shard.values()) + tensor.nbytes > SHARD:
            _write_shard(folder, shard, index)
        shard[name] = tensor
    _write_shard(folder, shard, index)
    path = folder / 'model.safetensors.index.json'
    path.write_text(json.dumps(dict(weight_map=index)))
    return path


def _write_shard(folder: Path, shard: dict[str, torch.Tensor], index: dict[str, str]) -> None:
    name = f'model-{len(set(index.values())):05}.safetensors'
    save_file(shard, folder / name)
    index.update(dict.fromkeys(shard, name))
    shard.clear()


def write_pt(folder: Path, layers: int) -> Path:
    """One file of torch.save."""
    path = folder / 'model.pt'
    torch.save({n: t.half() for n, t in random_tensors(layers)}, path)
    return path


def load(form: str, path: str, layers: int, frame: bool) -> dict:
    """What building and loading take, in this process."""
    watch = Watch()
    watch.start()
    figures = dict(import_peak=resident('VmHWM')[0])
    start = time.perf_counter()
    whole = MODELS.build((recogniser if 'recogniser' in form else trunk)(path, layers))
    figures |= dict(build_peak=resident('VmHWM')[0], build_s=time.perf_counter() - start)
    start = time.perf_counter()
    whole.init_weights()
    figures |= dict(load_peak=resident('VmHWM')[0], load_s=time.perf_counter() - start)
    model = whole.backbone.trunk if 'recogniser' in form else whole
    figures |= dict(load_mapped=watch.mapped, bytes=sum(p.nbytes for p in model.parameters()))
    stored = read_tensors(path)
    own = dict(model.named_parameters())
    for name in list(own)[:: len(own) // 20]:
        assert torch.equal(own[name], stored[f'visual.{name}'].to(torch.bfloat16)), name
    del stored
    if frame:
        start = time.perf_counter()
        with torch.no_grad():
            assert model(torch.randn(1, 3, 224, 224)).isfinite().all()
        figures |= dict(frame_peak=resident('VmHWM')[0], frame_s=time.perf_counter() - start)
    watch.done.set()
    return figures


def measure(form: str, layers: int, root: Path, frame: bool) -> dict:
    """Write a checkpoint of a form, load it in another process, remove it."""
    write = write_shards if 'shards' in form else write_pt
    with tempfile.TemporaryDirectory(dir=root) as folder:
        path = write(Path(folder), layers)
        os.sync()
        command = [sys.executable, __file__, '--load', str(path), '--layers', str(layers)]
        command += ['--forms', form]
        done = subprocess.run(
            command + ['--frame'] * frame, check=True, stdout=subprocess.PIPE, text=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict[str, dict], layers: int) -> str:
    """The figures as Markdown."""
    size = next(iter(results.values()))['bytes'] / GB
    lines = [
        '# Building and loading EVA-CLIP ViT-E/14 in bfloat16: peak host memory and time',
        '',
        f'{layers} of 64 layers, {size:.1f} GB of weights; {os.cpu_count()} cores, load average '
        f'{os.getloadavg()[0]:.0f}, torch {torch.__version__}, {time.strftime("%Y-%m-%d")}; '
        '`python benchmarks/load_vit_e.py --frame`',
        '',
        'Peaks are of the whole process, in GB of 10^9 bytes, mapped file pages included. Loading '
        'includes the fingerprint of all weights.',
        '',
        '| checkpoint | after import | build | load | mapped at once | one frame, float32 |',
        '|---|---|---|---|---|---|',
    ]
    for form, f in results.items():
        frame = f'{f["frame_peak"] / GB:.2f} ({f["frame_s"]:.0f} s)' if 'frame_s' in f else '–'
        lines.append(
            f'| {form} | {f["import_peak"] / GB:.2f} | {f["build_peak"] / GB:.2f} '
            f'({f["build_s"]:.1f} s) | {f["load_peak"] / GB:.2f} ({f["load_s"]:.0f} s) '
            f'| {f["load_mapped"] / GB:.2f} | {frame} |'
        )
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    parser.add_argument('--folder', type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument('--layers', type=int, default=64, help='fewer for a quick look')
    parser.add_argument('--frame', action='store_true', help='also run one frame')
    parser.add_argument('--forms', nargs='+', choices=FORMS, default=FORMS)
    parser.add_argument('--load', help=argparse.SUPPRESS)
    args = parser.parse_args()
    init_default_scope('mmaction')
    if args.load:
        print(json.dumps(load(args.forms[0], args.load, args.layers, args.frame)))
        return
    results = {
        form: measure(form, args.layers, args.folder, args.frame and form == FORMS[0])
        for form in args.forms
    }
    text = table(results, args.layers)
    print(text)
    if args.out:
        args.out.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
