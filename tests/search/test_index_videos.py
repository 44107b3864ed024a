"""A folder of videos becomes an index that follows it, whatever interrupts."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from rich.cells import cell_len

import mmstadapter
from mmstadapter.ahead import ahead
from mmstadapter.search import folder
from mmstadapter.search.manifest import Manifest

from .conftest import TOKENS, write_config, write_video


@pytest.fixture
def videos(library, tmp_path):
    """A copy of the library, to change."""
    return shutil.copytree(library, tmp_path / 'videos')


@pytest.fixture
def run(model, videos, tmp_path):
    """``run(...)`` indexes the copy in segments of 4 seconds; what it said is ``run.said``."""

    def index(**options):
        index.said = []
        options = dict(model=model, seconds=4, say=index.said.append) | options
        return mmstadapter.index_videos(videos, tmp_path / 'index', **options)

    index.videos = videos
    return index


class TestIndexVideos:
    def test_long_videos_are_cut_and_bad_ones_listed(self, run, tmp_path):
        report = run()
        assert (report.added, report.videos, report.segments) == (3, 3, 5)
        assert list(report.bad) == ['broken.mp4']
        assert any(line.startswith('bad: broken.mp4: ') for line in run.said)
        index = mmstadapter.VideoIndex(tmp_path / 'index')
        assert index.videos == ['bright.mp4', 'holidays/dark sea.mp4', 'short.mp4']
        spans = {(hit.video, hit.start, hit.end) for hit in index.search(_any(index), 9)[0]}
        assert ('bright.mp4', 8.0, 12.0) in spans and ('short.mp4', 0.0, 1.0) in spans

    def test_features_are_the_models_whatever_the_batch(self, run, model, videos, tmp_path):
        run(batch_size=2, num_threads=3)
        index = mmstadapter.VideoIndex(tmp_path / 'index')
        for path in index.videos:
            clips = [s.clip for s in model.segments(videos / path, 4)]
            for number, clip in enumerate(clips):
                hit = index.search(model.encode_clips([clip]), 1)[0][0]
                assert hit.score == pytest.approx(1, abs=1e-3)
                assert (hit.video, round(hit.start / 4)) == (path, number)

    def test_a_second_run_reads_nothing(self, run, monkeypatch, model):
        run()
        monkeypatch.setattr(model, 'segments', _fail)
        report = run()
        assert (report.added, report.unchanged, report.segments) == (0, 4, 5)
        assert list(report.bad) == ['broken.mp4']

    def test_new_changed_and_deleted_files_are_followed(self, run, videos, tmp_path):
        run()
        write_video(videos / 'new.mp4', 70)
        write_video(videos / 'short.mp4', 90, seconds=8)
        (videos / 'holidays/dark sea.mp4').unlink()
        report = run()
        assert (report.added, report.changed, report.gone) == (2, 1, ['holidays/dark sea.mp4'])
        assert 'gone: holidays/dark sea.mp4' in run.said
        assert '4 videos: 1 new, 1 changed, 2 as before, 1 gone' in run.said
        index = mmstadapter.VideoIndex(tmp_path / 'index')
        assert index.videos == ['bright.mp4', 'new.mp4', 'short.mp4'] and len(index) == 6

    def test_a_mended_video_is_read_and_an_unchanged_bad_one_only_on_demand(
        self, run, videos, model, monkeypatch
    ):
        run()
        asked = []
        original = model.segments
        monkeypatch.setattr(
            model, 'segments', lambda path, s: asked.append(path.name) or original(path, s)
        )
        assert run(retry=True).bad and asked == ['broken.mp4']
        write_video(videos / 'broken.mp4', 60)
        report = run()
        assert (report.bad, report.videos) == ({}, 4)

    def test_a_video_that_breaks_halfway_leaves_nothing(self, run, model, monkeypatch, tmp_path):
        original = model.segments

        def breaking(path, seconds):
            for number, segment in enumerate(original(path, seconds)):
                if path.name == 'bright.mp4' and number == 2:
                    raise mmstadapter.VideoReadError(str(path), 'is damaged')
                yield segment

        monkeypatch.setattr(model, 'segments', breaking)
        report = run(batch_size=2)  # two of its segments are encoded by then
        assert report.bad['bright.mp4'] == 'is damaged' and report.segments == 2
        assert 'bright.mp4' not in mmstadapter.VideoIndex(tmp_path / 'index').videos

    def test_a_file_without_a_suffix_is_read_and_what_is_no_video_is_counted(self, run, videos):
        shutil.copy(videos / 'short.mp4', videos / 'dQw4w9XgXcQ')
        (videos / 'notes.txt').touch()
        assert run().videos == 4
        assert any('left out: ' in line and '1 .txt is no video' in line for line in run.said)

    def test_an_empty_folder_takes_nothing_out(self, run, videos, tmp_path):
        run()
        shutil.rmtree(videos)
        videos.mkdir()
        with pytest.raises(ValueError, match='Is the disk mounted'):
            run()
        assert len(mmstadapter.VideoIndex(tmp_path / 'index')) == 5

    def test_a_folder_that_cannot_be_read_keeps_its_place_in_the_index(
        self, run, videos, tmp_path, monkeypatch
    ):
        run()
        original = os.scandir

        def scandir(path='.'):
            if str(path).endswith('holidays'):
                raise PermissionError(13, 'Permission denied', str(path))
            return original(path)

        monkeypatch.setattr(os, 'scandir', scandir)
        (videos / 'short.mp4').unlink()
        report = run()
        assert (report.closed, report.gone) == (['holidays'], ['short.mp4'])
        assert any('cannot be read' in line and 'holidays/' in line for line in run.said)
        assert 'holidays/dark sea.mp4' in mmstadapter.VideoIndex(tmp_path / 'index').videos

    def test_a_file_that_cannot_be_looked_at_closes_its_folder(self, run, videos, monkeypatch):
        run()
        original = Path.stat

        def stat(self, **options):
            if self.name == 'dark sea.mp4':
                raise PermissionError(13, 'Permission denied', str(self))
            return original(self, **options)

        monkeypatch.setattr(Path, 'stat', stat)
        report = run()
        assert (report.closed, report.gone, report.videos) == (['holidays'], [], 3)

    def test_names_of_any_kind_are_indexed_and_told_in_one_line(self, run, videos, tmp_path):
        names = ['a\nb.mp4', '\x1b[31m.mp4', '-x.mp4', '"<b>\'&.mp4', '日本.mp4', 'caf\udce9.mp4']
        for name in names:
            shutil.copy(videos / 'short.mp4', videos / name)
        (videos / 'bad\n\x1b.mp4').write_bytes(b'')
        (videos / 'loop').symlink_to(videos)
        (videos / 'self.mp4').symlink_to('self.mp4')
        (videos / 'nowhere.mp4').symlink_to('/nowhere.mp4')
        report = run()
        assert set(names) < set(mmstadapter.VideoIndex(tmp_path / 'index').videos)
        assert (report.videos, len(report.bad)) == (9, 2)
        assert any(line.startswith('bad: bad\\n\\x1b.mp4: ') for line in run.said)
        assert all(line.isprintable() for line in run.said)
        assert run().added == 0

    def test_another_root_is_refused_unless_it_was_moved(self, run, videos, tmp_path, model):
        run()
        there = shutil.move(videos, tmp_path / 'elsewhere')
        arguments = dict(model=model, seconds=4, say=lambda line: None)
        with pytest.raises(ValueError, match='--moved'):
            mmstadapter.index_videos(there, tmp_path / 'index', **arguments)
        report = mmstadapter.index_videos(there, tmp_path / 'index', moved=True, **arguments)
        assert report.unchanged == 4
        assert mmstadapter.VideoIndex(tmp_path / 'index').root == tmp_path / 'elsewhere'

    def test_another_segment_length_is_refused(self, run):
        run()
        with pytest.raises(ValueError, match='segments of 4 s, asked for 5 s'):
            run(seconds=5)

    @pytest.mark.parametrize('seconds', [-1, float('nan'), float('inf')])
    def test_a_length_that_is_no_number_is_refused_before_anything_is_made(
        self, run, seconds, tmp_path
    ):
        with pytest.raises(ValueError, match='seconds must be a number from 0'):
            run(seconds=seconds)
        assert not (tmp_path / 'index').exists()

    def test_nan_features_stop_the_run_and_name_the_video(self, run, model, monkeypatch, tmp_path):
        original = model.encode_clips

        def broken(clips):
            return {name: tensor * torch.nan for name, tensor in original(clips).items()}

        monkeypatch.setattr(model, 'encode_clips', broken)
        with pytest.raises(ValueError, match='not finite.*bright.mp4'):
            run()
        assert len(mmstadapter.VideoIndex(tmp_path / 'index')) == 0

    def test_what_was_done_before_an_error_is_kept(self, run, model, monkeypatch, tmp_path):
        original = model.segments

        def failing(path, seconds):
            if path.name == 'short.mp4':
                raise MemoryError
            return original(path, seconds)

        monkeypatch.setattr(model, 'segments', failing)
        with pytest.raises(MemoryError) as caught:
            run(batch_size=1)
        assert 'short.mp4' in caught.value.__notes__[0]
        assert len(mmstadapter.VideoIndex(tmp_path / 'index').videos) == 2

    @pytest.mark.processes
    def test_a_killed_run_is_gone_on_with(self, run, videos, model_config, tmp_path):
        program = f"""
            import os, signal
            import mmstadapter
            from mmstadapter.search import folder
            folder.COMMIT_SECONDS = 0
            done = folder.Progress.done
            def kill_at_the_third(self, *args):
                done(self, *args)
                if self.number == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
            folder.Progress.done = kill_at_the_third
            model = mmstadapter.SearchModel({str(model_config)!r}, device='cpu')
            mmstadapter.index_videos({str(videos)!r}, {str(tmp_path / 'index')!r}, model, 4)
        """
        done = subprocess.run([sys.executable, '-c', textwrap.dedent(program)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
        assert mmstadapter.VideoIndex(tmp_path / 'index').videos == ['bright.mp4']
        report = run()
        assert (report.added, report.unchanged, report.segments) == (2, 2, 5)

    def test_progress_is_shown(self, run, monkeypatch):
        monkeypatch.setattr('mmstadapter.progress.QUIET', -1)
        run()
        assert any(re.match(r'2/4 videos, \d+:\d\d so far', line) for line in run.said)

    def test_progress_on_a_terminal_is_one_line_that_others_do_not_run_into(
        self, run, videos, monkeypatch, capsys
    ):
        (videos / ('日本' * 30 + '.mp4')).write_bytes(b'')
        monkeypatch.setenv('COLUMNS', '60')
        monkeypatch.setenv('TERM', 'xterm')
        monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
        run(say=lambda line: print(line, file=sys.stderr))
        output = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', capsys.readouterr().err)
        lines = [line for part in output.split('\n') for line in part.split('\r')]
        assert any('5/5 videos' in line for line in lines)
        assert all(cell_len(line) <= 60 for line in lines if '/5 videos' in line)
        bad = [line for line in lines if 'bad:' in line]
        assert len(bad) == 2 and all(line.startswith('bad: ') for line in bad)


class TestRenamedFiles:
    """A video is known by its content: nothing of a renamed one is decoded."""

    @pytest.fixture
    def again(self, run, model, monkeypatch):
        """Index, rename by ``again(old=new, ...)``, index; no file may be opened for frames."""

        def again(change, **options):
            run()
            before = {path.name: path.read_bytes() for path in _columns(run)}
            change()
            with monkeypatch.context() as patch:
                patch.setattr(model, 'segments', _fail)
                patch.setattr('av.open', _fail)
                report = run(**options)
            assert {path.name: path.read_bytes() for path in _columns(run)} == before
            return report

        return again

    def test_a_renamed_file_keeps_its_segments(self, again, run, videos, model, tmp_path):
        report = again(lambda: (videos / 'bright.mp4').rename(videos / 'holidays/light.mp4'))
        assert report.renamed == {'holidays/light.mp4': 'bright.mp4'} and not report.gone
        assert (report.added, report.unchanged, report.segments) == (0, 3, 5)
        assert 'renamed: bright.mp4 -> holidays/light.mp4' in run.said
        assert run.said[-1].endswith('0 new, 0 changed, 3 as before, 0 gone, 1 renamed')
        search = mmstadapter.VideoIndex(tmp_path / 'index')
        (segment, *_) = model.segments(videos / 'holidays/light.mp4', 4)
        hit = search.search(model.encode_clips([segment.clip]), 1)[0][0]
        assert (hit.video, hit.start) == ('holidays/light.mp4', 0) and hit.score > 0.999
        assert run().unchanged == 4  # and is no more looked at

    def test_a_renamed_folder_is_its_files_renamed(self, again, videos):
        report = again(lambda: (videos / 'holidays').rename(videos / 'sea'))
        assert report.renamed == {'sea/dark sea.mp4': 'holidays/dark sea.mp4'}

    def test_files_that_change_places_are_both_known(self, again, videos):
        def swap():
            (videos / 'bright.mp4').rename(videos / 'x.mp4')
            (videos / 'short.mp4').rename(videos / 'bright.mp4')
            (videos / 'x.mp4').rename(videos / 'short.mp4')

        report = again(swap)
        assert report.renamed == {'bright.mp4': 'short.mp4', 'short.mp4': 'bright.mp4'}

    def test_another_time_of_change_alone_is_no_change(self, again, videos):
        report = again(lambda: os.utime(videos / 'bright.mp4', ns=(1, 1)))
        assert (report.unchanged, report.changed, report.renamed) == (4, 0, {})

    def test_of_two_alike_each_is_one(self, run, again, videos):
        shutil.copy(videos / 'short.mp4', videos / 'twin.mp4')

        def rename():
            (videos / 'short.mp4').rename(videos / 'a.mp4')
            (videos / 'twin.mp4').rename(videos / 'b.mp4')

        report = again(rename)
        assert set(report.renamed.values()) == {'short.mp4', 'twin.mp4'}

    def test_a_file_in_the_old_ones_place_is_read(self, run, videos):
        run()
        (videos / 'bright.mp4').rename(videos / 'light.mp4')
        write_video(videos / 'bright.mp4', 50)
        report = run()
        assert report.renamed == {'light.mp4': 'bright.mp4'}
        assert (report.added, report.changed, report.videos) == (1, 1, 4)

    def test_a_copy_is_read(self, run, videos):
        run()
        shutil.copy(videos / 'bright.mp4', videos / 'copy.mp4')
        report = run()
        assert (report.added, report.renamed, report.videos) == (1, {}, 4)

    def test_one_byte_makes_another_file_whatever_size_and_time_say(self, run, videos):
        """The size, time of change, beginning and end are those of the file that is gone."""
        run()
        old, new = videos / 'bright.mp4', videos / 'light.mp4'
        state, content = old.stat(), bytearray(old.read_bytes())
        old.unlink()
        content[len(content) // 2] ^= 1
        new.write_bytes(content)
        os.utime(new, ns=(state.st_atime_ns, state.st_mtime_ns))
        report = run()
        assert (report.renamed, report.gone) == ({}, ['bright.mp4'])
        assert report.added or 'light.mp4' in report.bad

    def test_a_file_that_changed_while_it_was_read_has_no_known_content(
        self, run, videos, model, monkeypatch
    ):
        original = model.segments

        def touching(path, seconds):
            yield from original(path, seconds)
            os.utime(path, ns=(1, 1))

        with monkeypatch.context() as patch:
            patch.setattr(model, 'segments', touching)
            run()
        (videos / 'bright.mp4').rename(videos / 'light.mp4')
        assert (run().renamed, run.said.count('gone: bright.mp4')) == ({}, 1)

    def test_only_files_of_a_missing_ones_size_are_read(self, run, videos, monkeypatch):
        run()
        write_video(videos / 'new.mp4', 33)
        (videos / 'bright.mp4').rename(videos / 'light.mp4')
        read = []
        original = folder.content
        monkeypatch.setattr(
            folder, 'content', lambda path: read.append(path.name) or original(path)
        )
        run()
        assert sorted(read) == ['light.mp4', 'new.mp4']  # one for its name, one when indexed

    def test_an_index_of_the_format_before_is_gone_on_with(self, run, videos, tmp_path):
        run()
        manifest = Manifest.read(tmp_path / 'index')
        old = {path: video[:4] for path, video in manifest.videos.items()}
        text = json.dumps(
            dict(format='mmstadapter-video-index-2', **vars(manifest)) | dict(videos=old)
        )
        (tmp_path / 'index/index.json').write_text(_signed(text))
        assert run().unchanged == 4
        (videos / 'bright.mp4').rename(videos / 'light.mp4')
        report = run()  # its content was not noted
        assert (report.renamed, report.gone, report.added) == ({}, ['bright.mp4'], 1)
        (videos / 'light.mp4').rename(videos / 'bright.mp4')
        assert run().renamed == {'bright.mp4': 'light.mp4'}


def _columns(run) -> list[Path]:
    return sorted((run.videos.parent / 'index').glob('*.column'))


def _signed(text: str) -> str:
    body = text.removesuffix('}')
    return f'{body}, "sha256": "{hashlib.sha256(body.encode()).hexdigest()}"}}\n'


class TestOtherModels:
    def test_other_weights_say_so_in_extending_and_in_searching(self, run, tmp_path):
        run()
        other = tmp_path / 'other'
        other.mkdir()
        config = write_config(other)
        mmstadapter.testing.write_clip_file(other / 'clip.safetensors', seed=5)
        with pytest.raises(ValueError, match='(?s)another model.*weights of backbone.*--index'):
            run(model=mmstadapter.SearchModel(config, device='cpu'))
        stored = mmstadapter.VideoIndex(tmp_path / 'index').model
        clip = str(other / 'clip.safetensors')
        options = {'model.backbone.trunk.checkpoint': clip, 'model.text_tower.checkpoint': clip}
        with pytest.raises(ValueError, match='weights of text_tower'):
            mmstadapter.VideoSearch(tmp_path / 'index', device='cpu', options=options)
        assert stored['weights']

    def test_the_same_weights_elsewhere_are_accepted(self, run, tmp_path, model_config):
        run()
        clip = shutil.copy(model_config.with_name('clip.safetensors'), tmp_path / 'c.safetensors')
        options = {'model.backbone.trunk.checkpoint': clip, 'model.text_tower.checkpoint': clip}
        search = mmstadapter.VideoSearch(tmp_path / 'index', device='cpu', options=options)
        assert len(search('a dark video')) == 5

    def test_other_frames_are_named(self, run, tmp_path, model_config):
        run()
        text = model_config.read_text().replace('clip_len=4', 'clip_len=6')
        (tmp_path / 'six.py').write_text(text)
        with pytest.raises(ValueError, match=r'\[1\].clip_len: 4 in the index, 6 here'):
            run(model=mmstadapter.SearchModel(tmp_path / 'six.py', device='cpu'))

    def test_weights_that_would_be_random_are_refused(self, tmp_path):
        with pytest.raises(RuntimeError, match=r'random \(similarity.*--checkpoint'):
            mmstadapter.SearchModel(write_config(tmp_path, TOKENS), device='cpu')

    @pytest.mark.parametrize('name', ['cut.pth', 'empty.pth', 'text.pth', 'cut.safetensors'])
    def test_a_damaged_checkpoint_is_named(self, model_config, tmp_path, name):
        contents = {'empty.pth': b'', 'text.pth': b'hello', 'cut.safetensors': bytes(9)}
        torch.save(dict(state_dict={}), tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(contents.get(name, whole[: len(whole) // 2]))
        with pytest.raises(ValueError, match=f'{name} .*(damaged|whole|tensors)'):
            mmstadapter.SearchModel(model_config, tmp_path / name, 'cpu')

    def test_a_trunk_without_a_file_is_refused(self, model_config, tmp_path):
        with pytest.raises(RuntimeError, match=r'random \(backbone.trunk'):
            mmstadapter.SearchModel(
                model_config, device='cpu', options={'model.backbone.trunk.checkpoint': None}
            )

    def test_a_recogniser_is_refused(self):
        with pytest.raises(ValueError, match='no retrieval model'):
            mmstadapter.SearchModel('linear_vit-tiny_demo-motion.py', device='cpu')

    def test_a_stored_config_executes_nothing(self, model):
        stored = model.describe()
        evil = dict(stored, config=dict(stored['config'], model=dict(type='os.system')))
        with pytest.raises(ValueError, match='os.system'):
            mmstadapter.SearchModel.of_index(evil)


class TestVideoSearch:
    def test_it_finds_by_the_models_own_scores(self, run, model, videos, tmp_path):
        run()
        search = mmstadapter.VideoSearch(tmp_path / 'index', device='cpu')
        caption = 'a dark video jumps'
        hits = search(caption, topk=5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            assert search.path(hit).is_file()
            parts = {s.start: s.clip for s in model.segments(search.path(hit), 4)}
            video = model.encode_clips([parts[hit.start]])
            expected = mmstadapter.score(model.encode_captions([caption]), video).item()
            assert hit.score == pytest.approx(expected, abs=1e-3)

    def test_token_features_are_indexed_and_found(self, videos, tmp_path):
        config = write_config(tmp_path, TOKENS)
        options = {'model.similarity.embed_dims': 16}
        network = MODELS.build(Config.fromfile(config).model)
        for part in (network.backbone.trunk, network.text_tower):
            part.init_weights()
        torch.save(dict(state_dict=network.state_dict()), tmp_path / 'trained.pth')
        model = mmstadapter.SearchModel(config, tmp_path / 'trained.pth', 'cpu', options)
        mmstadapter.index_videos(videos, tmp_path / 'index', model, 4, say=lambda line: None)
        search = mmstadapter.VideoSearch(tmp_path / 'index', device='cpu')
        assert set(search.index.features(slice(0))) == {'tokens', 'weights'}
        exact, listed = (search('a dark video', exact=exact) for exact in (True, False))
        assert exact == listed and len(exact) == 5

    def test_it_tells_how_much_of_a_long_sentence_is_not_read(self, model, monkeypatch):
        assert model.unread('a dark video ' * 9) == 0  # its tokenizer refuses long ones
        tokenizer = mmstadapter.CLIPTokenizer(context_length=8)
        monkeypatch.setattr(model.model, 'tokenizer', tokenizer)
        assert [model.unread('a dog ' * times) for times in (3, 4)] == [0, 2]

    def test_one_that_is_warm_has_answered_already_and_finds_the_same(
        self, run, tmp_path, monkeypatch
    ):
        run()
        asked, search = [], mmstadapter.VideoSearch.many
        monkeypatch.setattr(
            mmstadapter.VideoSearch, 'many', lambda *a: asked.append(a) or search(*a)
        )
        cold, warm = (mmstadapter.VideoSearch(tmp_path / 'index', device='cpu') for _ in range(2))
        assert warm.warm() is warm and len(asked) == 1
        assert warm('a dark video') == cold('a dark video')

    def test_no_words_are_refused(self, run, tmp_path):
        run()
        search = mmstadapter.VideoSearch(tmp_path / 'index', device='cpu')
        for ask, words in ((search, '  '), (search.many, 'a dog'), (search.many, [])):
            with pytest.raises(ValueError, match='captions with words'):
                ask(words)


class TestAhead:
    def test_streams_come_in_order_whatever_the_threads(self):
        makers = [lambda n=n: range(100 * n, 100 * n + 40) for n in range(7)]
        found = [list(stream) for stream in ahead(makers, threads=3)]
        assert found == [list(range(100 * n, 100 * n + 40)) for n in range(7)]

    def test_an_error_comes_where_its_item_would_have(self):
        def breaking():
            yield 1
            raise OSError('here')

        streams = ahead([breaking, lambda: [2]], threads=2)
        first = next(streams)
        assert next(first) == 1
        with pytest.raises(OSError, match='here'):
            next(first)
        assert list(next(streams)) == [2]


def _any(index) -> dict:
    """Features to ask with, when all segments are wanted."""
    return {name: tensor[:1].float() for name, tensor in index.features(slice(0, 1)).items()}


def _fail(*args):
    raise AssertionError('nothing should be read')
