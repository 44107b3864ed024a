"""An index's vectors as files for others."""

import csv
import sys

import numpy as np
import pytest
import torch

import mmstadapter
from mmstadapter.commands import export_index as command
from mmstadapter.search import exporting
from mmstadapter.search.first_stage import pooled
from mmstadapter.search.writer import writing

from .test_video_index import MODEL, tokens, vectors, write


@pytest.fixture(params=[vectors, tokens])
def index(request, tmp_path):
    """An index of which a part was dropped; features of what is left."""
    a, b, c = (request.param(n, seed=n) for n in (3, 2, 4))
    write(tmp_path / 'i', ('a.mp4', a), ('gone.mp4', b), ('caf\udce9.mp4', c))
    with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
        out.drop(['gone.mp4'])
        out.commit()
    return tmp_path / 'i', {name: torch.cat([a[name], c[name]]) for name in a}


NAMES = ['a.mp4'] * 3 + ['caf\\xe9.mp4'] * 4
TIMES = [(2.0 * i, 2.0 * i + 2) for i in (0, 1, 2, 0, 1, 2, 3)]


@pytest.mark.parametrize('block', [1 << 24, 100])
class TestExport:
    def test_arrays_and_a_table_of_segments(self, index, tmp_path, monkeypatch, block):
        monkeypatch.setattr(exporting, 'BLOCK', block)
        folder, features = index
        assert mmstadapter.export_index(folder, tmp_path / 'new/out') == 7
        rows = list(csv.DictReader((tmp_path / 'new/out/segments.csv').open()))
        assert [row['video'] for row in rows] == NAMES
        assert [(float(row['start']), float(row['end'])) for row in rows] == TIMES
        assert [int(row['row']) for row in rows] == list(range(7))
        found = np.load(tmp_path / 'new/out/vector.npy')
        np.testing.assert_allclose(found, pooled(features), atol=1e-3)
        assert found.dtype == np.float32
        for name in features.keys() - {'vector'}:
            found = np.load(tmp_path / f'new/out/{name}.npy')
            np.testing.assert_allclose(found, features[name], atol=1e-3)

    def test_a_table_of_parquet(self, index, tmp_path, monkeypatch, block):
        pq = pytest.importorskip('pyarrow.parquet', reason='the extra `parquet` is absent')
        monkeypatch.setattr(exporting, 'BLOCK', block)
        folder, features = index
        assert mmstadapter.export_index(folder, tmp_path / 'o.parquet', 'parquet') == 7
        table = pq.read_table(tmp_path / 'o.parquet')
        assert table['video'].to_pylist() == NAMES
        assert list(zip(table['start'].to_pylist(), table['end'].to_pylist(), strict=True)) == TIMES
        assert table.schema.metadata[b'root'] == b'/videos'
        expected = features | dict(vector=pooled(features))
        assert set(table.column_names) == {'video', 'start', 'end', *expected}
        for name, values in expected.items():
            np.testing.assert_allclose(table[name].to_pylist(), values, atol=1e-3)


class TestAllOrNothing:
    def test_a_folder_with_files_is_left_alone(self, tmp_path):
        folder = write(tmp_path / 'i', ('a.mp4', vectors(2)))
        (tmp_path / 'out').mkdir()
        mmstadapter.export_index(folder, tmp_path / 'out')  # an empty one is taken
        before = (tmp_path / 'out/vector.npy').read_bytes()
        with pytest.raises(FileExistsError, match='is there already'):
            mmstadapter.export_index(folder, tmp_path / 'out')
        assert (tmp_path / 'out/vector.npy').read_bytes() == before

    def test_what_fails_leaves_nothing(self, tmp_path, monkeypatch):
        folder = write(tmp_path / 'i', ('a.mp4', vectors(2)))

        def full(*args, **options):
            raise OSError(28, 'No space left on device')

        monkeypatch.setattr(np.lib.format, 'open_memmap', full)
        with pytest.raises(OSError, match='No space'):
            mmstadapter.export_index(folder, tmp_path / 'out')
        assert [path.name for path in tmp_path.iterdir()] == ['i']

    def test_an_empty_index_and_another_format_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match='no segments'):
            mmstadapter.export_index(write(tmp_path / 'i'), tmp_path / 'out')
        with pytest.raises(ValueError, match='one of .*npy.*parquet'):
            mmstadapter.export_index(tmp_path / 'i', tmp_path / 'out', 'csv')

    def test_without_pyarrow_it_says_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, 'pyarrow', None)
        folder = write(tmp_path / 'i', ('a.mp4', vectors(2)))
        with pytest.raises(ImportError, match=r'mmstadapter\[parquet\]'):
            mmstadapter.export_index(folder, tmp_path / 'o.parquet', 'parquet')
        assert [path.name for path in tmp_path.iterdir()] == ['i']


def test_the_command_says_how_much(tmp_path, capsys):
    folder = write(tmp_path / 'i', ('a.mp4', vectors(2)))
    command.main([str(folder), '--out', str(tmp_path / 'out')])
    assert capsys.readouterr().out == f'{tmp_path}/out: 2 segments\n'
    with pytest.raises(SystemExit, match='is there already'):
        command.main([str(folder), '--out', str(tmp_path / 'out')])
