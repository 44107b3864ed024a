"""`mmstadapter prepare` writes MMAction2's lists, or say what is missing and write nothing."""

import json
import os
from pathlib import Path

import pytest

from mmstadapter.datasets.files import SUFFIXES
from mmstadapter.preparation import files

from .conftest import PAGES, touch


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_it_knows_the_same_containers_as_the_package():
    assert files.SUFFIXES == SUFFIXES


def lists(root: Path) -> dict[str, list[str]]:
    return {p.name: p.read_text().splitlines() for p in sorted(root.glob('*.txt'))}


class TestKinetics:
    HEADER = 'label,youtube_id,time_start,time_end,split\n'

    @pytest.fixture
    def root(self, tmp_path):
        train = 'zumba,-abc,10,20,train\nair drumming,d_f,0,10,train\n'
        text(tmp_path / 'annotations/kinetics_train.csv', self.HEADER + train)
        text(tmp_path / 'annotations/validate.csv', self.HEADER + 'zumba,ghi,5,15,val\n')
        touch(tmp_path / 'videos_train/zumba', '-abc_000010_000020.mp4')
        touch(tmp_path / 'videos_train/air_drumming', 'd_f.webm')
        touch(tmp_path / 'videos_val', 'ghi_000005_000015.mkv')
        return tmp_path

    def test_lists_are_written_from_the_csv_files(self, prepare, root):
        status, said = prepare('kinetics400')
        assert status == 0, said
        assert lists(root) == {
            'kinetics400_train_list_videos.txt': [
                'zumba/-abc_000010_000020.mp4 1',
                'air_drumming/d_f.webm 0',
            ],
            'kinetics400_val_list_videos.txt': ['ghi_000005_000015.mkv 1'],
            'label_map_k400.txt': ['air drumming', 'zumba'],
        }
        assert 'kinetics400_train_list_videos.txt: 2 listed, 2 found, 0 missing, 2 of 2' in said
        assert 'note: 2 classes, Kinetics-400 has 400' in said

    def test_missing_videos_stop_it(self, prepare, root):
        (root / 'videos_train/air_drumming/d_f.webm').unlink()
        status, said = prepare('kinetics400')
        assert status == 1
        assert '2 listed, 1 found, 1 missing' in said and '--allow-missing' in said
        assert lists(root) == {
            'kinetics400_train_list_videos_missing.txt': ['air_drumming/d_f_000000_000010']
        }

    def test_missing_videos_can_be_left_out(self, prepare, root):
        (root / 'videos_train/air_drumming/d_f.webm').unlink()
        assert prepare('kinetics400', '--allow-missing')[0] == 0
        assert lists(root)['kinetics400_train_list_videos.txt'] == [
            'zumba/-abc_000010_000020.mp4 1'
        ]
        assert len(lists(root)['label_map_k400.txt']) == 2

    def test_no_video_at_all_is_an_error_even_then(self, prepare, root):
        (root / 'videos_val/ghi_000005_000015.mkv').unlink()
        status, said = prepare('kinetics400', '--allow-missing')
        assert status == 1 and 'None of the videos of kinetics400_val_list_videos.txt' in said

    def test_paths_with_spaces_are_refused(self, prepare, root):
        (root / 'videos_train/air_drumming').rename(root / 'videos_train/air drumming')
        status, said = prepare('kinetics400')
        assert status == 1 and 'air drumming/d_f.webm' in said and 'nothing written' in said
        assert not lists(root)

    def test_class_folders_do_without_csv(self, prepare, root):
        (root / 'annotations/validate.csv').unlink()
        (root / 'videos_val/ghi_000005_000015.mkv').unlink()
        touch(root / 'videos_val/zumba', 'any.name.mp4')
        status, said = prepare('kinetics400', '--from-folders')
        assert status == 0, said
        assert lists(root)['kinetics400_val_list_videos.txt'] == ['zumba/any.name.mp4 1']
        assert lists(root)['label_map_k400.txt'] == ['air_drumming', 'zumba']

    @pytest.mark.parametrize(
        ('lost', 'words'),
        [
            ('annotations/validate.csv', 'kinetics_val.csv,validate.csv,val.csv'),
            ('videos_val', 'the folder of the val videos'),
        ],
    )
    def test_what_is_missing_is_named(self, prepare, root, lost, words):
        (root / lost).rename(root / 'elsewhere')
        status, said = prepare('kinetics400')
        assert status == 1 and words in said

    def test_another_csv_is_refused(self, prepare, root):
        text(root / 'annotations/validate.csv', 'a,b\n1,2\n')
        assert (
            'lacks the columns label, youtube_id, time_start, time_end' in prepare('kinetics400')[1]
        )

    def test_a_video_that_two_lines_mean_is_noted(self, prepare, root):
        with (root / 'annotations/kinetics_train.csv').open('a') as file:
            file.write('zumba,d_f,20,30,train\n')
        status, said = prepare('kinetics400')
        assert status == 0
        assert 'note: 1 of them are listed more than once: air_drumming/d_f.webm' in said

    def test_a_time_that_is_none_is_refused(self, prepare, root):
        text(root / 'annotations/validate.csv', self.HEADER + 'zumba,ghi,five,15,val\n')
        status, said = prepare('kinetics400')
        assert status == 1 and 'validate.csv has another form than times in seconds: Value' in said

    def test_a_name_that_two_files_have_is_no_find(self, prepare, root):
        (root / 'videos_train/zumba/-abc_000010_000020.mp4').rename(root / 'videos_train/-abc.mp4')
        assert prepare('kinetics400')[0] == 0
        touch(root / 'videos_train/other', '-abc.mp4')
        status, said = prepare('kinetics400')
        assert status == 1 and 'missing from kinetics400_train_list_videos.txt: zumba/-abc' in said

    def test_a_file_name_in_another_encoding_is_named(self, prepare, root):
        touch(root / 'videos_train/zumba', os.fsdecode('é.mp4'.encode('latin-1')))
        touch(root / 'videos_val/zumba', 'a.mp4')
        (root / 'videos_val/ghi_000005_000015.mkv').unlink()
        status, said = prepare('kinetics400', '--from-folders')
        assert status == 1 and 'zumba/\\udce9.mp4' in said and 'is no text in UTF-8' in said

    def test_running_again_changes_nothing(self, prepare, root):
        prepare('kinetics400')
        before = lists(root)
        assert prepare('kinetics400')[0] == 0 and lists(root) == before


