"""The index on disk: whole after every step, and found in by features."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch.nn import functional as F

import mmstadapter
from mmstadapter.search import columns, storage, video_index
from mmstadapter.search.first_stage import pooled
from mmstadapter.search.manifest import Manifest, Video
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.writer import writing
from mmstadapter.weights import saving

MODEL = dict(name='none')


def vectors(count: int, seed: int = 0) -> dict:
    """Features of one vector an item."""
    generator = torch.Generator().manual_seed(seed)
    return dict(vector=F.normalize(torch.randn(count, 16, generator=generator), dim=-1))


def tokens(count: int, length: int = 5, seed: int = 0) -> dict:
    """Token features."""
    generator = torch.Generator().manual_seed(seed)
    x = F.normalize(torch.randn(count, length, 16, generator=generator), dim=-1)
    return dict(tokens=x, weights=torch.rand(count, length, generator=generator).softmax(-1))


def add(out, name: str, features: dict, size: int = 1) -> None:
    """A video of 2-second segments."""
    count = len(next(iter(features.values())))
    out.add(VideoStamp(name, size, 0), features, [(2.0 * i, 2.0 * i + 2) for i in range(count)])


def write(folder, *videos: tuple[str, dict], **options):
    """Add videos to an index in one commit; its folder."""
    with writing(folder, MODEL, '/videos', 2.0, say=lambda line: None) as out:
        for name, features in videos:
            add(out, name, features)
        out.commit()
    return folder


class TestSearch:
    def test_a_segment_is_found_by_its_own_features_with_its_times(self, tmp_path):
        a, b = vectors(3), vectors(4, seed=1)
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', a), ('b.mp4', b)))
        hit = index.search({'vector': b['vector'][2:3]}, topk=1)[0][0]
        assert (hit.video, hit.start, hit.end) == ('b.mp4', 4.0, 6.0)
        assert hit.score == pytest.approx(1, abs=1e-3)
        assert len(index) == 7 and index.videos == ['a.mp4', 'b.mp4']

    def test_exact_search_is_the_models_score_over_all_segments(self, tmp_path):
        videos, text = tokens(40), tokens(3, length=7, seed=9)
        parts = [
            (f'{i:02d}.mp4', {k: v[10 * i : 10 * i + 10] for k, v in videos.items()})
            for i in range(4)
        ]
        write(tmp_path / 'i', *parts[:2])
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', *parts[2:]))
        scores = mmstadapter.score(text, videos)
        for row, hits in zip(scores, index.search(text, topk=40, exact=True), strict=True):
            at = [10 * int(hit.video[:2]) + round(hit.start / 2) for hit in hits]
            assert sorted(at) == list(range(40))
            found = torch.tensor([hit.score for hit in hits])
            torch.testing.assert_close(found, row[at], atol=5e-4, rtol=0)
            assert (found.diff() <= 0).all()

    def test_a_shortlist_of_everything_gives_what_exact_search_gives(self, tmp_path):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', tokens(30))))
        text = tokens(4, length=7, seed=5)
        assert index.search(text, 5, candidates=30) == index.search(text, 5, exact=True)

    def test_the_shortlist_is_by_pooled_vectors(self, tmp_path):
        videos, text = tokens(30), tokens(1, seed=5)
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', videos)))
        nearest = (pooled(text) @ pooled(videos).T)[0].topk(4).indices.tolist()
        found = [round(hit.start / 2) for hit in index.search(text, 1, candidates=4)[0]]
        assert set(found) <= set(nearest)

    def test_blocks_do_not_change_the_result(self, tmp_path, monkeypatch):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', tokens(50))))
        text = tokens(3, seed=2)
        whole = index.search(text, 7, exact=True)
        monkeypatch.setattr('mmstadapter.search.video_index.PAIR_FLOATS', 700)
        assert index.search(text, 7, exact=True) == whole

    def test_fewer_segments_than_asked_for_are_all_given(self, tmp_path):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', vectors(3))))
        assert len(index.search(vectors(1), topk=10)[0]) == 3

    @pytest.mark.parametrize('count', [11, 10**12])
    def test_more_than_there_is_can_be_asked_for(self, tmp_path, count):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', tokens(10))))
        for options in (dict(topk=count), dict(candidates=count), dict(topk=count, exact=True)):
            assert len(index.search(tokens(1), **options)[0]) == 10

    def test_an_index_without_segments_finds_nothing(self, tmp_path):
        assert mmstadapter.VideoIndex(write(tmp_path / 'i')).search(vectors(2)) == [[], []]

    def test_captions_with_nan_features_are_refused(self, tmp_path):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', vectors(3))))
        with pytest.raises(ValueError, match='not finite'):
            index.search({'vector': torch.full((1, 16), torch.nan)})

    def test_features_of_another_kind_are_refused(self, tmp_path):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', vectors(3))))
        with pytest.raises(ValueError, match='same model'):
            index.search(tokens(1))

    def test_no_index_says_how_to_make_one(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='mmstadapter index VIDEO_DIR'):
            mmstadapter.VideoIndex(tmp_path)


class TestWriting:
    def test_adding_leaves_what_is_there_untouched(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (path,) = (tmp_path / 'i').glob('vector-*')
        before = path.read_bytes()
        write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        assert path.read_bytes()[: len(before)] == before
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4', 'b.mp4']

    def test_only_json_and_columns_of_numbers_are_written(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', tokens(3)))
        names = {path.name.split('-')[0] for path in (tmp_path / 'i').iterdir()}
        assert names == {'index.json', 'lock', 'times', 'tokens', 'weights', 'pooled'}

    def test_a_video_added_again_replaces_its_segments(self, tmp_path):
        old, new = vectors(3), vectors(2, seed=1)
        write(tmp_path / 'i', ('a.mp4', old), ('b.mp4', vectors(2, seed=2)))
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', new)))
        assert len(index) == 4
        assert index.search({'vector': old['vector'][:1]}, 1)[0][0].score < 0.99
        assert index.search({'vector': new['vector'][:1]}, 1)[0][0].score > 0.99

    def test_dropped_videos_are_found_no_more(self, tmp_path):
        a = vectors(3)
        write(tmp_path / 'i', ('a.mp4', a), ('b.mp4', vectors(3, seed=1)))
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.drop(['a.mp4'])
            out.commit()
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        for exact in (False, True):
            hits = index.search(a, 10, exact=exact)[0]
            assert {hit.video for hit in hits} == {'b.mp4'}

    def test_what_was_not_committed_is_not_there(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            add(out, 'b.mp4', vectors(2, seed=1))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']

    def test_dying_before_the_manifest_is_replaced_keeps_the_old_index(self, tmp_path, monkeypatch):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))

        def die(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Manifest, 'write', die)
            write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        (path,) = (tmp_path / 'i').glob('vector-*')
        assert path.stat().st_size == 5 * 32
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']
        write(tmp_path / 'i', ('c.mp4', vectors(1, seed=2)))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4', 'c.mp4']
        assert path.stat().st_size == 4 * 32  # what nobody owns is gone

    def test_half_a_row_that_was_written_last_is_cut_off(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        for path in (tmp_path / 'i').glob('*.column'):
            path.write_bytes(path.read_bytes() + b'half')
        assert len(mmstadapter.VideoIndex(tmp_path / 'i')) == 3
        b = vectors(2, seed=1)
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('b.mp4', b)))
        hit = index.search({'vector': b['vector'][1:]}, 1)[0][0]
        assert (hit.video, hit.start) == ('b.mp4', 2.0) and hit.score > 0.99

    @pytest.mark.slow
    def test_dying_at_any_step_of_writing_loses_nothing(self, tmp_path, monkeypatch):
        """Add, change, drop and copy, dying before and after each change of the disk in turn."""
        steps = [(os, 'fsync'), (os, 'replace'), (Path, 'unlink')]
        steps += [(Path, 'write_bytes'), (Path, 'write_text')]
        monkeypatch.setattr(os, 'fsync', lambda file: None)  # slow, and no power fails

        def run(fail_at: int) -> int:
            count = 0

            def dying(function):
                def call(*args, **options):
                    nonlocal count
                    count += 1
                    if count == fail_at:
                        raise KeyboardInterrupt
                    result = function(*args, **options)
                    count += 1
                    if count == fail_at:
                        raise KeyboardInterrupt
                    return result

                return call

            with monkeypatch.context() as patch:
                for owner, name in steps:
                    patch.setattr(owner, name, dying(getattr(owner, name)))
                with writing(folder, MODEL, '/videos', 2.0, say=lambda line: None) as out:
                    for name, seed in (('b.mp4', 5), ('c.mp4', 3), ('a.mp4', 9), ('b.mp4', 7)):
                        out.drop(['d.mp4'] if name == 'c.mp4' else [])
                        add(out, name, vectors(2, seed), size=seed)
                        out.commit()
                    out.tidy()
            return count

        before = {'a.mp4': {0, 9}, 'b.mp4': {1, 7}, 'c.mp4': {3}, 'd.mp4': {2}}
        fail_at, total = 1, 10
        while fail_at <= total:
            folder = tmp_path / str(fail_at)
            write(folder, ('a.mp4', vectors(2)), ('b.mp4', vectors(2, 1)), ('d.mp4', vectors(2, 2)))
            with pytest.raises(KeyboardInterrupt):
                run(fail_at)
            index = mmstadapter.VideoIndex(folder)
            assert {'a.mp4', 'b.mp4'} <= set(index.videos) <= before.keys()
            assert len(index) == 2 * len(index.videos)
            total = run(-1) if fail_at == 1 else total
            run(-1)
            index = mmstadapter.VideoIndex(folder)
            assert index.videos == ['a.mp4', 'b.mp4', 'c.mp4'] and len(index) == 6
            for name, seed in (('a.mp4', 9), ('b.mp4', 7), ('c.mp4', 3)):
                hit = index.search({'vector': vectors(2, seed)['vector'][1:]}, 1)[0][0]
                assert (hit.video, hit.start) == (name, 2.0) and hit.score > 0.99
            assert not list(folder.glob('*.part'))
            fail_at += 1
        assert fail_at > 40

    def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_what_was_there(
        self, tmp_path, monkeypatch
    ):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))

        def full(path):
            raise OSError(28, 'No space left on device')

        with monkeypatch.context() as patch, pytest.raises(OSError, match='No space.*vector-0'):
            patch.setattr(columns, 'flush', full)
            write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        with monkeypatch.context() as patch, pytest.raises(OSError, match='index.json could not'):
            patch.setattr(saving, 'flush', full)
            write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']

    @pytest.mark.processes
    def test_dying_within_the_first_writing_leaves_a_folder_to_go_on_in(self, tmp_path):
        program = f"""
            import resource, signal, torch
            from mmstadapter.search.storage import VideoStamp
            from mmstadapter.search.writer import writing
            resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # dies of the hundredth byte
            with writing({str(tmp_path / 'i')!r}, {{}}, '/videos', 2.0) as out:
                out.add(VideoStamp('a', 1, 1), dict(vector=torch.eye(16)), [(0, 1)] * 16)
                out.commit()
        """
        done = subprocess.run([sys.executable, '-c', textwrap.dedent(program)], capture_output=True)
        assert done.returncode == -signal.SIGXFSZ, done.stderr.decode()[-2000:]
        names = [path.name for path in (tmp_path / 'i').iterdir()]
        assert sorted(names) == ['lock', 'vector-000001.column']
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', vectors(3))))
        assert index.search(vectors(1), 1)[0][0].score > 0.99

    def test_files_are_as_readable_as_others(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (tmp_path / 'other').write_text('')
        modes = {p.stat().st_mode for p in (*(tmp_path / 'i').iterdir(), tmp_path / 'other')}
        assert len(modes) == 1

    def test_an_index_without_segments_is_begun_anew_by_any_model(self, tmp_path):
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.note_bad(VideoStamp('a.mp4', 1, 0), 'is damaged')
            out.commit()
        with writing(tmp_path / 'i', dict(name='other'), '/elsewhere', 3.0) as out:
            out.commit()
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert (index.model, str(index.root), index.seconds) == (
            dict(name='other'), '/elsewhere', 3.0)  # fmt: skip
        with writing(write(tmp_path / 'i', ('a.mp4', vectors(1))), MODEL, '/', 9.0) as out:
            assert out.manifest.seconds == 2.0

    def test_features_that_are_not_finite_are_refused(self, tmp_path):
        bad = vectors(2)
        bad['vector'][1, 3] = torch.nan
        with pytest.raises(ValueError, match='not finite.*b.mp4'):
            write(tmp_path / 'i', ('a.mp4', vectors(1)), ('b.mp4', bad))

    def test_another_number_of_frames_is_refused(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', tokens(2, length=5)))
        with pytest.raises(ValueError, match='same number of frames'):
            write(tmp_path / 'i', ('b.mp4', tokens(2, length=6)))

    def test_a_second_writer_is_refused_while_one_is_at_work(self, tmp_path):
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            with pytest.raises(storage.VideoIndexError, match='process [0-9]+ on .* is writing'):
                write(tmp_path / 'i', ('b.mp4', vectors(2)))
            add(out, 'a.mp4', vectors(2))
            out.commit()
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']

    def test_an_index_that_is_mostly_dropped_is_copied_while_others_search_it(self, tmp_path):
        for i in range(8):
            write(
                tmp_path / 'i',
                (f'{i}.mp4', tokens(2, seed=i)),
                (f'{i}b.mp4', tokens(3, seed=9 + i)),
            )
        old = mmstadapter.VideoIndex(tmp_path / 'i')
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.drop([f'{i}b.mp4' for i in range(8)])
            out.commit()
            files = {path.name for path in (tmp_path / 'i').glob('*.column')}
            out.tidy()
        assert not files & {path.name for path in (tmp_path / 'i').iterdir()}
        new = mmstadapter.VideoIndex(tmp_path / 'i')
        assert (old.rows, new.rows) == (40, 16) and new.videos == [f'{i}.mp4' for i in range(8)]
        for i in (0, 3, 7):
            query = {name: part[1:] for name, part in tokens(2, seed=i).items()}
            assert old.search(query, 1, exact=True) == new.search(query, 1, exact=True)

    def test_an_index_is_copied_in_parts(self, tmp_path, monkeypatch):
        monkeypatch.setattr('mmstadapter.search.writer.COPIED', 100)
        write(tmp_path / 'i', *((f'{i}.mp4', vectors(1 + i % 3, seed=i)) for i in range(9)))
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.drop(['1.mp4', '2.mp4', '4.mp4', '5.mp4', '8.mp4'])
            out.tidy()
            assert len(out.manifest.blocks) > 1
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        for i in (0, 3, 6, 7):
            hit = index.search({'vector': vectors(1 + i % 3, i)['vector'][-1:]}, 1)[0][0]
            assert (hit.video, hit.start) == (f'{i}.mp4', 2.0 * (i % 3)) and hit.score > 0.99

    def test_a_copy_that_fails_leaves_the_index_as_it_was(self, tmp_path, monkeypatch):
        write(tmp_path / 'i', ('a.mp4', vectors(9)), ('b.mp4', vectors(1, seed=1)))
        calls = Mock(side_effect=[None] * 3 + [OSError(28, 'No space')] + [None] * 99)
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.drop(['a.mp4'])
            with monkeypatch.context() as patch, pytest.raises(OSError, match='No space'):
                patch.setattr(columns, 'flush', calls)
                out.tidy()
            out.commit()
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['b.mp4']


class TestReading:
    def test_nothing_is_written_and_no_lock_is_taken(self, tmp_path, monkeypatch):
        """An index on a disk that cannot be written is searched all the same."""
        write(tmp_path / 'i', ('a.mp4', tokens(3)))
        (tmp_path / 'i/lock').unlink()
        state = {path.name: path.stat() for path in (tmp_path / 'i').iterdir()}
        original = open

        def only_reading(file, mode='r', *args, **options):
            assert not set(mode) & set('wax+')
            return original(file, mode, *args, **options)

        monkeypatch.setattr('builtins.open', only_reading)
        assert mmstadapter.VideoIndex(tmp_path / 'i').search(tokens(1), 1)
        assert state.keys() == {path.name for path in (tmp_path / 'i').iterdir()}
        assert all(
            state[p.name].st_mtime_ns == p.stat().st_mtime_ns for p in (tmp_path / 'i').iterdir()
        )

    def test_an_open_index_stays_what_it_was_while_one_adds_to_it(self, tmp_path):
        index = mmstadapter.VideoIndex(write(tmp_path / 'i', ('a.mp4', vectors(3))))
        before = index.search(vectors(2), 3)
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            add(out, 'b.mp4', vectors(3, seed=1))
            out.commit()
            add(out, 'a.mp4', vectors(2, seed=2))
            assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4', 'b.mp4']
            out.commit()
        assert index.search(vectors(2), 3) == before


class TestDamage:
    def test_a_cut_column_is_named_in_searching_and_its_end_left_out_in_writing(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        write(tmp_path / 'i', ('b.mp4', vectors(3, seed=1)))
        (path,) = (tmp_path / 'i').glob('vector-*')
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match='vector-000001.column'):
            mmstadapter.VideoIndex(tmp_path / 'i')
        said: list[str] = []
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0, said.append) as out:
            assert list(out.known()) == ['a.mp4']
            out.commit()
        assert 'indexed again' in said[0]
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert index.videos == ['a.mp4'] and index.search(vectors(1), 1)[0][0].score > 0.99

    def test_a_lost_column_loses_every_video(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (tmp_path / 'i/times-000001.column').unlink()
        with pytest.raises(ValueError, match='times-000001.column.*No such file'):
            mmstadapter.VideoIndex(tmp_path / 'i')
        assert mmstadapter.VideoIndex(write(tmp_path / 'i', ('b.mp4', vectors(3)))).videos == [
            'b.mp4'
        ]

    def test_files_that_are_replaced_while_they_are_opened_are_no_damage(
        self, tmp_path, monkeypatch
    ):
        write(tmp_path / 'i', ('a.mp4', vectors(9)), ('b.mp4', vectors(3, seed=1)))
        original = video_index.open_columns

        def replaced_before(*args):
            monkeypatch.setattr(video_index, 'open_columns', original)
            with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
                out.drop(['a.mp4'])
                out.tidy()
            return original(*args)

        monkeypatch.setattr(video_index, 'open_columns', replaced_before)
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['b.mp4']

    def test_a_damaged_column_stays_until_the_index_is_without_it(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (path,) = (tmp_path / 'i').glob('vector-*')
        path.write_bytes(path.read_bytes()[:-40])
        before = {path: path.read_bytes() for path in (tmp_path / 'i').glob('[!l]*')}
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0, lambda line: None):
            pass
        assert before == {path: path.read_bytes() for path in (tmp_path / 'i').glob('[!l]*')}

    def test_a_column_that_may_not_be_read_is_not_indexed_again(self, tmp_path, monkeypatch):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))

        def closed(*args, **options):
            raise PermissionError(13, 'Permission denied')

        with monkeypatch.context() as patch, pytest.raises(ValueError, match='vector.*denied'):
            patch.setattr(columns.np, 'memmap', closed)
            write(tmp_path / 'i', ('b.mp4', vectors(3)))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']

    @pytest.mark.parametrize('rows', [(0, 4), (-1, 2), (2, 1)])
    def test_a_video_whose_segments_are_not_there_is_refused(self, tmp_path, rows):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = Manifest.read(tmp_path / 'i')
        manifest.videos['b.mp4'] = Video(1, 1, *rows)
        manifest.write(tmp_path / 'i')
        with pytest.raises(ValueError, match='index.json is damaged.*videos'):
            mmstadapter.VideoIndex(tmp_path / 'i')

    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('seconds', '10'), ('root', None), ('model', []), ('rows', '3'), ('noted', None),
            ('videos', {'a.mp4': [1]}), ('videos', {'a.mp4': [1, 1, 'x', 'y']}), ('videos', []),
            ('bad', {'a.mp4': 'reason'}), ('blocks', [3]), ('approximate', 3), ('layout', []),
        ],
    )  # fmt: skip
    def test_a_manifest_of_another_form_is_refused(self, tmp_path, name, value):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = Manifest.read(tmp_path / 'i')
        setattr(manifest, name, value)
        manifest.write(tmp_path / 'i')
        with pytest.raises(ValueError, match='index.json is damaged'):
            mmstadapter.VideoIndex(tmp_path / 'i')

    @pytest.mark.parametrize(
        'layout',
        [{'../vector': [16]}, {'vector': 16}, {'vector': [-16]}, {'vector': [1e9]}, {'times': []},
         {'vector': ['x']}, {'times': [2], 'vector': [10**12]}],
    )  # fmt: skip
    def test_columns_that_no_index_has_are_refused(self, tmp_path, layout):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = Manifest.read(tmp_path / 'i')
        manifest.layout = layout
        manifest.write(tmp_path / 'i')
        with pytest.raises(ValueError, match='VideoIndex|this part of the index'):
            mmstadapter.VideoIndex(tmp_path / 'i')

    @pytest.mark.parametrize('cut', [0, 1, 31, 500, -2])
    def test_a_cut_manifest_says_so(self, tmp_path, cut):
        path = write(tmp_path / 'i', ('a.mp4', vectors(3))) / 'index.json'
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(ValueError, match='index.json is damaged'):
            mmstadapter.VideoIndex(tmp_path / 'i')

    def test_a_changed_bit_of_the_manifest_is_noticed(self, tmp_path):
        path = write(tmp_path / 'i', ('a.mp4', vectors(3))) / 'index.json'
        flip(path, b'a.mp4')
        with pytest.raises(ValueError, match='index.json is damaged.*checksum'):
            mmstadapter.VideoIndex(tmp_path / 'i')

    @pytest.mark.parametrize(
        'text', ['[]', '3', 'null', '{}', '{"format": "mmstadapter-video-index-2"}']
    )
    def test_json_that_is_no_manifest_says_so(self, tmp_path, text):
        (tmp_path / 'index.json').write_text(text)
        with pytest.raises(ValueError, match='index.json is damaged'):
            mmstadapter.VideoIndex(tmp_path)

    def test_an_index_of_another_version_is_refused_and_left_alone(self, tmp_path):
        (tmp_path / 'index.json').write_text(
            '{"format": "mmstadapter-video-index-1", "shards": []}'
        )
        (tmp_path / 'shard-000001.safetensors').touch()
        with pytest.raises(ValueError, match='index-1.*Index again into another folder'):
            mmstadapter.VideoIndex(tmp_path)
        with pytest.raises(ValueError, match='index-1.*Index again into another folder'):
            write(tmp_path, ('a.mp4', vectors(3)))
        assert (tmp_path / 'shard-000001.safetensors').is_file()

    def test_a_folder_with_other_files_is_no_place_for_an_index(self, tmp_path):
        (tmp_path / 'thesis.tex').write_text('dear')
        with pytest.raises(ValueError, match='thesis.tex'):
            write(tmp_path, ('a.mp4', vectors(3)))
        assert not (tmp_path / 'lock').exists()

    @pytest.mark.parametrize('name', ['film-000001.column', 'index.json.bak', 'film.mp4.part'])
    def test_no_file_of_others_is_removed_however_it_is_called(self, tmp_path, name):
        (tmp_path / 'a').mkdir()
        (tmp_path / 'a' / name).write_text('mine')
        with pytest.raises(ValueError, match=name):
            write(tmp_path / 'a', ('a.mp4', vectors(3)))
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (tmp_path / 'i' / name).write_text('mine')
        write(tmp_path / 'i', ('b.mp4', vectors(3)))
        assert (tmp_path / 'i' / name).is_file() and (tmp_path / 'a' / name).is_file()


def flip(path: Path, value: bytes) -> None:
    """Change a bit of the numbers that a file holds, and nothing else of it."""
    content, times = bytearray(path.read_bytes()), path.stat()
    content[content.index(value)] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


class TestChecksums:
    @pytest.fixture
    def damaged(self, tmp_path):
        """An index one bit of whose features is another one."""
        features = vectors(3)
        folder = write(tmp_path / 'i', ('a.mp4', features), ('b.mp4', vectors(2, seed=1)))
        (column,) = folder.glob('vector-*')
        flip(column, features['vector'][1].half().numpy().tobytes())
        return folder

    def test_damaged_features_answer_nothing(self, damaged):
        with pytest.raises(storage.VideoIndexError, match='vector.*its checksum is another'):
            mmstadapter.VideoIndex(damaged)

    def test_of_a_large_index_what_was_changed_is_compared(self, damaged, monkeypatch):
        monkeypatch.setattr(columns, 'ALWAYS', 0)
        (column,) = damaged.glob('vector-*')
        mmstadapter.VideoIndex(damaged)  # size and time of change are the noted ones
        os.utime(column)
        with pytest.raises(storage.VideoIndexError, match='checksum'):
            mmstadapter.VideoIndex(damaged)

    def test_indexing_makes_the_damaged_part_anew(self, damaged):
        said = []
        with writing(damaged, MODEL, '/videos', 2.0, say=said.append) as out:
            assert out.known() == {}
            add(out, 'a.mp4', vectors(3))
            out.commit()
        assert 'indexed again' in said[0]
        assert mmstadapter.VideoIndex(damaged).videos == ['a.mp4']

    def test_a_copy_is_compared_once_and_noted_by_indexing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(columns, 'ALWAYS', 0)
        folder = write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (column,) = folder.glob('vector-*')
        os.utime(column, ns=(1, 1))
        with writing(folder, MODEL, '/videos', 2.0) as out:
            out.commit()
        read = Mock(side_effect=columns._checksum)
        monkeypatch.setattr(columns, '_checksum', read)
        mmstadapter.VideoIndex(folder)
        assert not read.called


class TestNames:
    @pytest.mark.parametrize(
        'name',
        ['../secret.mp4', '/etc/secret.mp4', 'a/../../secret.mp4', '..', '', '.', 'a\0b', '//a/b'],
    )
    def test_a_name_that_leaves_the_root_is_refused(self, tmp_path, name):
        folder = write(tmp_path / 'i', (name, vectors(2)))
        with pytest.raises(ValueError, match='which is no file below its root'):
            mmstadapter.VideoIndex(folder)

    @pytest.mark.parametrize('name', ['a.mp4', 'a/b..mp4', '...mp4', '~x/a.mp4', 'a\nb.mp4'])
    def test_odd_names_below_it_are_taken(self, tmp_path, name):
        assert mmstadapter.VideoIndex(write(tmp_path / 'i', (name, vectors(2)))).videos == [name]
