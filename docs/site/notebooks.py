"""Executed notebooks as pages of Markdown, with their pictures as files beside them."""

import base64
import json
import re
from pathlib import Path


def pages(notebook: Path) -> dict[str, str | bytes]:
    """The page of a notebook and its pictures, by file name."""
    files: dict[str, str | bytes] = {}
    cells = json.loads(notebook.read_text())['cells']
    parts = [cell_text(cell, f'{notebook.stem}_{i}', files) for i, cell in enumerate(cells)]
    download = f'\n[Download this notebook]({notebook.name}){{ .md-button download }}\n'
    return {f'{notebook.stem}.md': '\n\n'.join([*parts, download]), **files}


def cell_text(cell: dict, name: str, files: dict[str, str | bytes]) -> str:
    """A cell as Markdown; pictures are put into ``files``."""
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown':
        return source
    outputs = [output_text(out, f'{name}_{i}', files) for i, out in enumerate(cell['outputs'])]
    return '\n\n'.join([code_block(source), *filter(None, outputs)])


def code_block(source: str) -> str:
    """A code cell: a shell's lines without the cell magic, a written file under its name."""
    if match := re.match(r'%%bash.*\n', source):
        return fenced(source[match.end() :], 'bash')
    if match := re.match(r'%%writefile (\S+)\n', source):
        return fenced(source[match.end() :], f'python title="{match[1]}"')
    return fenced(source, 'python')


def output_text(output: dict, name: str, files: dict[str, str | bytes]) -> str:
    """An output: text in a block, a picture by its file; logs stay in the notebook."""
    if output.get('name') == 'stderr':
        return ''
    data = output.get('data', {})
    if 'image/png' in data:
        files[f'{name}.png'] = base64.b64decode(data['image/png'])
        return f'![Output]({name}.png)'
    text = ''.join(output.get('text', data.get('text/plain', '')))
    return fenced(text, 'text { .output }') if text.strip() else ''


def fenced(text: str, language: str) -> str:
    """A block of code that may hold fences itself."""
    return f'````{language}\n{text.rstrip()}\n````'