class TestSomethingSomething:
    @pytest.fixture(params=['something-something-v2-', ''], ids=['older', 'newer'])
    def root(self, request, tmp_path):
        labels = {'Pushing something': '1', 'Covering something with something': '0'}
        train = [dict(id='7', label='x', template='Covering [something] with [something]')]
        val = [dict(id='8', label='y', template='Pushing [something]')]
        for name, content in dict(labels=labels, train=train, validation=val).items():
            path = tmp_path / 'annotations' / f'{request.param}{name}.json'
            text(path, json.dumps(content))
        touch(tmp_path / 'videos', '7.webm', '8.mp4', 'notes.txt')
        return tmp_path

    def test_lists_are_written_from_the_json_files(self, prepare, root):
        status, said = prepare('sthv2')
        assert status == 0, said
        assert lists(root) == {
            'label_map_sthv2.txt': ['Covering something with something', 'Pushing something'],
            'sthv2_train_list_videos.txt': ['7.webm 0'],
            'sthv2_val_list_videos.txt': ['8.mp4 1'],
        }
        assert 'sthv2_train_list_videos.txt: 1 listed (official: 168,913), 1 found' in said

    @pytest.mark.parametrize(
        ('file', 'content'),
        [
            ('labels', [1]),
            ('labels', {'a': 'one'}),
            ('train', {'id': 7}),
            ('train', [{'id': 7}]),
            ('train', [7]),
        ],
    )
    def test_another_form_is_refused(self, prepare, root, file, content):
        (path,) = root.glob(f'annotations/*{file}.json')
        text(path, json.dumps(content))
        status, said = prepare('sthv2')
        assert status == 1 and f'{path} has another form than' in said and not lists(root)

    def test_an_unknown_template_is_named(self, prepare, root):
        (path,) = root.glob('annotations/*validation.json')
        text(path, json.dumps([dict(id='8', template='Eating [something]')]))
        status, said = prepare('sthv2')
        assert status == 1 and "video 8: class 'Eating something' is not in labels.json" in said


