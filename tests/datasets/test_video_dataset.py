"""Broken videos are replaced and noted; wrong annotation files are refused with the line."""

import pytest
import torch
from mmaction.registry import DATASETS, METRICS
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmstadapter import VideoDataset

from .conftest import number_of, write_video

STEPS = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSegments', clip_len=2, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]


@pytest.fixture
def folder(tmp_path):
    """Videos 0.mp4 to 3.mp4 of labels 0 to 3, of which 1.mp4 is broken."""
    for number in (0, 2, 3):
        write_video(tmp_path / f'{number}.mp4', frames=6)
    (tmp_path / '1.mp4').write_text('broken')
    (tmp_path / 'list.txt').write_text(''.join(f'{n}.mp4 {n}\n' for n in range(4)))
    return tmp_path


def dataset(folder, **options) -> VideoDataset:
    config = dict(
        type='mmstadapter.VideoDataset',
        ann_file=str(folder / 'list.txt'),
        data_prefix=dict(video=str(folder)),
        pipeline=STEPS,
    )
    return DATASETS.build({**config, **options})


def test_several_labels_with_exchanged_ones_are_refused(folder):
    flip = dict(type='Flip', flip_ratio=0.5, flip_label_map={0: 1, 1: 0})
    several = dict(multi_class=True, num_classes=9)
    with pytest.raises(ValueError, match='flip_label_map exchanges a single label'):
        dataset(folder, pipeline=[*STEPS[:-2], flip, *STEPS[-2:]], **several)
    dataset(folder, pipeline=[*STEPS[:-2], dict(flip, flip_ratio=0), *STEPS[-2:]], **several)


def test_the_dotted_name_is_ours_and_the_bare_name_the_hosts(folder):
    assert type(dataset(folder)) is VideoDataset
    assert DATASETS.get('VideoDataset') is not VideoDataset


class TestReadableVideos:
    def test_samples_are_the_hosts(self, folder):
        sample = dataset(folder)[2]
        theirs = dataset(folder, type='VideoDataset')[2]
        assert torch.equal(sample['inputs'], theirs['inputs'])
        assert sample['data_samples'].gt_label.tolist() == [2]
        assert 'bad_videos' not in sample['data_samples']


class TestBrokenVideosInTraining:
    def test_another_video_takes_the_place_with_its_label(self, folder):
        labels, data = set(), dataset(folder)
        for _ in range(30):
            sample = data[1]['data_samples']
            labels.add(sample.gt_label.item())
            assert set(sample.bad_videos) == {
                (
                    str(folder / '1.mp4'),
                    'cannot be opened: invalid data found when processing input',
                )
            }
            assert 'lost_label' not in sample
        assert labels == {0, 2, 3}

    @pytest.mark.processes
    def test_notes_travel_from_loader_processes(self, folder):
        data = dataset(folder)
        assert data[0] is not None  # what was decoded here before must not block the processes
        loader = DataLoader(data, 4, num_workers=2, collate_fn=pseudo_collate, timeout=300)
        (batch,) = list(loader)
        noted = [sample.get('bad_videos', []) for sample in batch['data_samples']]
        assert [bool(notes) for notes in noted] == [False, True, False, False]


class TestBrokenVideosInTesting:
    def test_the_sample_keeps_its_place_and_no_label_fits(self, folder):
        sample = dataset(folder, test_mode=True)[1]
        notes = sample['data_samples']
        assert notes.gt_label.tolist() == [-1] and notes.lost_label == 1
        assert [path for path, _ in notes.bad_videos] == [str(folder / '1.mp4')]

    def test_the_frames_are_a_neighbours_and_never_zeros(self, folder):
        data = dataset(folder, test_mode=True)
        assert torch.equal(data[1]['inputs'], data[2]['inputs'])
        assert number_of(data[1]['inputs'][0, :, 1].permute(1, 2, 0).numpy()) == 3

    def test_several_labels_become_none(self, folder):
        (folder / 'list.txt').write_text('1.mp4 0 2\n2.mp4 1\n')
        data = dataset(folder, test_mode=True, multi_class=True, num_classes=3)
        assert data[0]['data_samples'].gt_label.tolist() == [0, 0, 0]


class TestManyBrokenVideos:
    @pytest.mark.parametrize('test_mode', [False, True])
    def test_eleven_in_a_row_end_with_the_list(self, folder, test_mode):
        (folder / 'list.txt').write_text(''.join(f'no_{n}.mp4 0\n' for n in range(50)))
        with pytest.raises(RuntimeError, match='11 videos .* in a row') as caught:
            dataset(folder, test_mode=test_mode)[0]
        assert 'no_0.mp4: cannot be opened: no such file or directory' in str(caught.value)
        assert 'Check data_prefix' in str(caught.value)

    def test_a_sample_that_cannot_carry_the_note_is_an_error(self, folder):
        with pytest.raises(RuntimeError, match='1.mp4: cannot be opened'):
            dataset(folder, pipeline=STEPS[:-1])[1]

    def test_other_errors_are_not_hidden(self, folder):
        steps = [STEPS[0], dict(type='mmstadapter.SpatialViews', size=8)]
        with pytest.raises(KeyError, match='imgs'):
            dataset(folder, pipeline=steps)[0]


