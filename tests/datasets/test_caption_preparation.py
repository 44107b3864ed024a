"""The prepare.py scripts of captioned data sets write one form, or say what is wrong."""

import json
import os
import pickle
import re
from pathlib import Path

import pytest

from mmstadapter import CaptionDataset

from .conftest import PAGES, touch

NAMES = ['msrvtt', 'msvd', 'vatex', 'didemo']


@pytest.fixture
def notes(tmp_path):
    """Writes annotation files: lists as lines, csv as text, the rest as json."""

    def write(**files) -> Path:
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        for name, content in files.items():
            stem, _, suffix = name.rpartition('__')
            path = tmp_path / 'annotations' / f'{stem}.{suffix}'
            if suffix == 'pkl':
                path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
            elif suffix == 'json':
                path.write_text(json.dumps(content))
            else:
                path.write_text(content if suffix == 'csv' else '\n'.join(content) + '\n')
        return tmp_path

    return write


def written(root: Path) -> dict[str, dict]:
    return {p.stem: json.loads(p.read_text()) for p in sorted(root.glob('*.json'))}


class TestMSRVTT:
    @pytest.fixture
    def content(self):
        parts = ['train', 'train', 'validate', 'test']
        return dict(
            sentences=[dict(video_id=f'video{i % 4}', caption=f'{i % 4}-{i}') for i in range(8)],
            videos=[dict(video_id=f'video{i}', split=part) for i, part in enumerate(parts)],
        )

    @pytest.fixture
    def root(self, notes, tmp_path, content):
        touch(tmp_path / 'videos', *(f'video{i}.mp4' for i in range(4)))
        return notes(
            MSRVTT_data__json=content,
            **{'MSRVTT_train.9k__csv': 'video_id\nvideo2\nvideo0\n'},
            MSRVTT_JSFUSION_test__csv='key,vid_key,video_id,sentence\nr,m,video3,"a, b"\n',
        )

    def test_lists_of_both_splits(self, prepare, root):
        status, said = prepare('msrvtt')
        assert status == 0, said
        assert written(root) == {
            'test_1k-a': {'video3.mp4': ['a, b']},
            'test_full': {'video3.mp4': ['3-3', '3-7']},
            'train_9k': {'video2.mp4': ['2-2', '2-6'], 'video0.mp4': ['0-0', '0-4']},
            'train_full': {'video0.mp4': ['0-0', '0-4'], 'video1.mp4': ['1-1', '1-5']},
            'val_full': {'video2.mp4': ['2-2', '2-6']},
        }
        assert (
            'train_9k.json: 2 videos with 4 captions listed (official: 9,000 and 180,000), 2 '
            'videos found, 0 missing' in said
        )

    def test_the_original_files_do_as_well(self, prepare, root, notes, content):
        (root / 'annotations/MSRVTT_data.json').unlink()
        notes(train_val_videodatainfo__json=content)
        assert prepare('msrvtt')[0] == 1
        notes(test_videodatainfo__json=dict(sentences=[], videos=[]))
        assert prepare('msrvtt')[0] == 0 and len(written(root)) == 5

    def test_folders_of_frames(self, prepare, root):
        touch(root / 'frames', *(f'video{i}/img_00001.jpg' for i in range(4)))
        assert prepare('msrvtt', '--frames')[0] == 0
        assert list(written(root)['train_9k']) == ['video2', 'video0']

    def test_captions_without_a_video_stop_it(self, prepare, root):
        (root / 'videos/video0.mp4').unlink()
        status, said = prepare('msrvtt')
        assert status == 1 and 'Videos are missing; nothing written' in said
        assert not written(root)
        assert (root / 'train_9k_missing.txt').read_text() == 'video0\n'

    def test_or_are_left_out_when_allowed(self, prepare, root):
        (root / 'videos/video0.mp4').unlink()
        assert prepare('msrvtt', '--allow-missing')[0] == 0
        assert list(written(root)['train_9k']) == ['video2.mp4']

    def test_a_table_without_its_columns_is_named(self, prepare, root, notes):
        notes(MSRVTT_JSFUSION_test__csv='id,text\n1,a\n')
        assert 'lacks the columns video_id, sentence' in prepare('msrvtt')[1]

    def test_running_again_changes_nothing(self, prepare, root):
        prepare('msrvtt')
        before = written(root)
        assert prepare('msrvtt')[0] == 0 and written(root) == before


