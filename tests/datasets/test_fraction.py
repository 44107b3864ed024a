"""A share of the training data is the same everywhere, balanced, and part of a larger share."""

from collections import Counter

import pytest
from mmaction.registry import DATASETS

from mmstadapter.datasets import VideoDataset
from mmstadapter.datasets.fraction import balanced_fraction

NAMES = [f'class{label}/clip{number}.mp4' for number in range(40) for label in range(3)]
LABELS = [label for _ in range(40) for label in range(3)]
EXPECTED = [16, 18, 74, 81, 103, 119]  # of a twentieth with seed 0


def chosen(fraction, names=NAMES, labels=LABELS, seed=0) -> set[str]:
    return {names[i] for i in balanced_fraction(names, labels, fraction, seed)}


def test_every_class_keeps_the_same_share():
    indices = balanced_fraction(NAMES, LABELS, 0.25)
    assert Counter(LABELS[i] for i in indices) == {0: 10, 1: 10, 2: 10}
    assert indices == sorted(indices)


def test_no_class_is_lost():
    assert {name.split('/')[0] for name in chosen(1e-6)} == {'class0', 'class1', 'class2'}


def test_smaller_shares_lie_within_larger_ones():
    assert chosen(0.1) < chosen(0.25) < chosen(0.5) < chosen(1.0) == set(NAMES)


def test_the_order_of_the_list_and_the_suffix_of_the_files_do_not_matter():
    backwards = chosen(0.2, NAMES[::-1], LABELS[::-1])
    assert backwards == chosen(0.2)
    webm = [name.replace('.mp4', '.webm') for name in NAMES]
    assert {name.replace('.webm', '.mp4') for name in chosen(0.2, webm)} == chosen(0.2)


def test_the_choice_is_the_same_everywhere():
    # Made once by this function: SHA-256 gives the same order with every version and machine.
    assert balanced_fraction(NAMES, LABELS, 0.05) == EXPECTED


def test_another_seed_chooses_others():
    assert chosen(0.5, seed=1) != chosen(0.5)


class TestDataset:
    @pytest.fixture
    def build(self, tmp_path):
        lines = [f'{name} {label}\n' for name, label in zip(NAMES, LABELS, strict=True)]
        (tmp_path / 'list.txt').write_text(''.join(lines))

        def build(**options):
            config = dict(
                type='mmstadapter.VideoDataset',
                ann_file=str(tmp_path / 'list.txt'),
                data_prefix=dict(video='videos'),
                pipeline=[],
            )
            return DATASETS.build(config | options)

        return build

    def test_all_videos_by_default(self, build):
        assert len(build()) == len(NAMES)

    def test_a_share_by_one_field(self, build):
        data = build(fraction=0.05)
        assert len(data) == 6
        assert [data.get_data_info(i)['filename'] for i in range(6)] == [
            f'videos/{NAMES[i]}' for i in EXPECTED
        ]

    def test_the_folder_of_the_videos_does_not_matter(self, build):
        names = {
            data.get_data_info(i)['filename'].split('videos/')[1]
            for data in (build(fraction=0.05, data_prefix=dict(video='/else/where/videos')),)
            for i in range(len(data))
        }
        assert names == {NAMES[i] for i in EXPECTED}

    @pytest.mark.parametrize('fraction', [0, -0.1, 1.5])
    def test_a_senseless_share_is_refused(self, build, fraction):
        with pytest.raises(ValueError, match=r'fraction must be a share .* in \(0, 1\]'):
            build(fraction=fraction)

    def test_several_classes_a_video_have_no_share(self, build):
        with pytest.raises(ValueError, match='several classes do not have'):
            build(fraction=0.5, multi_class=True, num_classes=3)


def test_base_classes_alone_are_trained_on(tmp_path):
    lines = [f'{i}.mp4 {i % 5}' for i in range(10)]
    (tmp_path / 'list.txt').write_text('\n'.join(lines))
    options = dict(ann_file=str(tmp_path / 'list.txt'), pipeline=[], num_classes=5)
    used = VideoDataset(base_classes='half', **options)
    assert sorted({used.get_data_info(i)['label'] for i in range(len(used))}) == [0, 1, 2]
    assert len(used) == 6 and len(VideoDataset(base_classes=[4], **options)) == 2
