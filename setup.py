"""Package, configs, tools and model index, laid out as mim expects them (mmstadapter/.mim)."""

import os
import runpy
import shutil
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'model-index.yml')
LEFT_OUT = shutil.ignore_patterns('__pycache__', '*.pyc', 'work_dirs', 'outputs')


class BuildWithMim(build_py):
    """Adds ``mmstadapter/.mim``: copies in a wheel, links to the clone for ``pip install -e``."""

    def run(self) -> None:
        """Build the modules, then put the shipped files where mim looks for them."""
        super().run()
        if self.editable_mode:
            fill(HERE / 'mmstadapter' / '.mim', link=True)
        else:
            fill(Path(self.build_lib) / 'mmstadapter' / '.mim', link=False)


def fill(target: Path, link: bool) -> None:
    """Make ``target`` hold the shipped files and nothing that an earlier build left there."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in SHIPPED:
        source = HERE / name
        if link:
            (target / name).symlink_to(os.path.relpath(source, target))
        elif source.is_dir():
            shutil.copytree(source, target / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(source, target / name)


def requirements(name: str) -> list[str]:
    """The lines of requirements/NAME.txt without their comments."""
    lines = (HERE / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in (line.partition('#')[0].strip() for line in lines) if line]


def mmcv() -> list[str]:
    """The mmcv to require: mmcv-lite, unless the full mmcv is there (they share a folder).

    pip builds with the interpreter it installs for, so its site-packages tell, also under build
    isolation. ``MMSTADAPTER_MMCV=lite|full|none`` decides instead.
    See docs/decisions/0001-which-mmcv.md.
    """
    names = {'lite': 'mmcv-lite', 'full': 'mmcv', 'none': None}
    choice = os.environ.get('MMSTADAPTER_MMCV')
    if choice is None:
        folders = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
        found = {item.metadata['Name'] for item in distributions(path=sorted(folders))}
        choice = 'full' if 'mmcv' in found else 'lite'
    if choice not in names:
        raise SystemExit(f'MMSTADAPTER_MMCV must be lite, full or none, got {choice!r}.')
    return [f'{names[choice]}>=2.1.0,<2.2.0'] if names[choice] else []


def readme() -> str:
    """The text shown on the package's page."""
    return (HERE / 'README.md').read_text(encoding='utf-8')


setup(
    name='mmstadapter',
    version=runpy.run_path(str(HERE / 'mmstadapter' / 'version.py'))['__version__'],
    description='Parameter- and memory-efficient image-to-video transfer for MMAction2',
    long_description=readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0 AND MIT',  # MIT: CLIP's vocabulary
    license_files=['LICENSE', 'mmstadapter/models/text_towers/*.LICENSE.txt'],
    keywords=['action recognition', 'adapter', 'CLIP', 'MMAction2', 'video'],
    classifiers=[
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Operating System :: POSIX :: Linux',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=3.11,<3.13',
    packages=find_packages(include=['mmstadapter', 'mmstadapter.*']),
    py_modules=['mmstadapter_cli'],
    include_package_data=True,
    install_requires=requirements('runtime') + mmcv(),
    extras_require={
        name: requirements(name)
        for name in (
            'full',
            'timm',
            'transformers',
            'search',
            'hub',
            'peft',
            'quantize',
            'mteb',
            'parquet',
            'app',
            'tokenizers',
            'torchcodec',
            'export',
            'dev',
        )  # fmt: skip
    },
    entry_points={'console_scripts': ['mmstadapter = mmstadapter_cli:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
