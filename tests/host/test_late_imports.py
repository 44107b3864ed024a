"""What only some need is imported when it is asked for, and is then all that it ever was."""

import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

LATE = ['bitsandbytes', 'scipy.stats', 'torch.distributed.optim', 'transformers']
if find_spec('mmpretrain') is None:  # beside it MMAction2 imports torchvision, and that these
    LATE += ['sympy', 'torch.distributed.fsdp']


def run(program: str) -> str:
    """The output of a process of its own."""
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(program)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.processes
class TestLateImports:
    def test_importing_the_package_leaves_them_alone(self):
        assert run(f'import mmstadapter, sys; print([m for m in {LATE} if m in sys.modules])') == (
            '[]\n'
        )

    def test_each_is_there_when_it_is_asked_for(self):
        run("""
            import mmstadapter, torch
            from mmaction.datasets.transforms.pose_transforms import get_mode
            from mmaction.registry import MODEL_WRAPPERS
            from mmengine.registry import OPTIMIZERS, STRATEGIES
            import mmengine.model, scipy.stats
            assert scipy.stats.norm.cdf(0) == 0.5
            assert get_mode([1, 2, 2]).mode.item() == 2
            wrapper = MODEL_WRAPPERS.get('MMFullyShardedDataParallel')
            from torch.distributed.fsdp import FullyShardedDataParallel
            assert issubclass(wrapper, FullyShardedDataParallel)
            assert mmengine.model.MMFullyShardedDataParallel is wrapper
            from mmengine.model.wrappers import MMFullyShardedDataParallel
            assert MMFullyShardedDataParallel is wrapper
            assert STRATEGIES.get('FSDPStrategy').__name__ == 'FSDPStrategy'
            torch.distributed.init_process_group(
                'gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
            weight = torch.nn.Parameter(torch.ones(2))
            zero = OPTIMIZERS.build(dict(
                type='ZeroRedundancyOptimizer', params=[weight], optimizer_type='SGD', lr=0.5))
            assert isinstance(zero, torch.distributed.optim.ZeroRedundancyOptimizer)
            weight.sum().backward()
            zero.step()
            assert weight.tolist() == [0.5, 0.5]
            from mmengine.optim import ZeroRedundancyOptimizer
            assert ZeroRedundancyOptimizer([weight], 'SGD', lr=1.0).param_groups[0]['lr'] == 1
        """)

    def test_their_modules_can_be_imported_by_name(self):
        names = 'mmengine.model.wrappers.fully_sharded_distributed', 'mmengine._strategy.fsdp'
        run(f'import mmstadapter, {", ".join(names)}')

    def test_what_was_imported_before_stays_as_it_is(self):
        run("""
            import mmaction.datasets, mmengine.runner, mmstadapter
            from mmengine.model import MMFullyShardedDataParallel
        """)

    def test_optimizers_of_bitsandbytes_are_found_when_one_is_asked_for(self, tmp_path):
        (tmp_path / 'bitsandbytes').mkdir()
        (tmp_path / 'bitsandbytes' / '__init__.py').write_text('from . import optim\n')
        (tmp_path / 'bitsandbytes' / 'optim.py').write_text(
            'import torch\n'
            'class AdamW(torch.optim.AdamW): pass\n'
            'class PagedLion(torch.optim.SGD): pass\n'
        )
        run(f"""
            import sys
            sys.path.insert(0, {str(tmp_path)!r})
            import mmstadapter, torch
            from mmaction.registry import OPTIMIZERS
            from mmengine.optim.optimizer.builder import BITSANDBYTES_OPTIMIZERS
            assert OPTIMIZERS.get('AdamW') is torch.optim.AdamW
            assert 'bitsandbytes' not in sys.modules
            assert OPTIMIZERS.get('PagedLion').__module__ == 'bitsandbytes.optim'
            assert OPTIMIZERS.get('bnb_AdamW').__module__ == 'bitsandbytes.optim'
            assert OPTIMIZERS.get('AdamW') is torch.optim.AdamW
            assert OPTIMIZERS.get('Nothing') is None
            assert set(BITSANDBYTES_OPTIMIZERS) == {{'bnb_AdamW', 'PagedLion'}}
        """)
