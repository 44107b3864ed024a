"""What MkDocs does besides: notebooks become pages, and linked files of the repository too.

MkDocs calls `on_config`, `on_files` and `on_page_markdown`.
"""

import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import notebooks  # noqa: E402
import reference  # noqa: E402

ROOT = Path(__file__).parents[2]
LINK = re.compile(r'(?<=\]\()(?!\w+:|#)([^)\s#]+)')
LANGUAGES = {'.py': 'python', '.sh': 'bash', '.json': 'json', '.yml': 'yaml', '.txt': 'text'}
OUTSIDE = 'repository'  # where files from outside docs/ stand in the site


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that have no place in the menu at the end of the tasks."""
    placed = (ROOT / 'mkdocs.yml').read_text()
    tasks = next(part['Tasks'] for part in config.nav if 'Tasks' in part)
    pages = sorted(path.name for path in (ROOT / 'docs').glob('*.md'))
    tasks += [name for name in pages if f'- {name}\n' not in placed]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every notebook, and for every file outside docs/ that a page links to."""
    for notebook in sorted((ROOT / 'docs/tutorials').glob('*.ipynb')):
        for name, content in notebooks.pages(notebook).items():
            files.append(File.generated(config, f'tutorials/{name}', content=content))
    for name, content in reference.pages().items():
        files.append(File.generated(config, f'reference/{name}', content=content))
    waiting = list(files.documentation_pages())
    while waiting:
        for path in sorted(outside(waiting.pop())):
            uri = site_path(path)
            if files.get_file_from_path(uri) is None:
                added = File.generated(config, uri, content=content_of(ROOT / path))
                files.append(added)
                waiting.append(added)
    return files


def outside(file: File) -> set[str]:
    """Files outside docs/ that a page links to, by their paths in the repository."""
    targets = (repository_path(file.src_uri, link) for link in LINK.findall(file.content_string))
    return {path for path in targets if not path.startswith('docs/') and (ROOT / path).exists()}


def repository_path(uri: str, link: str) -> str:
    """Where a page's link leads in the repository."""
    here = uri.removeprefix(f'{OUTSIDE}/') if uri.startswith(f'{OUTSIDE}/') else f'docs/{uri}'
    return os.path.normpath(os.path.join(os.path.dirname(here), link))


def site_path(path: str) -> str:
    """Where a file of the repository stands in the site."""
    if path.startswith('docs/'):
        return path.removeprefix('docs/').replace('.ipynb', '.md')
    is_page = Path(path).suffix in ('.md', '.png', '.jpg', '.svg')
    return f'{OUTSIDE}/{path}' + ('' if is_page else '.md')


def content_of(path: Path) -> str | bytes:
    """A file as a page: Markdown as it is, source in a block, a folder as a list."""
    name = path.relative_to(ROOT)
    if path.is_dir():
        lines = [
            f'* [{item.name}]({name.name}/{item.name})' if item.suffix else f'* {item.name}/'
            for item in sorted(path.iterdir())
            if not item.name.startswith(('.', '__'))
        ]
        return f'# {name}\n\n' + '\n'.join(lines) + '\n'
    if path.suffix == '.md':
        return path.read_text()
    if path.suffix in LANGUAGES:
        return f'# {name}\n\n````{LANGUAGES[path.suffix]}\n{path.read_text()}\n````\n'
    return path.read_bytes()


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead where the files stand in the site."""
    uri = page.file.src_uri

    def moved(match: re.Match) -> str:
        target = site_path(repository_path(uri, match[0]))
        return os.path.relpath(target, os.path.dirname(uri) or '.')

    return LINK.sub(moved, markdown)
