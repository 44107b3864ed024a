"""Lists of folders of frames: columns, short folders, and what happens to damaged ones."""

import json
import logging

import pytest
from mmaction.registry import DATASETS

from mmstadapter import RawframeDataset

from .conftest import number_of, write_frames
from .test_bad_videos import make_runner
from .test_video_dataset import STEPS


@pytest.fixture
def folder(tmp_path):
    """Folders 0 to 3 of labels 0 to 3 and 6 frames, of which 1 lacks its second one."""
    for number in range(4):
        write_frames(tmp_path / str(number), 6)
    (tmp_path / '1/00002.jpg').unlink()
    (tmp_path / 'list.txt').write_text(''.join(f'{n} {n}\n' for n in range(4)))
    return tmp_path


def dataset(folder, text: str | None = None, **options) -> RawframeDataset:
    if text is not None:
        (folder / 'list.txt').write_text(text)
    config = dict(
        type='mmstadapter.RawframeDataset',
        ann_file=str(folder / 'list.txt'),
        data_prefix=dict(img=str(folder)),
        filename_tmpl='{:05}.jpg',
        pipeline=STEPS,
    )
    return DATASETS.build({**config, **options})


def shown(sample: dict) -> list[int]:
    """Numbers of a sample's frames."""
    return [number_of(frame) for frame in sample['inputs'][0].permute(1, 2, 3, 0).numpy()]


def test_the_dotted_name_is_ours_and_the_bare_name_the_hosts():
    assert DATASETS.get('mmstadapter.RawframeDataset') is RawframeDataset
    assert DATASETS.get('RawframeDataset') is not RawframeDataset


class TestColumns:
    @pytest.mark.parametrize('line', ['2 5', '2 6 5', '2 99 5'])
    def test_two_or_three_and_the_files_are_counted(self, folder, line):
        sample = dataset(folder, line)[0]
        assert shown(sample) == [1, 3]  # middles of [0, 2] and [2, 5], rounded down
        assert sample['data_samples'].gt_label.tolist() == [5]

    def test_the_list_can_be_believed(self, folder):
        assert shown(dataset(folder, '2 4 5', frame_count='list')[0]) == [1, 2]

    def test_four_columns_name_a_part(self, folder):
        assert shown(dataset(folder, '2 3 3 5')[0]) == [3, 4]

    def test_a_list_without_labels_is_for_testing(self, folder):
        assert shown(dataset(folder, '2\n', test_mode=True)[0]) == [1, 3]

    def test_the_prefix_may_have_the_name_of_videos(self, folder):
        assert shown(dataset(folder, '2 5', data_prefix=dict(video=str(folder)))[0]) == [1, 3]

    def test_files_may_count_from_0(self, folder):
        write_frames(folder / 'zero', 6, first=0)
        assert shown(dataset(folder, 'zero 5', start_index=0)[0]) == [1, 3]

    @pytest.mark.parametrize(
        ('line', 'words'),
        [
            ('2 1 2 3 4', r'line 2 of .* needs folder, \(offset,\) \(frames,\) label'),
            ('2 many 3', 'line 2 of .* count that is no whole number'),
            ('2 -4 3', 'line 2 of .* count below 0'),
            ('2 6 jump', 'line 2 of .* label that is no whole number'),
            ('2 6 9', r'line 2 of .* label outside \[0, 4\)'),
            ('2', 'line 2 of .* needs a path and one label'),
        ],
    )
    def test_wrong_lines_are_named(self, folder, line, words):
        with pytest.raises(ValueError, match=f'RawframeDataset: {words}'):
            dataset(folder, f'0 6 0\n{line}\n', num_classes=4)

    @pytest.mark.parametrize(
        ('options', 'words'),
        [
            (dict(frame_count='list'), "line 1 .* no number of frames for frame_count='list'"),
            (dict(frame_count='guess'), "one of .*, got 'guess'"),
            (dict(filename_tmpl='img.jpg'), 'one field for its number'),
            (dict(multi_class=True, num_classes=9), 'multi_class is for lists of videos'),
        ],
    )
    def test_options_are_checked(self, folder, options, words):
        with pytest.raises(ValueError, match=words):
            dataset(folder, **options)


