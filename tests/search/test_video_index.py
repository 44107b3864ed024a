"""The index on disk: whole after every step, and found in by features."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch.nn import functional as F

import mmstadapter
from mmstadapter.search import seals, storage, writer
from mmstadapter.search.first_stage import pooled
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.writer import writing

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
        (before,) = (tmp_path / 'i').glob('shard-*')
        state = before.stat()
        write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        assert before.stat() == state
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4', 'b.mp4']

    def test_only_safetensors_and_json_are_written(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', tokens(3)))
        names = {path.name for path in (tmp_path / 'i').iterdir()}
        assert names == {'index.json', 'lock', 'shard-000001.safetensors'}

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
            patch.setattr(writer, 'write_manifest', die)
            write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        assert len(list((tmp_path / 'i').glob('shard-*'))) == 2
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']
        write(tmp_path / 'i', ('c.mp4', vectors(2, seed=2)))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4', 'c.mp4']
        assert len(list((tmp_path / 'i').glob('shard-*'))) == 2  # the orphan is gone

    def test_dying_at_any_step_of_writing_loses_nothing(self, tmp_path, monkeypatch):
        """Add, change, drop and merge, dying before and after each change of the disk in turn."""
        steps = [(storage.os, 'fsync'), (Path, 'replace'), (Path, 'unlink')]
        steps += [(Path, 'write_bytes'), (Path, 'write_text')]
        monkeypatch.setattr(writer, 'MANY', 3)
        monkeypatch.setattr(storage.os, 'fsync', lambda file: None)  # slow, and no power fails

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
                    for name, seed in (('b.mp4', 7), ('c.mp4', 3), ('a.mp4', 9)):
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

        def full(self, content):
            raise OSError(28, 'No space left on device')

        with monkeypatch.context() as patch, pytest.raises(OSError, match='No space.*shard-000002'):
            patch.setattr(Path, 'write_bytes', full)
            write(tmp_path / 'i', ('b.mp4', vectors(2, seed=1)))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']

    def test_dying_within_the_writing_of_the_first_shard_leaves_a_folder_to_go_on_in(
        self, tmp_path
    ):
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
        assert sorted(names) == ['lock', 'shard-000001.safetensors.part']
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        assert not list((tmp_path / 'i').glob('*.part'))

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
            assert out.manifest['seconds'] == 2.0

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

    def test_many_small_shards_become_one(self, tmp_path):
        for i in range(writer.MANY):
            write(tmp_path / 'i', (f'{i}.mp4', vectors(2, seed=i)), (f'{i}b.mp4', vectors(1)))
        old = mmstadapter.VideoIndex(tmp_path / 'i')  # keeps working while files go
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.drop(['3.mp4'])
            out.tidy()
        new = mmstadapter.VideoIndex(tmp_path / 'i')
        assert len(list((tmp_path / 'i').glob('shard-*'))) == 1
        assert new.videos == [name for name in old.videos if name != '3.mp4']
        for i in (0, 3, 7):
            query = {'vector': vectors(2, seed=i)['vector'][1:]}
            assert (old.search(query, 1)[0] == new.search(query, 1)[0]) == (i != 3)

    def test_a_shard_that_is_mostly_dropped_is_written_anew(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(9)), ('b.mp4', vectors(1, seed=1)))
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0) as out:
            out.drop(['a.mp4'])
            out.commit()
            out.tidy()
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert [shard.rows for shard in index.shards] == [1] and index.videos == ['b.mp4']


class TestDamage:
    def test_a_damaged_shard_is_named_in_searching_and_left_out_in_writing(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        write(tmp_path / 'i', ('b.mp4', vectors(3, seed=1)))
        first = sorted((tmp_path / 'i').glob('shard-*'))[0]
        first.write_bytes(first.read_bytes()[:-40])
        with pytest.raises(ValueError, match='shard-000001.safetensors'):
            mmstadapter.VideoIndex(tmp_path / 'i')
        said: list[str] = []
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0, said.append) as out:
            assert list(out.known()) == ['b.mp4']
            out.commit()
        assert 'indexed again' in said[0]
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['b.mp4']

    def test_a_shard_that_is_merged_away_while_it_is_opened_is_no_damage(
        self, tmp_path, monkeypatch
    ):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        original = storage.safe_open

        def replaced_before(path, framework):
            monkeypatch.setattr(storage, 'safe_open', original)
            write(tmp_path / 'i', ('b.mp4', vectors(3, seed=1)))
            raise RuntimeError('unable to open file <shard-000001.safetensors> in read-only mode')

        monkeypatch.setattr(storage, 'safe_open', replaced_before)
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4', 'b.mp4']

    def test_a_damaged_shard_stays_until_the_index_is_without_it(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (path,) = (tmp_path / 'i').glob('shard-*')
        path.write_bytes(path.read_bytes()[:-40])
        before = (tmp_path / 'i/index.json').read_bytes()
        with writing(tmp_path / 'i', MODEL, '/videos', 2.0, lambda line: None):
            assert path.is_file()
        assert (tmp_path / 'i/index.json').read_bytes() == before

    def test_a_shard_that_may_not_be_read_is_not_indexed_again(self, tmp_path, monkeypatch):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))

        manifest = storage.read_manifest(tmp_path / 'i')

        def closed(*args, **options):
            raise PermissionError(13, 'Permission denied')

        with monkeypatch.context() as patch, pytest.raises(ValueError, match='shard.*denied'):
            patch.setattr('builtins.open', closed)
            patch.setattr(writer, 'locked', lambda folder: nullcontext())
            patch.setattr(writer, 'read_manifest', lambda folder: manifest)
            write(tmp_path / 'i', ('b.mp4', vectors(3)))
        assert mmstadapter.VideoIndex(tmp_path / 'i').videos == ['a.mp4']

    def test_a_shard_whose_segments_are_of_no_video_is_refused(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (path,) = (tmp_path / 'i').glob('shard-*')
        shard = mmstadapter.VideoIndex(tmp_path / 'i').shards[0]
        for numbers in ([0, 0, 1], [-1, 0, 0]):
            tensors = shard.tensors | dict(video=torch.tensor(numbers, dtype=torch.int32))
            storage.write_shard(path, tensors, shard.videos)
            with pytest.raises(ValueError, match='not the one that was written'):
                mmstadapter.VideoIndex(tmp_path / 'i')

    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('shards', {}), ('shards', [3]), ('shards', [dict(file='a', rows='2', dropped=[])]),
            ('shards', [dict(file='../a', rows=2, dropped=[])]), ('bad', {'a.mp4': 'reason'}),
            ('approximate', dict(file='a')), ('seconds', '10'), ('root', None), ('model', []),
        ],
    )  # fmt: skip
    def test_a_manifest_of_another_form_names_the_entry(self, tmp_path, name, value):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = json.loads((tmp_path / 'i/index.json').read_text()) | {name: value}
        (tmp_path / 'i/index.json').write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=f'index.json is damaged.*{name}'):
            mmstadapter.VideoIndex(tmp_path / 'i')

    def test_a_damaged_manifest_says_so(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = json.loads((tmp_path / 'i/index.json').read_text())
        del manifest['shards']
        for text in ('{"format": ', '[]', json.dumps(manifest)):
            (tmp_path / 'i/index.json').write_text(text)
            with pytest.raises(ValueError, match='index.json is damaged'):
                mmstadapter.VideoIndex(tmp_path / 'i')

    def test_a_manifest_of_another_version_says_so(self, tmp_path):
        write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = json.loads((tmp_path / 'i/index.json').read_text())
        (tmp_path / 'i/index.json').write_text(json.dumps(manifest | dict(format='other-2')))
        with pytest.raises(ValueError, match="'other-2'"):
            mmstadapter.VideoIndex(tmp_path / 'i')

    def test_a_folder_with_other_files_is_no_place_for_an_index(self, tmp_path):
        (tmp_path / 'thesis.tex').write_text('dear')
        with pytest.raises(ValueError, match='thesis.tex'):
            write(tmp_path, ('a.mp4', vectors(3)))
        assert not (tmp_path / 'lock').exists()

    @pytest.mark.parametrize('name', ['shard-000001.tar', 'index.json.bak', 'film.mp4.part'])
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
        (shard,) = folder.glob('shard-*')
        flip(shard, features['vector'][1].half().numpy().tobytes())
        return folder

    def test_damaged_features_answer_nothing(self, damaged):
        with pytest.raises(storage.VideoIndexError, match='shard.*its checksum is another'):
            mmstadapter.VideoIndex(damaged)

    def test_of_a_large_index_what_was_changed_is_compared(self, damaged, monkeypatch):
        monkeypatch.setattr(seals, 'ALWAYS', 0)
        (shard,) = damaged.glob('shard-*')
        mmstadapter.VideoIndex(damaged)  # size and time of change are the noted ones
        os.utime(shard)
        with pytest.raises(storage.VideoIndexError, match='checksum'):
            mmstadapter.VideoIndex(damaged)

    def test_indexing_makes_the_damaged_part_anew(self, damaged):
        said = []
        (shard,) = damaged.glob('shard-*')
        os.utime(shard)
        with writing(damaged, MODEL, '/videos', 2.0, say=said.append) as out:
            assert out.known() == {}
            add(out, 'a.mp4', vectors(3))
            out.commit()
        assert 'indexed again' in said[0]
        assert mmstadapter.VideoIndex(damaged).videos == ['a.mp4']

    def test_a_copy_is_compared_once_and_noted_by_indexing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(seals, 'ALWAYS', 0)
        folder = write(tmp_path / 'i', ('a.mp4', vectors(3)))
        (shard,) = folder.glob('shard-*')
        os.utime(shard, ns=(1, 1))
        with writing(folder, MODEL, '/videos', 2.0) as out:
            out.commit()
        read = Mock(side_effect=seals._sha256)
        monkeypatch.setattr(seals, '_sha256', read)
        mmstadapter.VideoIndex(folder)
        assert not read.called

    def test_indexes_of_older_versions_are_read(self, tmp_path):
        folder = write(tmp_path / 'i', ('a.mp4', vectors(3)))
        manifest = json.loads((folder / 'index.json').read_text())
        for entry in manifest['shards']:
            del entry['sha256'], entry['size'], entry['mtime_ns']
        (folder / 'index.json').write_text(json.dumps(manifest))
        assert mmstadapter.VideoIndex(folder).videos == ['a.mp4']


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
