"""The toy run, as a module and as a command."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def toy(toy_module, tmp_path, monkeypatch) -> ModuleType:
    """The module ``toy_run``, with ``tmp_path`` as the current folder."""
    monkeypatch.chdir(tmp_path)
    return toy_module


@pytest.fixture(scope='session')
def toy_module() -> ModuleType:
    """The module ``toy_run``, its classes registered."""
    spec = importlib.util.spec_from_file_location('toy_run', HERE / 'toy_run.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def python() -> Callable[..., subprocess.CompletedProcess]:
    """Run a Python command in its own process, on one or more processes."""

    def run(*args: str, processes: int = 1, cwd: Path) -> subprocess.CompletedProcess:
        paths = [str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')]
        env = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
        env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
        torchrun = ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}']
        torchrun += ['--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0']
        command = [sys.executable, *(torchrun if processes > 1 else []), *map(str, args)]
        return subprocess.run(
            command, env=env, capture_output=True, text=True, cwd=cwd, timeout=300
        )

    return run


@pytest.fixture(scope='session')
def toy_run(python) -> Callable[..., subprocess.CompletedProcess]:
    """Train and test the toy in its own process; arguments of ``toy_run.py``."""

    def run(work_dir: Path, *args: str, processes: int = 1) -> subprocess.CompletedProcess:
        script = HERE / 'toy_run.py'
        return python(script, work_dir, *args, processes=processes, cwd=work_dir)

    return run