class TestAnnotationFile:
    def refuses(self, folder, text, words, **options):
        (folder / 'list.txt').write_text(text)
        with pytest.raises(ValueError, match=words):
            dataset(folder, **options)

    def test_missing(self, folder):
        with pytest.raises(FileNotFoundError, match='no annotation file .*nowhere.txt'):
            dataset(folder, ann_file=str(folder / 'nowhere.txt'))

    @pytest.mark.parametrize('text', ['', '\n \n'])
    def test_empty(self, folder, text):
        self.refuses(folder, text, 'list.txt is empty')

    def test_marks_and_line_ends_of_other_systems_do_no_harm(self, folder):
        (folder / 'list.txt').write_bytes('0.mp4 0\r\n\r\né.mp4 2\r\n'.encode('utf-8-sig'))
        found = [dataset(folder).get_data_info(i) for i in range(2)]
        names = [(info['filename'], info['label']) for info in found]
        assert names == [(str(folder / '0.mp4'), 0), (str(folder / 'é.mp4'), 2)]

    def test_another_encoding(self, folder):
        (folder / 'list.txt').write_bytes('é.mp4 0\n'.encode('latin-1'))
        with pytest.raises(ValueError, match=r'VideoDataset: .*list\.txt is no text in UTF-8'):
            dataset(folder)

    @pytest.mark.parametrize('line', ['2.mp4', '2.mp4 1 2', 'my video.mp4 1'])
    def test_too_few_or_many_parts(self, folder, line):
        self.refuses(
            folder, f'0.mp4 0\n{line}\n', 'line 2 of .*list.txt needs a path and one label'
        )

    def test_a_label_that_is_no_number(self, folder):
        self.refuses(folder, '0.mp4 0\n\n2.mp4 jump\n', 'line 3 .* no whole number .*jump')

    @pytest.mark.parametrize('label', [-1, 4])
    def test_a_label_outside_the_classes(self, folder, label):
        text = f'0.mp4 0\n2.mp4 {label}\n'
        self.refuses(folder, text, r'line 2 .* outside \[0, 4\)', num_classes=4)

    def test_another_delimiter_and_spaces_in_names(self, folder):
        (folder / 'list.txt').write_text('my video.mp4,3\n')
        info = dataset(folder, delimiter=',').get_data_info(0)
        assert (info['filename'], info['label']) == (str(folder / 'my video.mp4'), 3)

    def test_lists_without_labels_are_for_testing_only(self, folder):
        self.refuses(folder, '0.mp4\n', 'needs a path and one label')
        assert dataset(folder, test_mode=True)[0]['data_samples'].gt_label.tolist() == [-1]


class TestAccuracy:
    """Label 1 is lost; its scores say 3, the highest label, for which label 3 is mistaken."""

    def evaluate(self, kind, lost):
        samples = []
        for label, guess in ((0, 0), (1, 3), (3, 0)):
            sample = dict(pred_score=torch.eye(4)[guess], gt_label=torch.tensor([label]))
            if lost and label == 1:
                sample.update(gt_label=torch.tensor([-1]), lost_label=1)
            samples.append(sample)
        metric = METRICS.build(
            dict(type=kind, metric_options=dict(top_k_accuracy=dict(topk=(1, 4))))
        )
        metric.process({}, samples)
        return metric.evaluate(len(samples))

    def test_a_lost_video_is_wrong_in_every_figure(self):
        results = self.evaluate('mmstadapter.VideoAccMetric', lost=True)
        assert results['acc/top1'] == pytest.approx(1 / 3)
        assert results['acc/top4'] == pytest.approx(2 / 3)
        assert results['acc/mean1'] == pytest.approx(1 / 3)

    def test_the_hosts_mean_counts_it_as_right_for_the_highest_label(self):
        assert self.evaluate('AccMetric', lost=True)['acc/mean1'] == pytest.approx(1 / 2)

    def test_without_losses_all_is_the_hosts(self):
        ours = self.evaluate('mmstadapter.VideoAccMetric', lost=False)
        assert ours == self.evaluate('AccMetric', lost=False)


def test_blanks_around_a_line_belong_to_no_name_where_blanks_separate(folder):
    (folder / 'list.txt').write_text('  0.mp4 0 \t\r\n\n2.mp4 2\n')
    assert [info['label'] for info in dataset(folder).load_data_list()] == [0, 2]
    (folder / 'list.txt').write_text(' 0.mp4\t0\t\n')
    (only,) = dataset(folder, delimiter='\t').load_data_list()
    assert only == dict(filename=f'{folder}/ 0.mp4', label=0)


def test_a_file_without_a_suffix_is_read_and_a_list_may_leave_mp4_out(folder):
    (folder / '2.mp4').rename(folder / 'download')
    (folder / 'list.txt').write_text('download 2\n3 3\n')
    samples = [dataset(folder)[index] for index in (0, 1)]
    assert [sample['data_samples'].gt_label.item() for sample in samples] == [2, 3]
    assert not any('bad_videos' in sample for sample in samples)
