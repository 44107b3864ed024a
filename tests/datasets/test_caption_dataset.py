"""Captions stay with their video; wrong lists are refused, broken videos replaced and noted."""

import json
from collections import Counter

import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

from mmstadapter import CaptionDataset

from .conftest import number_of, picture, write_video

STEPS = [
    dict(type='mmstadapter.VideoInit'),
    dict(type='mmstadapter.SampleSpread', clip_len=2, test_mode=True),
    dict(type='mmstadapter.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'captions')),
]
CAPTIONS = {
    'a.mp4': ['a cat', 'one cat, "sitting"'],
    'b.mp4': ['a dog'],
    'c.mp4': ['ein Hund läuft', 'a dog', 'x'],
}


@pytest.fixture
def folder(tmp_path):
    """Videos a to c, of which b is broken, and their captions."""
    for number, name in enumerate('ac'):
        write_video(tmp_path / f'{name}.mp4', frames=5 + number)
    (tmp_path / 'b.mp4').write_text('broken')
    (tmp_path / 'captions.json').write_text(json.dumps(CAPTIONS))
    return tmp_path


def dataset(folder, **options) -> CaptionDataset:
    config = dict(
        type='mmstadapter.CaptionDataset',
        data_root=str(folder),
        ann_file='captions.json',
        data_prefix=dict(video='.'),
        pipeline=STEPS,
    )
    return DATASETS.build({**config, **options})


def pairs(data) -> list[tuple[str, str]]:
    infos = [data.get_data_info(i) for i in range(len(data))]
    return [(info['video_id'], text) for info in infos for text in info['captions']]


class TestItems:
    def test_training_has_an_item_for_every_caption(self, folder):
        expected = [(name, text) for name, texts in CAPTIONS.items() for text in texts]
        data = dataset(folder)
        assert len(data) == 6 and pairs(data) == expected

    def test_testing_has_an_item_for_every_video_with_all_its_captions(self, folder):
        data = dataset(folder, test_mode=True)
        assert {i['video_id']: i['captions'] for i in map(data.get_data_info, range(3))} == CAPTIONS

    def test_one_caption_at_random_is_another_each_time(self, folder):
        data = dataset(folder, captions='random')
        assert len(data) == 3
        drawn = Counter(pair for _ in range(60) for pair in pairs(data))
        assert set(drawn) == set(pairs(dataset(folder)))
        assert drawn['b.mp4', 'a dog'] == 60

    @pytest.mark.processes
    def test_samples_carry_captions_as_text_to_the_batch(self, folder):
        data = dataset(folder, test_mode=True)
        (batch,) = DataLoader(data, 3, num_workers=1, collate_fn=pseudo_collate, timeout=300)
        assert [s.captions for s in batch['data_samples']] == list(CAPTIONS.values())
        assert [s.video_id for s in batch['data_samples']] == list(CAPTIONS)
        assert {tuple(video.shape) for video in batch['inputs']} == {(1, 3, 2, 64, 96)}

    def test_a_path_may_be_a_folder_of_frames(self, folder):
        for number in range(1, 6):
            path = folder / f'd/img_{number:05}.jpg'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture(number, 64, 96)).save(path)
        (folder / 'captions.json').write_text('{"d": ["a dog"]}')
        steps = [dict(STEPS[0], filename_tmpl='img_{:05}.jpg'), *STEPS[1:]]
        sample = dataset(folder, pipeline=steps, start_index=1, test_mode=True)[0]
        frames = sample['inputs'][0].permute(1, 2, 3, 0).numpy()
        assert [number_of(frame) for frame in frames] == [1, 5]

    def test_another_choice_is_refused(self, folder):
        with pytest.raises(ValueError, match="one of .*each.*random.*got 'all'"):
            dataset(folder, captions='all')


class TestBrokenVideos:
    def test_in_training_another_pair_takes_the_place(self, folder):
        data, seen = dataset(folder), set()
        for _ in range(20):
            sample = data[2]['data_samples']
            assert [path for path, _ in sample.bad_videos][0].endswith('b.mp4')
            assert 'lost' not in sample
            assert sample.captions[0] in CAPTIONS[sample.video_id]
            seen.add(sample.video_id)
        assert seen == {'a.mp4', 'c.mp4'}

    def test_in_testing_the_video_keeps_its_place_and_captions_and_is_lost(self, folder):
        data = dataset(folder, test_mode=True)
        lost, other = data[1], data[2]
        assert lost['data_samples'].lost and 'lost' not in other['data_samples']
        assert (lost['data_samples'].video_id, lost['data_samples'].captions) == (
            'b.mp4',
            ['a dog'],
        )
        assert torch.equal(lost['inputs'], other['inputs'])

    def test_captions_without_any_video_end_with_the_list(self, folder):
        with pytest.raises(RuntimeError, match='CaptionDataset: 11 videos .*cannot be decoded'):
            dataset(folder, data_prefix=dict(video='elsewhere'), test_mode=True)[0]


class TestAnnotationFile:
    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('{"a.mp4": ["x"], "b.mp4": []}', '1 videos of .* have no caption: b.mp4'),
            ('{"a.mp4": ["x", " "]}', 'have an empty caption: a.mp4'),
            ('{"a.mp4": ["x"], "a.mp4": ["y"]}', 'are listed more than once: a.mp4'),
            ('{"a.mp4": "x"}', 'must hold'),
            ('{"a.mp4": [1]}', 'must hold'),
            ('["a.mp4"]', 'must hold'),
            ('{}', 'holds no video'),
            ('a.mp4 3', 'is no json file'),
            ('{"a.mp4": ["x \\ud83d"]}', 'a caption with half a character .*: a.mp4'),
        ],
    )
    def test_wrong_lists_are_refused_by_name(self, folder, text, words):
        (folder / 'captions.json').write_text(text)
        with pytest.raises(ValueError, match=words):
            dataset(folder)

    def test_another_encoding_is_refused_and_a_byte_order_mark_is_not(self, folder):
        (folder / 'captions.json').write_bytes('{"a.mp4": ["é"]}'.encode('latin-1'))
        with pytest.raises(ValueError, match=r'captions\.json is no json file: .utf-8. codec'):
            dataset(folder)
        (folder / 'captions.json').write_text('{"a.mp4": ["é"]}', encoding='utf-8-sig')
        assert pairs(dataset(folder)) == [('a.mp4', 'é')]

    def test_missing(self, folder):
        with pytest.raises(FileNotFoundError, match='no annotation file .*nowhere.json'):
            dataset(folder, ann_file='nowhere.json')
