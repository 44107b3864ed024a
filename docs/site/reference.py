"""The Python reference: a page for each part of the package, made from `mmstadapter.__all__`.

The source is read, not imported, so that the site builds without PyTorch.
"""

from collections import defaultdict
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[2]
# Page: title, what a reader finds there, and where in the package it is defined.
PARTS = {
    'python': ('From Python', 'Models by name, training and prediction.', ('apis',)),
    'backbones': ('Backbones', 'The methods, a file each.', ('models.backbones',)),
    'trunks': ('Trunks and text towers', 'The pretrained encoders.',
               ('models.trunks', 'models.text_towers')),
    'heads': ('Heads and retrieval', 'What follows a backbone: classifiers, similarity, loss.',
              ('models',)),
    'datasets': ('Data', 'Readers, sampling, transforms, data sets.', ('datasets',)),
    'engine': ('Engine', 'Schedules, optimisers and hooks of a training.', ('engine',)),
    'evaluation': ('Evaluation', 'Metrics of recognition and retrieval.', ('evaluation',)),
    'search': ('Search', 'An index of videos.', ('search',)),
    'more': ('More', 'All else that is public.', ('',)),
}  # fmt: skip


def public_names() -> dict[str, str]:
    """Where each name of `mmstadapter.__all__` is defined; names of sub-packages are left out.

    `mmstadapter.models.backbones` exports whatever classes it imports.
    """
    package = griffe.load('mmstadapter', search_paths=[str(ROOT)])
    backbones = package['models.backbones']
    imported = [name for name, item in backbones.members.items() if item.is_alias]
    everything = [(package, str(name)) for name in package.exports]
    found = {}
    for module, name in everything + [(backbones, name) for name in imported]:
        item = module[name]
        item = item.final_target if item.is_alias else item
        if not item.is_module and name != '__version__':
            found[name] = item.path
    return found


def pages() -> dict[str, str]:
    """A page of Markdown for each part, by file name."""
    parts: dict[str, list[str]] = defaultdict(list)
    for _, path in sorted(public_names().items(), key=lambda item: item[0].lower()):
        parts[part_of(path)].append(path)
    return {f'{part}.md': page(part, paths) for part, paths in parts.items()}


def part_of(path: str) -> str:
    """The first part in whose folders a path lies."""
    return next(
        part
        for part, (_, _, folders) in PARTS.items()
        if any(path.startswith(f'mmstadapter.{folder}') for folder in folders)
    )


def page(part: str, paths: list[str]) -> str:
    """A title and a directive of mkdocstrings for each name."""
    title, text, _ = PARTS[part]
    names = ', '.join(f'[`{path.rpartition(".")[2]}`][{path}]' for path in paths)
    return '\n\n'.join([f'# {title}', f'{text} {names}.', *(f'::: {path}' for path in paths), ''])
