"""Inference: the predictor on video files, retrieval evaluation, search."""

import tempfile
import time
from functools import partial
from pathlib import Path

import av
import models
import numpy as np
import steps
import torch
from harness import GB, Budget, Machine, Report, clear, distance
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import save_file
from torch import Tensor

import mmstadapter
from mmstadapter import retrieval_metrics, score, shipped, similarity_matrix
from mmstadapter.engine.tuned_checkpoint import write_adapter


def retrieval(report: Report, budget: Budget, machine: Machine) -> None:
    """Token-wise similarity of 10,000 captions with 10,000 videos, and figures from it."""
    items = (200,) if machine.quick else (1000, 10000)
    for count in items:
        if not budget.allows(report, f'{count} x {count}', 1 if count < 5000 else 20):
            return
        text, video = features(count, 32, 8), features(count, 12, 12)
        owner = torch.arange(count)
        devices = ['cpu', str(machine.device)] if count <= 1000 else [str(machine.device)]
        found: dict[str, Tensor] = {}
        for device in dict.fromkeys(devices):
            for memory in (256, 2048, 16384) if device != 'cpu' and not machine.quick else (256,):
                name = f'similarity {count} x {count}, {device}, {memory} MiB'
                with report.guard(name):
                    machine.synchronise()
                    if machine.cuda:
                        torch.cuda.reset_peak_memory_stats()
                    start = time.perf_counter()
                    sim = similarity_matrix(text, video, memory * 2**20, device)
                    machine.synchronise()
                    seconds = time.perf_counter() - start
                    found[device] = sim
                    pairs = count * count * 20 * 12 * 512 * 2
                    far = distance(sim, found['cpu']) if 'cpu' in found else float('nan')
                    report.row(
                        name,
                        seconds=seconds,
                        tflops=pairs / seconds / 1e12,
                        peak_gb=machine.peaks()[0],
                        from_cpu=far,
                    )
        with report.guard(f'figures {count} x {count}'):
            sim = next(iter(found.values()))
            start = time.perf_counter()
            retrieval_metrics(sim, owner)
            report.row(f'figures of {count} x {count}, cpu', seconds=time.perf_counter() - start)
            if machine.cuda:
                start = time.perf_counter()
                retrieval_metrics(sim.to(machine.device), owner.to(machine.device))
                machine.synchronise()
                report.row(
                    f'figures of {count} x {count}, {machine.device}',
                    seconds=time.perf_counter() - start,
                )


def features(count: int, tokens: int, fewest: int, device='cpu') -> dict[str, Tensor]:
    """Random token features of items with from ``fewest`` to ``tokens`` valid tokens."""
    generator = torch.Generator(device=device).manual_seed(tokens)
    x = torch.randn(count, tokens, 512, generator=generator, device=device)
    x /= x.norm(dim=-1, keepdim=True)
    lengths = torch.randint(fewest, tokens + 1, (count, 1), generator=generator, device=device)
    mask = torch.arange(tokens, device=device) < lengths
    weights = torch.rand(count, tokens, generator=generator, device=device) * mask
    return dict(tokens=x * mask[..., None], weights=weights / weights.sum(1, keepdim=True))


def search(report: Report, budget: Budget, machine: Machine) -> None:
    """One query: re-ranking a shortlist of 200, and all of 60,000 segments, by token-wise score."""
    rows = 500 if machine.quick else 60_000
    for device in dict.fromkeys(('cpu', str(machine.device))):
        for count in (200, rows):
            name = f'score of {count} segments, {device}'
            if not budget.allows(report, name, 4):
                return
            with report.guard(name):
                video = {k: v.half() for k, v in features(count, 12, 12, device).items()}
                text = features(1, 32, 8, device)
                report.row(
                    name,
                    ms=1e3 * machine.host_time(partial(best, text, video), 3),
                    features_gb=sum(v.nbytes for v in video.values()) / GB,
                )


