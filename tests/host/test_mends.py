"""Each patch repairs what it says, and does nothing where nothing is broken.

What depends on the order of imports runs in an interpreter of its own.
"""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmstadapter import host

CLONE = Path(__file__).parents[2]


def run(code: str, *path: Path) -> str:
    """What a fresh interpreter prints for ``code``; ``path`` goes before its packages."""
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(map(str, [*path, CLONE]))}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def pretend_installed(folder: Path, name: str, version: str) -> Path:
    """A folder in which a distribution seems to be installed."""
    info = folder / f'{name}-{version}.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    return folder


@pytest.mark.processes
def test_a_second_round_finds_nothing_to_mend():
    assert run('import mmstadapter; print(mmstadapter.host.mend())') == '[]'


class TestSupplyDrn:
    def test_models_import_and_the_placeholder_says_what_is_missing(self):
        from mmaction.models.localizers import DRN

        if DRN.__module__ == 'mmstadapter.host':
            with pytest.raises(ImportError, match='lacks mmaction/models/localizers/drn'):
                DRN(cfg=None)

    def test_nothing_is_done_where_the_folder_exists(self, monkeypatch, tmp_path):
        (tmp_path / 'models' / 'localizers' / 'drn').mkdir(parents=True)
        spec = SimpleNamespace(origin=str(tmp_path / '__init__.py'))
        monkeypatch.setattr(host, 'find_spec', lambda name: spec)
        for name in [name for name in sys.modules if 'mmaction.models.localizers' in name]:
            monkeypatch.delitem(sys.modules, name)
        assert not host.supply_drn()


class TestTrustTrainingState:
    def test_the_log_history_survives_a_checkpoint(self):
        state = {'loss': HistoryBuffer([1.0, 2.0], [1, 1])}
        loaded = _save_and_load(state)
        assert loaded['loss'].mean() == 1.5
        assert loaded['loss'].statistics('current') == 2.0

    @pytest.mark.processes
    def test_needed_exactly_when_loading_fails_without(self):
        code = (
            'import pickle\n'
            'from mmstadapter import host\n'  # mends; forget them to see the host as it is
            'import torch; torch.serialization.clear_safe_globals()\n'
            'data = host._training_state()\n'
            'try: host._read_safely(data); broken = False\n'
            'except pickle.UnpicklingError: broken = True\n'
            'assert host.trust_training_state() == broken\n'
            'host._read_safely(data)\n'
            'assert not host.trust_training_state()\n'
            'print("ok")'
        )
        assert run(code) == 'ok'

    @pytest.mark.parametrize('name', ['__init__', 'update', '__subclasses__'])
    def test_getattr_serves_nothing_but_statistics(self, name):
        with pytest.raises(Exception, match='only the statistics'):
            _save_and_load(_Asks(HistoryBuffer, name))

    def test_other_code_stays_refused(self):
        with pytest.raises(Exception, match='Weights only load failed'):
            _save_and_load(_Calls())


class _Asks:
    """Pickles to ``getattr(owner, name)``."""

    def __init__(self, owner, name):
        self.arguments = owner, name

    def __reduce__(self):
        return getattr, self.arguments


class _Calls:
    """Pickles to a call of the shell."""

    def __reduce__(self):
        return os.system, ('true',)


def _save_and_load(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


class TestLeaveOutMultimodal:
    @pytest.mark.processes
    def test_models_import_beside_transformers_5(self, tmp_path):
        code = (
            'import mmstadapter, mmaction.models\n'
            'from mmaction.utils import dependency\n'
            'print(dependency.WITH_MULTIMODAL)'
        )
        assert run(code, pretend_installed(tmp_path, 'transformers', '5.23.0')) == 'False'

    def test_nothing_is_done_beside_a_transformers_that_works(self, tmp_path, monkeypatch):
        monkeypatch.setattr(host, 'version', lambda name: '4.48.3')
        monkeypatch.setattr(host, 'find_spec', lambda name: object())
        assert not host.leave_out_multimodal()

    def test_nothing_is_done_without_transformers(self, monkeypatch):
        def version(name):
            raise host.PackageNotFoundError(name)

        monkeypatch.setattr(host, 'version', version)
        assert not host.leave_out_multimodal()


@pytest.mark.processes
class TestImportTransformersLate:
    def test_its_optimizer_is_there_and_it_is_imported_when_built(self, tmp_path):
        folder = pretend_installed(tmp_path, 'transformers', '5.0.0') / 'transformers'
        folder.mkdir()
        (folder / '__init__.py').write_text('class Adafactor(dict): ...')
        code = (
            'import sys, mmstadapter\n'
            'from mmengine.registry import OPTIMIZERS\n'
            'assert "transformers" not in sys.modules\n'
            'print(OPTIMIZERS.build(dict(type="Adafactor", lr=1)))'
        )
        assert run(code, tmp_path) == "{'lr': 1}"


class TestInheritShippedConfigs:
    def test_nothing_is_done_where_mmengine_knows_the_package(self, monkeypatch):
        monkeypatch.setattr(host, '_get_package_and_cfg_path', lambda path: ('mmstadapter', path))
        assert not host.inherit_shipped_configs()


class TestWithoutPkgResources:
    CODE = (
        'import sys\n'
        'sys.modules["pkg_resources"] = None\n'  # as under setuptools 82
        'import mmstadapter\n'
        'from mmengine.config import Config\n'
        'from mmengine.utils import get_installed_path, is_installed\n'
    )

    @pytest.mark.processes
    def test_mmaction_configs_are_inherited(self, tmp_path):
        config = tmp_path / 'mine.py'
        config.write_text("_base_ = 'mmaction::_base_/default_runtime.py'\n")
        code = self.CODE + f'print(Config.fromfile({str(config)!r}).default_scope)'
        assert run(code) == 'mmaction'

    @pytest.mark.processes
    def test_packages_are_found_by_distribution_and_by_module(self):
        code = self.CODE + (
            'import mmaction, os\n'
            'assert is_installed("mmaction2") and is_installed("mmaction")\n'
            'assert not is_installed("no_such_package")\n'
            'assert get_installed_path("mmaction2") == os.path.dirname(mmaction.__file__)\n'
            'print("ok")'
        )
        assert run(code) == 'ok'

    def test_nothing_is_done_where_it_exists(self):
        pytest.importorskip('pkg_resources')
        assert not host.find_packages_without_pkg_resources()


class TestSynchroniseOnCpus:
    @pytest.fixture
    def model(self):
        return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))

    def test_the_field_of_a_config_gives_norms_that_run_here(self, model, monkeypatch):
        from mmengine.runner import runner

        from mmstadapter.models.ops.sync_batch_norm import JointBatchNorm

        monkeypatch.setattr(host, 'get_device', lambda: 'cpu')
        before = model.state_dict(keep_vars=True)
        converted = runner.convert_sync_batchnorm(model, 'torch')
        assert type(converted[1]) is JointBatchNorm
        after = converted.state_dict(keep_vars=True)
        assert after.keys() == before.keys()
        assert all(after[name] is before[name] for name in before)

    def test_gpus_keep_what_mmengine_gives(self, model, monkeypatch):
        from mmengine.runner import runner

        monkeypatch.setattr(host, 'get_device', lambda: 'cuda')
        assert type(runner.convert_sync_batchnorm(model)[1]) is torch.nn.SyncBatchNorm
