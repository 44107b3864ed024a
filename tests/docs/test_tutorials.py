"""The tutorials hold what they said when they were run, and run in empty folders."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
TUTORIALS = sorted((CLONE / 'docs/tutorials').glob('*.ipynb'))
# What shortens a run: the image model and trainings learn less, all steps are done.
SHORTER = {
    'mmstadapter prepare tiny_clip': 'mmstadapter prepare tiny_clip --steps 20',
    '--epochs 20': '--epochs 2',
    'max_epochs=3': 'max_epochs=1',
    'epoch_3.pth': 'epoch_1.pth',
}


def code(notebook: Path) -> list[dict]:
    """A notebook's cells of code."""
    cells = json.loads(notebook.read_text())['cells']
    return [cell for cell in cells if cell['cell_type'] == 'code']


def test_there_are_three():
    assert len(TUTORIALS) == 3


@pytest.mark.parametrize('notebook', TUTORIALS, ids=lambda path: path.stem)
class TestEveryTutorial:
    def test_holds_the_outputs_of_one_run_from_top_to_bottom(self, notebook):
        cells = code(notebook)
        assert [cell['execution_count'] for cell in cells] == [*range(1, len(cells) + 1)]
        kinds = [output['output_type'] for cell in cells for output in cell['outputs']]
        assert 'error' not in kinds and len(kinds) >= len(cells) / 2

    def test_python_cells_are_python_and_shells_stop_at_errors(self, notebook):
        for source in (''.join(cell['source']) for cell in code(notebook)):
            magic, _, rest = source.partition('\n')
            if magic.startswith('%%writefile') or not magic.startswith('%%'):
                ast.parse(rest if magic.startswith('%%') else source)
            else:
                assert magic == '%%bash -eo pipefail'

    def test_outputs_name_no_folder_of_the_machine_and_no_colour(self, notebook):
        text = json.dumps([cell['outputs'] for cell in code(notebook)])
        assert '/tmp/' not in text and '/home/' not in text and '\\u001b' not in text

    @pytest.mark.slow
    @pytest.mark.processes
    def test_runs_in_an_empty_folder_with_the_installed_package(self, notebook, tmp_path):
        pytest.importorskip('nbclient')
        pytest.importorskip('ipykernel')
        short = notebook.read_text()
        for long, shorter in SHORTER.items():
            short = short.replace(long, shorter)
        assert short != notebook.read_text()
        (tmp_path / 'short.ipynb').write_text(short)
        program = [sys.executable, str(CLONE / 'docs/site/run_notebooks.py')]
        done = subprocess.run(
            [*program, str(tmp_path / 'short.ipynb')], capture_output=True, text=True
        )
        assert not done.returncode, done.stderr[-4000:]