class TestMSVD:
    @pytest.fixture
    def root(self, notes, tmp_path):
        touch(tmp_path / 'videos', '-a_1_5.avi', 'b_0_9.avi', 'c_2_4.avi')
        return notes(
            **{'raw-captions__pkl': {
                '-a_1_5': [['a', 'man', 'runs'], ['someone', 'is', 'running', '.']],
                'b_0_9': [['one', 'cat']],
                'c_2_4': [['z', "isn't"]],
            }},
            train_list__txt=['b_0_9'],
            val_list__txt=['c_2_4'],
            test_list__txt=['c_2_4', '-a_1_5'],
        )  # fmt: skip

    def test_words_are_joined_and_all_captions_kept(self, prepare, root):
        status, said = prepare('msvd')
        assert status == 0, said
        assert written(root)['test'] == {
            'c_2_4.avi': ["z isn't"],
            '-a_1_5.avi': ['a man runs', 'someone is running .'],
        }

    def test_its_lists_are_what_the_data_set_reads(self, prepare, root):
        prepare('msvd')
        data = CaptionDataset('test.json', [], data_root=str(root), test_mode=True)
        assert [len(data.get_data_info(i)['captions']) for i in range(len(data))] == [1, 2]

    def test_a_pickle_that_could_act_is_not_loaded(self, prepare, root, notes):
        class Act:
            def __reduce__(self):
                return os.mkdir, (str(root / 'acted'),)

        notes(**{'raw-captions__pkl': {'b_0_9': Act()}})
        status, said = prepare('msvd')
        assert status == 1 and 'was not loaded: it names posix.mkdir' in said
        assert not (root / 'acted').exists()

    @pytest.mark.parametrize('content', [b'', b'\x80\x04broken', ['a'], {'b_0_9': 3}])
    def test_another_content_is_refused(self, prepare, root, notes, content):
        notes(**{'raw-captions__pkl': content})
        status, said = prepare('msvd')
        assert status == 1 and 'raw-captions.pkl' in said

    def test_dictionaries_of_the_standard_library_are_plain(self, prepare, root, notes):
        from collections import OrderedDict, defaultdict

        captions = defaultdict(list, {name: [['x']] for name in ('-a_1_5', 'b_0_9', 'c_2_4')})
        notes(**{'raw-captions__pkl': OrderedDict(captions)})
        assert prepare('msvd')[0] == 0
        notes(**{'raw-captions__pkl': pickle.dumps(captions, protocol=2)})
        assert prepare('msvd')[0] == 0

    def test_a_video_without_captions_is_named(self, prepare, root, notes):
        notes(test_list__txt=['c_2_4', 'd_1_2'])
        status, said = prepare('msvd')
        assert status == 1 and 'test.json: 1 videos have no caption: d_1_2' in said

    def test_a_video_listed_twice_is_named(self, prepare, root, notes):
        notes(train_list__txt=['b_0_9', 'b_0_9'])
        status, said = prepare('msvd')
        assert status == 1 and 'train.json: 1 videos are listed more than once: b_0_9' in said

    def test_two_files_of_one_id_are_named(self, prepare, root):
        touch(root / 'videos', 'other/b_0_9.mp4')
        status, said = prepare('msvd')
        assert status == 1 and '1 ids occur more than once: b_0_9' in said

    def test_empty_captions_are_left_out_and_told(self, prepare, root, notes):
        captions = {name: [[], ['x']] for name in ('-a_1_5', 'b_0_9', 'c_2_4')}
        notes(**{'raw-captions__pkl': captions})
        status, said = prepare('msvd')
        assert status == 0 and 'note: 2 empty captions left out of test.json' in said
        assert written(root)['train'] == {'b_0_9.avi': ['x']}


class TestVATEX:
    IDS = ('y1_000001_000011', 'y2_000001_000011', 'y3_000001_000011')

    @pytest.fixture
    def root(self, notes, tmp_path):
        touch(tmp_path / 'videos', *(f'part{i}/{name}.mp4' for i, name in enumerate(self.IDS)))
        captions = {name: dict(enCap=[name, 'é'], chCap=['c']) for name in self.IDS}
        lists = {f'{s}_list__txt': [n] for s, n in zip(('train', 'val', 'test'), self.IDS)}  # noqa: B905
        return notes(vatex_data__json=captions, **lists)

    def test_english_captions_of_videos_in_any_folder(self, prepare, root):
        status, said = prepare('vatex')
        assert status == 0, said
        assert written(root)['test'] == {f'part2/{self.IDS[2]}.mp4': [self.IDS[2], 'é']}

    def test_the_authors_files_do_as_well(self, prepare, root, notes):
        prepare('vatex')
        before = written(root)
        (root / 'annotations/vatex_data.json').unlink()
        assert 'vatex_training_v1.0.json' in prepare('vatex')[1]
        videos = [dict(videoID=name, enCap=[name, 'é'], chCap=['c']) for name in self.IDS]
        notes(**{'vatex_training_v1.0__json': videos[:1]})
        notes(**{'vatex_validation_v1.0__json': videos[1:]})
        assert prepare('vatex')[0] == 0 and written(root) == before

    def test_another_form_is_refused(self, prepare, root, notes):
        notes(vatex_data__json={self.IDS[0]: ['a caption']})
        status, said = prepare('vatex')
        assert status == 1 and 'has another form than {video: {"enCap": [...]}}' in said


