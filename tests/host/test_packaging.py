"""What an installation contains: wheel, sdist and editable install, laid out for mim."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from mmstadapter import shipped

pytestmark = pytest.mark.processes
CLONE = Path(__file__).parents[2]
NOT_SOURCE = ('.git', '.venv*', 'build', 'dist', 'work_dirs', '*.egg-info', '__pycache__', '.mim')


def run(*command: str, cwd: Path, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the clone, since building leaves things behind."""
    copy = tmp_path_factory.mktemp('source') / 'clone'
    shutil.copytree(CLONE, copy, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    return copy


def build_wheel(source: Path, out: Path, **environment: str) -> zipfile.ZipFile:
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-build-isolation', '--no-deps']
    run(*command, '-w', str(out), str(source), cwd=out, **environment)
    (path,) = out.glob('mmstadapter-*.whl')
    return zipfile.ZipFile(path)


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    return build_wheel(source, tmp_path_factory.mktemp('wheel'))


def names(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if not re.search(r'\.(dist-info|data)/', name)}


def mmcv_required_by(wheel: zipfile.ZipFile) -> list[str]:
    (path,) = [name for name in wheel.namelist() if name.endswith('.dist-info/METADATA')]
    metadata = Parser().parsestr(wheel.read(path).decode())
    required = [Requirement(line).name for line in metadata.get_all('Requires-Dist')]
    return [name for name in required if name.startswith('mmcv')]


def test_the_wheel_holds_configs_and_tools_where_mim_looks(wheel):
    held = names(wheel)
    for folder in ('configs', 'tools'):
        files = [path for path in (CLONE / folder).rglob('*') if path.is_file()]
        files = [path for path in files if path.suffix != '.pyc']
        assert len(files) >= 5
        missing = {f'mmstadapter/.mim/{path.relative_to(CLONE)}' for path in files} - held
        assert not missing
    assert 'mmstadapter/.mim/model-index.yml' in held


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    held = names(wheel)
    assert {name.partition('/')[0] for name in held} == {'mmstadapter', 'mmstadapter_cli.py'}
    modules = {str(path.relative_to(CLONE)) for path in (CLONE / 'mmstadapter').rglob('*.py')}
    modules = {name for name in modules if '.mim' not in name}
    modules.add('mmstadapter_cli.py')
    assert modules == {name for name in held if name.endswith('.py') and '.mim' not in name}


def test_the_wheel_holds_the_console_command(wheel):
    (listed,) = [name for name in wheel.namelist() if name.endswith('entry_points.txt')]
    assert 'mmstadapter = mmstadapter_cli:main' in wheel.read(listed).decode()


def test_the_wheel_holds_clips_vocabulary_and_its_licence(wheel):
    folder = 'mmstadapter/models/text_towers/bpe_simple_vocab_16e6'
    assert {f'{folder}.txt.gz', f'{folder}.LICENSE.txt'} <= names(wheel)
    licences = [name for name in wheel.namelist() if '.dist-info/licenses/' in name]
    assert any(name.endswith('bpe_simple_vocab_16e6.LICENSE.txt') for name in licences)


def test_the_wheel_holds_the_templates_of_pages(wheel):
    templates = ('page.html', 'hits.html', 'mistakes.html')
    assert {f'mmstadapter/pages/{name}' for name in templates} <= names(wheel)


def test_the_wheel_leaves_nothing_in_the_source_package(wheel, source):
    assert not (source / 'mmstadapter' / '.mim').exists()


def test_the_sdist_builds_the_same_wheel(wheel, source, tmp_path):
    code = f'from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})'
    run(sys.executable, '-c', code, cwd=source)
    (archive,) = tmp_path.glob('*.tar.gz')
    (tmp_path / 'wheel').mkdir()
    assert names(build_wheel(archive, tmp_path / 'wheel')) == names(wheel)


def test_one_mmcv_is_required_and_can_be_chosen(source, wheel, tmp_path):
    assert len(mmcv_required_by(wheel)) == 1
    for choice, expected in {'lite': ['mmcv-lite'], 'full': ['mmcv'], 'none': []}.items():
        (tmp_path / choice).mkdir()
        built = build_wheel(source, tmp_path / choice, MMSTADAPTER_MMCV=choice)
        assert mmcv_required_by(built) == expected


def test_an_editable_install_links_to_the_clone(source, tmp_path):
    code = f'from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})'
    run(sys.executable, '-c', code, cwd=source)
    for name in ('configs', 'tools', 'model-index.yml'):
        link = source / 'mmstadapter' / '.mim' / name
        assert link.is_symlink()
        assert link.resolve() == source / name


def test_the_model_index_lists_shipped_configs_under_their_names():
    index = yaml.safe_load((CLONE / 'model-index.yml').read_text())
    models = [
        model
        for path in index['Import']
        for model in yaml.safe_load((CLONE / path).read_text())['Models']
    ]
    assert len(models) >= 2
    for model in models:
        assert model['Config'] == f'configs/{model["Name"]}.py'
        assert Path(model['Config']).name in shipped.configs()


def test_a_config_name_occurs_once(wheel):
    # mim looks for a config by its name in the whole package.
    counts = Counter(Path(name).name for name in names(wheel))
    assert {name for name in shipped.configs() if counts[name] != 1} == set()
