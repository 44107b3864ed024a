"""Run the tutorials in empty folders, with the package that is installed, and keep what they say.

    python docs/site/run_notebooks.py [FILE.ipynb ...]      # all of docs/tutorials/

Each takes a few minutes. It stops at the first error, and the notebook stays as it was.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parents[1] / 'tutorials'
COLOURS = re.compile(r'\x1b\[[0-9;]*m')


def run(notebook: nbformat.NotebookNode, folder: str | Path) -> nbformat.NotebookNode:
    """Execute all cells in a folder; the commands are those beside this Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    environment = {**os.environ, 'PATH': path}
    environment.pop('PYTHONPATH', None)  # of a clone
    client = NotebookClient(
        notebook,
        timeout=1200,
        kernel_name='python3',
        coalesce_streams=True,
        resources=dict(metadata=dict(path=str(folder))),
    )
    client.execute(env=environment)
    return notebook


def tidy(notebook: nbformat.NotebookNode, folder: str | Path) -> None:
    """Leave out what differs from run to run, names of folders, and what is for terminals."""
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get('outputs', []):
            if 'text' in output:
                text = COLOURS.sub('', output['text'])
                output['text'] = text.replace(f'{Path(folder).resolve()}/', '')
    notebook.metadata.pop('widgets', None)


def main(files: list[str]) -> None:
    """Run and write each."""
    for path in map(Path, files or sorted(TUTORIALS.glob('*.ipynb'))):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            run(notebook, folder)
            tidy(notebook, folder)
        nbformat.write(notebook, path)
        print(f'{path.name}: {len(notebook.cells)} cells')


if __name__ == '__main__':
    main(sys.argv[1:])