class TestFrameFolders:
    """Something-Something V1."""

    NOTES = 'annotations/something-something-v1-'

    @pytest.fixture
    def root(self, tmp_path):
        text(tmp_path / f'{self.NOTES}labels.csv', 'Pushing something\nCovering something\n')
        text(tmp_path / f'{self.NOTES}train.csv', '7;Covering something\n10;Pushing something\n')
        text(tmp_path / f'{self.NOTES}validation.csv', '8;Pushing something\n')
        touch(tmp_path / 'rawframes/7', *(f'{n:05}.jpg' for n in range(1, 10)), 'Thumbs.db')
        touch(tmp_path / 'rawframes/10', *(f'{n:05}.jpg' for n in range(1, 13)))
        touch(tmp_path / 'rawframes/8', '00001.jpg', '00002.jpg')
        return tmp_path

    def test_lists_hold_counted_frames_and_labels_in_alphabetical_order(self, prepare, root):
        status, said = prepare('sthv1')
        assert status == 0, said
        assert lists(root) == {
            'label_map_sthv1.txt': ['Covering something', 'Pushing something'],
            'sthv1_train_list_frames.txt': ['7 9 0', '10 12 1'],
            'sthv1_val_list_frames.txt': ['8 2 1'],
        }
        assert 'sthv1_train_list_frames.txt: 2 listed (official: 86,017), 2 found' in said
        assert 'sthv1_val_list_frames.txt: 1 listed (official: 11,522), 1 found' in said
        assert '1 of sthv1_val_list_frames.txt have fewer than 8 frames: 8 (2)' in said

    def test_the_test_split_is_listed_without_labels(self, prepare, root):
        text(root / f'{self.NOTES}test.csv', '8\n10\n')
        said = prepare('sthv1')[1]
        assert lists(root)['sthv1_test_list_frames.txt'] == ['8', '10']
        assert 'sthv1_test_list_frames.txt: 2 listed (official: 10,960), 2 found' in said

    @pytest.mark.parametrize('empty', [False, True])
    def test_a_missing_or_empty_folder_stops_it(self, prepare, root, empty):
        (root / 'rawframes/7').rename(root / 'elsewhere')
        if empty:
            (root / 'rawframes/7').mkdir()
        status, said = prepare('sthv1')
        assert status == 1 and '2 listed' in said and '1 found, 1 missing' in said
        assert lists(root) == {'sthv1_train_list_frames_missing.txt': ['7']}
        assert prepare('sthv1', '--allow-missing')[0] == 0
        assert lists(root)['sthv1_train_list_frames.txt'] == ['10 12 1']

    @pytest.mark.parametrize('line', ['8;Eating something', '8', '8,Pushing something'])
    def test_a_wrong_line_is_named(self, prepare, root, line):
        text(root / f'{self.NOTES}validation.csv', f'10;Pushing something\n{line}\n')
        status, said = prepare('sthv1')
        assert status == 1 and f"validation.csv, line 2: '{line}' is not" in said
        assert not lists(root)

    def test_a_class_that_occurs_twice_is_named(self, prepare, root):
        text(root / f'{self.NOTES}labels.csv', 'Pushing something\nPushing something\n')
        status, said = prepare('sthv1')
        assert status == 1 and 'occur twice: Pushing something' in said

    def test_a_lost_csv_is_named(self, prepare, root):
        (root / f'{self.NOTES}train.csv').unlink()
        status, said = prepare('sthv1')
        assert status == 1 and 'something-something-v1-train.csv is missing' in said

    def test_other_file_names_are_noted(self, prepare, root):
        for path in (root / 'rawframes/7').glob('*.jpg'):
            path.rename(path.with_name(f'img_{path.name}'))
        assert 'the first image is img_00001.jpg, not 00001.jpg' in prepare('sthv1')[1]