def best(text: dict[str, Tensor], video: dict[str, Tensor], block: int = 8192) -> Tensor:
    """The ten best scores of a query, on the CPU."""
    count = len(video['tokens'])
    parts = [
        score(text, {k: v[i : i + block] for k, v in video.items()}) for i in range(0, count, block)
    ]
    return torch.cat(parts, 1).topk(10).values.cpu()


def predictor(report: Report, budget: Budget, machine: Machine) -> None:
    """ST-Adapter 12x384 on B/16, 3 views of 8 frames a video: files to labels, and its parts."""
    with report.guard('predictor'), tempfile.TemporaryDirectory() as folder:
        _predictor(report, budget, machine, Path(folder))
    if budget.allows(report, 'forward', 6):
        _forward(report, machine)


def _predictor(report: Report, budget: Budget, machine: Machine, folder: Path) -> None:
    name = 'stadapter_vit-b_k400.py'
    config = Config.fromfile(str(shipped.find_config(name)))
    arch = dict(models.TOY) if machine.quick else 'vit-b-p16'
    side = 32 if machine.quick else 224
    trunk = mmstadapter.CLIPViT(arch=arch, with_proj=True)
    weights = {f'visual.{k}': v.contiguous() for k, v in trunk.state_dict().items()}
    save_file(weights, folder / 'trunk.safetensors')
    config.model.backbone.trunk.update(arch=arch, checkpoint=str(folder / 'trunk.safetensors'))
    config.model.cls_head.in_channels = trunk.embed_dims
    for step in config.test_dataloader.dataset.pipeline:
        if 'size' in step:
            step['size'] = side
    model = MODELS.build(config.model)
    model.init_weights()
    write_adapter(folder / 'adapter.safetensors', models.stir(model), config)
    del model
    count = 4 if machine.quick else 32
    files = [write_video(folder / f'{i}.mp4', i) for i in range(count)]
    for batch in (4, 16):
        predict = mmstadapter.Predictor(
            folder / 'adapter.safetensors', batch_size=batch, device=str(machine.device)
        )
        predict(files[:2])
        start = time.perf_counter()
        found = predict(files)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        samples = [predict._read(f)['sample'] for f in files[: max(4, count // 4)]]
        reading = (time.perf_counter() - start) / len(samples)
        bad = sum('error' in entry for entry in found)
        report.row(
            f'predictor, batch_size={batch}',
            'FAIL' if bad else 'ok',
            videos_s=count / seconds,
            reading_ms=1e3 * reading,
            share_reading=reading * count / seconds,
        )
        if not budget.allows(report, 'predictor again', 8):
            break


def write_video(path: Path, seed: int, seconds: int = 6) -> str:
    """Moving noise of 320 x 240 at 25 frames a second."""
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    noise = noise.repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, 'yuv420p'
        for i in range(25 * seconds):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 2 * i, axis=1), format='rgb24')
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return str(path)


def _forward(report: Report, machine: Machine) -> None:
    """The backbone alone on the views of 16 videos, by precision."""
    setting = models.SETTINGS[0]
    setting = steps.quick(setting) if machine.quick else setting
    views = 48 if not machine.quick else 3
    side = 32 if machine.quick else 224
    video = torch.randn(views, 3, 8, side, side, device=machine.device)
    for name, stored, dtype, tf32 in (
        ('float16 autocast', 'float16', torch.float16, False),
        ('bfloat16 autocast', 'bfloat16', torch.bfloat16, False),
        ('float32', None, None, False),
        ('float32 with TF32', None, None, True),
    ):
        if dtype == torch.float16 and not machine.cuda:
            continue
        with report.guard(f'forward, {name}'):
            model = models.build(setting, machine.device, stored).eval()
            torch.backends.cuda.matmul.allow_tf32 = tf32

            def go(model=model, dtype=dtype):
                with torch.inference_mode(), machine.autocast(dtype):
                    model(video)

            seconds = machine.time(go, 2, 5)
            report.row(
                f'forward of {views} views, {name}',
                ms=1e3 * seconds,
                clips_s=views / seconds,
                peak_gb=machine.peaks()[0],
            )
            torch.backends.cuda.matmul.allow_tf32 = False
            clear()