class TestShortFolders:
    LIST = '0 8 0\n1 7 1\n2 9 2\n3 0 3\n'

    def test_they_are_left_out_named_and_counted(self, folder, monkeypatch):
        said = []
        monkeypatch.setattr(
            'mmstadapter.datasets.rawframe_dataset.print_log',
            lambda message, logger=None, level=logging.INFO: said.append((level, message)),
        )
        data = dataset(folder, self.LIST, min_frames=8)
        assert [data.get_data_info(i)['label'] for i in range(len(data))] == [0, 2]
        assert data.dropped == [str(folder / '1'), str(folder / '3')]
        ((level, message),) = said
        assert level == logging.WARNING and '2 of 4 folders' in message
        assert 'fewer than 8 frames' in message and all(path in message for path in data.dropped)

    def test_none_is_by_default_or_without_the_column(self, folder):
        assert len(dataset(folder, self.LIST)) == 4
        data = dataset(folder, '0 0\n1 1\n', min_frames=8)
        assert len(data) == 2 and data.dropped == []

    def test_a_list_of_nothing_else_is_refused(self, folder):
        with pytest.raises(ValueError, match='all 2 folders .* have fewer than 8 frames'):
            dataset(folder, '0 3 0\n1 7 1\n', min_frames=8)

    def test_the_share_of_a_data_set_is_taken_of_the_rest(self, folder):
        text = ''.join(f'{n} {n} 0\n' for n in range(4, 12))
        assert len(dataset(folder, text, min_frames=8, fraction=0.5)) == 2


class TestDamagedFolders:
    def test_in_training_another_takes_the_place(self, folder):
        data = dataset(folder)
        samples = [data[1]['data_samples'] for _ in range(20)]
        assert {sample.gt_label.item() for sample in samples} == {0, 2, 3}
        assert {note for s in samples for note in s.bad_videos} == {
            (str(folder / '1'), 'lacks 00002.jpg')
        }

    @pytest.mark.parametrize('text', ['0 6 0\n1 6 1\n2 4 2\n', '0 0 6 0\n1 0 6 1\n2 2 4 2\n'])
    def test_in_testing_a_neighbours_own_frames_come_and_no_label_fits(self, folder, text):
        """Folder 1 lacks frame 1, which is asked for; folder 2 has a part of 4 frames."""
        data = dataset(folder, text, frame_count='list', test_mode=True)
        lost, neighbour = data[1], data[2]
        assert lost['data_samples'].gt_label.tolist() == [-1]
        assert lost['data_samples'].lost_label == 1
        assert shown(lost) == shown(neighbour)
        assert lost['data_samples'].bad_videos == [(str(folder / '1'), 'lacks 00002.jpg')]

    def test_they_are_reported_and_counted(self, tmp_path):
        runner = make_runner(tmp_path, broken=0)
        for number in range(4):
            write_frames(tmp_path / f'f{number}', 4, size=(32, 32))
        (tmp_path / 'f2/00003.jpg').write_bytes(b'broken')
        (tmp_path / 'frames.txt').write_text(''.join(f'f{n} 4 {n % 3}\n' for n in range(4)))
        for loader in (runner._train_dataloader, runner._val_dataloader):
            loader['dataset'] |= dict(
                type='mmstadapter.RawframeDataset',
                filename_tmpl='{:05}.jpg',
                ann_file=str(tmp_path / 'frames.txt'),
                pipeline=[dict(step, clip_len=4) if 'clip_len' in step else step for step in STEPS],
            )
        runner.train()
        written = json.loads((tmp_path / 'work/bad_videos_train_rank0.json').read_text())
        assert written == {
            str(tmp_path / 'f2'): '00003.jpg cannot be decoded: cannot identify image file'
        }