class TestUCF:
    @pytest.fixture
    def root(self, tmp_path):
        text(tmp_path / 'annotations/classInd.txt', '1 Hammering\r\n2 HammerThrow\r\n')
        for split in (1, 2, 3):
            train = f'Hammering/v_Hammering_g0{split}_c01.avi 1\nHammerThrow/v_x.avi 2\n'
            text(tmp_path / f'annotations/trainlist0{split}.txt', train)
            text(tmp_path / f'annotations/testlist0{split}.txt', 'HammerThrow/v_y.avi\n')
        touch(tmp_path / 'videos/Hammering', *(f'v_Hammering_g0{n}_c01.avi' for n in (1, 2, 3)))
        touch(tmp_path / 'videos/HammerThrow', 'v_x.avi', 'v_y.avi')
        return tmp_path

    def test_three_splits_and_the_official_order_of_classes(self, prepare, root):
        status, said = prepare('ucf101')
        assert status == 0, said
        found = lists(root)
        assert len(found) == 7
        assert found['label_map_ucf101.txt'] == ['Hammering', 'HammerThrow']
        assert found['ucf101_train_split_2_videos.txt'] == [
            'Hammering/v_Hammering_g02_c01.avi 0',
            'HammerThrow/v_x.avi 1',
        ]
        assert found['ucf101_val_split_3_videos.txt'] == ['HammerThrow/v_y.avi 1']
        assert 'ucf101_train_split_1_videos.txt: 2 listed (official: 9,537)' in said

    @pytest.mark.parametrize(
        ('line', 'words'),
        [('Hammering/v.avi 2', 'does not agree'), ('Jumping/v.avi 1', 'does not agree')],
    )
    def test_numbers_and_folders_must_agree(self, prepare, root, line, words):
        text(root / 'annotations/trainlist01.txt', line)
        status, said = prepare('ucf101')
        assert status == 1 and words in said

    @pytest.mark.parametrize('line', ['1', 'one Hammering', '1 Hammer Throw'])
    def test_a_line_that_is_no_class_is_refused(self, prepare, root, line):
        text(root / 'annotations/classInd.txt', line)
        status, said = prepare('ucf101')
        assert status == 1 and 'classInd.txt has another form than lines "1 Class"' in said

    def test_folders_that_are_no_classes_are_named(self, prepare, root):
        touch(root / 'videos/Other', 'a.avi')
        assert 'are no classes' in prepare('ucf101')[1]

    def test_a_lost_split_file_is_named(self, prepare, root):
        (root / 'annotations/testlist02.txt').unlink()
        status, said = prepare('ucf101')
        assert status == 1 and 'testlist02.txt is missing' in said and not lists(root)


class TestHMDB:
    @pytest.fixture
    def root(self, tmp_path):
        for label in ('wave', 'brush_hair'):
            names = [f"It's_#{n}_{label}_f_np1.avi" for n in range(3)]
            touch(tmp_path / 'videos' / label, *names)
            for split in (1, 2, 3):
                marks = [(n + split) % 3 for n in range(3)]
                lines = [f'{name} {mark} \n' for name, mark in zip(names, marks, strict=True)]
                text(tmp_path / f'annotations/{label}_test_split{split}.txt', ''.join(lines))
        return tmp_path

    def test_marks_1_and_2_are_training_and_testing(self, prepare, root):
        status, said = prepare('hmdb51')
        assert status == 0, said
        found = lists(root)
        assert len(found) == 7
        assert found['label_map_hmdb51.txt'] == ['brush_hair', 'wave']
        assert found['hmdb51_train_split_1_videos.txt'] == [
            "brush_hair/It's_#0_brush_hair_f_np1.avi 0",
            "wave/It's_#0_wave_f_np1.avi 1",
        ]
        assert found['hmdb51_val_split_1_videos.txt'] == [
            "brush_hair/It's_#1_brush_hair_f_np1.avi 0",
            "wave/It's_#1_wave_f_np1.avi 1",
        ]
        assert '2 listed (official: 3,570), 2 found, 0 missing, 2 of 2 classes' in said

    def test_an_empty_class_folder_is_named(self, prepare, root):
        (root / 'videos/jump').mkdir()
        status, said = prepare('hmdb51')
        assert status == 1 and '1 class folders hold no video: jump' in said

    def test_another_mark_is_refused(self, prepare, root):
        text(root / 'annotations/wave_test_split3.txt', 'a.avi 3\n')
        assert 'is not "video.avi 0", 1 or 2' in prepare('hmdb51')[1]


@pytest.mark.parametrize('name', ['kinetics400', 'sthv1', 'sthv2', 'ucf101', 'hmdb51'])
class TestEveryDataSet:
    def test_an_empty_folder_says_what_should_be_there(self, prepare, name):
        status, said = prepare(name)
        folder = 'rawframes' if name == 'sthv1' else 'videos'
        assert status == 1 and folder in said and 'is missing' in said

    def test_the_page_says_what_lies_where(self, name):
        page = (PAGES / name / 'README.md').read_text()
        assert f'mmstadapter prepare {name}' in page
        assert f'data/{name}' in page and 'label_map' in page and 'annotations' in page
