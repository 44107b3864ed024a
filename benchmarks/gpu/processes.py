"""Several processes on the one device: DistributedDataParallel and synchronised norms."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import models
import torch
import torch.distributed as dist
from arithmetic import run
from harness import Budget, Machine, Report, clear, distance, exact_arithmetic
from torch import nn
from torch.nn.modules._functions import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel
from training import free_port

from mmstadapter import gather_rows

HERE = Path(__file__).resolve()


def processes(report: Report, budget: Budget, machine: Machine) -> None:
    """DistributedDataParallel and synchronised norms: one process over NCCL, two over gloo.

    Two processes share the one device, which NCCL refuses and gloo allows.
    """
    exact_arithmetic()
    with report.guard('one process'):
        dist.init_process_group(
            'nccl' if machine.cuda else 'gloo',
            rank=0,
            world_size=1,
            init_method=f'tcp://127.0.0.1:{free_port()}',
        )
        try:
            _one_process(report, machine)
        finally:
            dist.destroy_process_group()
    if budget.allows(report, 'two processes', 30):
        with report.guard('two processes'):
            _two_processes(report, machine)


def _one_process(report: Report, machine: Machine) -> None:
    backend = dist.get_backend()
    for name in (
        'ST two a block',
        'ST two a block, with_cp',
        'S4V all',
        'S4V with_cp',
        'S4V frames (retrieval)',
    ):
        for options in (dict(), dict(static_graph=True), dict(find_unused_parameters=True)):
            label = f'DDP {backend} {name} {options or ""}'
            with report.guard(label):
                torch.manual_seed(0)
                model = models.stir(models.toys()[name]()).to(machine.device).train()
                video = torch.randn(4, 3, 8, 32, 32, device=machine.device)
                start = {k: v.clone() for k, v in model.state_dict().items()}
                _, grad, cotangent = run(model, video)
                model.load_state_dict(start)
                ids = [machine.device.index or 0] if machine.cuda else None
                wrapped = DistributedDataParallel(model, ids, broadcast_buffers=False, **options)
                its = run(wrapped, video, cotangent)
                report.check(label, distance(its[1], grad), 1e-6)
    with report.guard('gather_rows, one process'):
        x = torch.randn(3, 4, device=machine.device, requires_grad=True)
        assert gather_rows([x])[0] is x
    if machine.cuda:
        _sync_batch_norm_function(report, machine)


def _sync_batch_norm_function(report: Report, machine: Machine) -> None:
    """PyTorch's synchronised batch norm on (rows, C) in 16 bit, its exchange run over NCCL."""
    for dtype in (torch.float32, torch.bfloat16):
        with report.guard(f'SyncBatchNorm function {dtype}'):
            x = torch.randn(4096, 64, device=machine.device, dtype=dtype, requires_grad=True)
            w, b = (torch.randn(64, device=machine.device).requires_grad_() for _ in 'wb')
            mean, var = (
                torch.zeros(64, device=machine.device),
                torch.ones(64, device=machine.device),
            )
            out = SyncBatchNorm.apply(x, w, b, mean, var, 1e-5, 0.1, dist.group.WORLD, 1)
            ref = torch.nn.functional.batch_norm(x, None, None, w, b, True, 0.1, 1e-5)
            g = torch.randn_like(out)
            ours = torch.autograd.grad(out, (x, w, b), g)
            theirs = torch.autograd.grad(ref, (x, w, b), g)
            far = max(distance(a, c) for a, c in zip(ours, theirs, strict=True))
            report.check(
                f'SyncBatchNorm function {dtype}',
                far,
                2e-2 if dtype != torch.float32 else 1e-5,
                output=distance(out, ref),
            )


def _two_processes(report: Report, machine: Machine) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE), str(machine.device), folder]
        env = dict(os.environ, OMP_NUM_THREADS='2')
        children = [subprocess.Popen([*command, str(rank)], env=env) for rank in range(2)]
        try:
            codes = [child.wait(timeout=240 if machine.quick else 90) for child in children]
        finally:
            for child in children:
                child.kill()
        if any(codes):
            raise RuntimeError(f'the two processes ended with {codes}')
        for entry in torch.load(Path(folder) / 'found.pt', weights_only=True):
            report.check(**entry)


def _child(device: str, folder: str, rank: int) -> None:
    """One of two processes: joint steps against one process's step on the joint batch."""
    from mmengine.registry import init_default_scope

    from mmstadapter import gather_rows
    from mmstadapter.models.ops.sync_batch_norm import synchronise

    init_default_scope('mmaction')
    exact_arithmetic()
    cuda = device.startswith('cuda')
    video = torch.randn(4, 3, 8, 32, 32, generator=torch.Generator().manual_seed(5)).to(device)
    found, alone = [], {}
    norms = dict(joint=synchronise)
    if cuda:
        norms['torch'] = nn.SyncBatchNorm.convert_sync_batchnorm
    names = ('S4V all', 'S4V with_cp', 'ST two a block')
    for name in names:
        torch.manual_seed(0)
        model = models.stir(models.toys()[name]()).to(device).train()
        alone[name] = run(model, video)
    dist.init_process_group('gloo', rank=rank, world_size=2, init_method=f'file://{folder}/store')
    own = slice(2 * rank, 2 * rank + 2)
    for name in names:
        for kind, convert in norms.items():
            torch.manual_seed(0)
            model = models.stir(models.toys()[name]()).to(device).train()
            model = DistributedDataParallel(convert(model), broadcast_buffers=False)
            cotangent = alone[name][2].to(device)[own]
            _, grad, _ = run(model, video[own], cotangent * 2)  # DDP takes the mean
            found.append(
                dict(
                    name=f'two processes, {name}, {kind} batch norms',
                    value=distance(grad, alone[name][1]),
                    limit=1e-4,
                )
            )
    torch.manual_seed(rank)
    x = torch.randn(3 + rank, 4, device=device, requires_grad=True)
    mask = torch.rand(3 + rank, 2, device=device) > 0.5
    rows, masks = gather_rows([x, mask])
    (rows * rows).sum().backward()
    found.append(dict(name='gather_rows, rows', value=float(abs(len(rows) - 7)), limit=0.0))
    found.append(dict(name='gather_rows, gradient', value=distance(x.grad, 4 * x), limit=1e-6))
    if rank == 0:
        torch.save(found, Path(folder) / 'found.pt')
    dist.barrier()
    del model  # the group must not die with the wrapped model: gloo would wait for ever
    clear()
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)


if __name__ == '__main__':
    _child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