class TestDiDeMo:
    @pytest.fixture
    def root(self, notes, tmp_path):
        touch(tmp_path / 'videos', '1@N02_x.mov', '2@N02_y.avi.mp4')
        sentences = [
            dict(video='1@N02_x.mov', description='first', times=[[0, 0]]),
            dict(video='2@N02_y.avi', description='other '),
            dict(video='1@N02_x.mov', description='second'),
        ]
        return notes(**{f'{split}_data__json': sentences for split in ('train', 'val', 'test')})

    def test_sentences_become_one_paragraph_in_order(self, prepare, root):
        status, said = prepare('didemo')
        assert status == 0, said
        expected = {'1@N02_x.mov': ['first second'], '2@N02_y.avi.mp4': ['other']}
        assert written(root)['train'] == expected

    def test_a_list_chooses(self, prepare, root, notes):
        notes(test_list__txt=['2@N02_y.avi'], train_list__txt=['1@N02_x.mov'])
        status, said = prepare('didemo')
        assert status == 0 and list(written(root)['test']) == ['2@N02_y.avi.mp4']
        assert 'train.json: 1 videos with 1 captions listed (official: 8,392 and 8,392)' in said

    def test_videos_of_every_camera_are_found(self, prepare, root):
        (root / 'videos/1@N02_x.mov').rename(root / 'videos/1@N02_x.m2ts')
        assert prepare('didemo')[0] == 0
        assert list(written(root)['train'])[0] == '1@N02_x.m2ts'


class TestHostileFiles:
    """By the example of VATEX and, for tables, MSR-VTT."""

    IDS = TestVATEX.IDS
    root = TestVATEX.root

    def test_marks_and_line_ends_of_other_systems_do_no_harm(self, prepare, root):
        prepare('vatex')
        before = written(root)
        for path in (root / 'annotations').iterdir():
            path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes().replace(b'\n', b'\r\n'))
        assert prepare('vatex')[0] == 0 and written(root) == before

    def test_hidden_files_are_no_videos(self, prepare, root):
        touch(root / 'videos', *(f'part{i}/._{name}.mp4' for i, name in enumerate(self.IDS)))
        assert prepare('vatex')[0] == 0 and len(written(root)) == 3

    @pytest.mark.parametrize('captions', ['one text', None, [1], [None], ['a', '\ud83d'], {'a': 1}])
    def test_captions_that_are_no_list_of_texts_are_refused(self, prepare, root, notes, captions):
        content = {name: dict(enCap=['x']) for name in self.IDS}
        notes(vatex_data__json=content | {self.IDS[1]: dict(enCap=captions)})
        status, said = prepare('vatex')
        assert status == 1 and not written(root)
        assert f'val.json: 1 videos have captions that are no list of texts: {self.IDS[1]}' in said

    @pytest.mark.parametrize('file', ['vatex_data.json', 'val_list.txt'])
    def test_another_encoding_is_named(self, prepare, root, file):
        (root / 'annotations' / file).write_bytes('"é"'.encode('latin-1'))
        status, said = prepare('vatex')
        assert status == 1 and f'{file} is no text in UTF-8' in said

    def test_an_id_that_occurs_twice_is_named(self, prepare, root, notes):
        (root / 'annotations/vatex_data.json').write_text('{"a": {"enCap": []}, "a": {}}')
        assert "is no json file: 'a' occurs more than once" in prepare('vatex')[1]
        videos = [dict(videoID=self.IDS[0], enCap=[text]) for text in 'xy']
        notes(**{'vatex_training_v1.0__json': videos, 'vatex_validation_v1.0__json': []})
        status, said = prepare('vatex')
        assert status == 1 and f"'{self.IDS[0]}' occurs more than once" in said

    @pytest.mark.parametrize('content', ['', '{"a":', '[1'])
    def test_a_damaged_json_file_is_named(self, prepare, root, content):
        (root / 'annotations/vatex_data.json').write_text(content)
        status, said = prepare('vatex')
        assert status == 1 and 'vatex_data.json is no json file' in said

    @pytest.mark.parametrize(
        ('table', 'words'),
        [
            ('video_id,sentence\nvideo0,a, b\n', "row 1 has more or fewer .*'video0', 'a'.*quot"),
            ('video_id,sentence\nvideo0\n', 'row 1 has more or fewer fields'),
            ('video_id,sentence\n', 'lacks rows; it needs the columns video_id, sentence'),
            ('', 'lacks the columns video_id, sentence'),
        ],
    )
    def test_a_table_with_other_rows_is_refused(self, prepare, notes, tmp_path, table, words):
        touch(tmp_path / 'videos', 'video0.mp4')
        sentences = [dict(video_id='video0', caption='a')]
        notes(MSRVTT_data__json=dict(sentences=sentences), MSRVTT_JSFUSION_test__csv=table)
        status, said = prepare('msrvtt')
        assert status == 1 and re.search(words, said), said


@pytest.mark.parametrize('name', NAMES)
class TestEveryDataSet:
    def test_an_empty_folder_says_what_should_be_there(self, prepare, name):
        status, said = prepare(name)
        assert status == 1 and 'videos' in said and 'is missing' in said

    def test_a_lost_file_is_named(self, prepare, name, tmp_path):
        touch(tmp_path / 'videos', 'a.mp4')
        status, said = prepare(name)
        assert status == 1 and 'annotations' in said and f'prepare {name} --help' in said

    def test_the_page_says_what_lies_where(self, name):
        page = (PAGES / name / 'README.md').read_text()
        assert f'mmstadapter prepare {name}' in page
        assert f'data/{name}' in page and 'annotations' in page and '--frames' in page
