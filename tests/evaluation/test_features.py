"""Features are checked, saved and read back."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmstadapter import RetrievalFeatures, feature_metrics


def features(**changes) -> RetrievalFeatures:
    """Three videos and four captions; `changes` replace fields."""
    draw = torch.Generator().manual_seed(0)
    sides = {
        side: dict(
            tokens=torch.randn(items, length, 8, generator=draw),
            weights=torch.rand(items, length, generator=draw).softmax(1),
        )
        for side, items, length in (('text', 4, 5), ('video', 3, 2))
    }
    fields = dict(
        owner=torch.tensor([0, 1, 1, 2]),
        video_ids=['a', 'ü/b.mp4', 'c'],
        captions=['one', 'two 🐕', 'two 🐕', 'a "quoted" one'],
        notes=dict(config='x.py'),
    )
    return RetrievalFeatures(**sides | fields | changes)


def tokens(shape: tuple, weights: tuple, **more) -> dict:
    """Token-wise text features of these shapes, as `changes`."""
    return dict(text=dict(tokens=torch.rand(shape), weights=torch.rand(weights), **more))


def test_a_file_gives_back_what_was_saved(tmp_path):
    saved = features(lost=torch.tensor([False, True, False]))
    saved.save(tmp_path / 'f.safetensors')
    read = RetrievalFeatures.load(tmp_path / 'f.safetensors')
    assert (read.video_ids, read.captions, read.notes) == (
        saved.video_ids,
        saved.captions,
        saved.notes,
    )
    for side in ('text', 'video'):
        for key, value in getattr(saved, side).items():
            assert torch.equal(getattr(read, side)[key], value)
    assert torch.equal(read.owner, saved.owner) and torch.equal(read.lost, saved.lost)
    assert read.describe() == (
        '4 captions, 3 videos (1 lost, never found); token-wise, 5 words, 2 frames, 8 dims'
    )


def test_half_precision_stays_half(tmp_path):
    vectors = {s: dict(vector=torch.randn(n, 8).half()) for s, n in (('text', 4), ('video', 3))}
    features(**vectors).save(tmp_path / 'f')
    read = RetrievalFeatures.load(tmp_path / 'f')
    assert read.text['vector'].dtype == torch.float16
    assert feature_metrics(read)['t2v/queries'] == 4


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(video_ids=['a', 'b', 'a']), "more than once: 'a'"),
        (dict(owner=torch.tensor([0, 1, 1, 3])), 'captions without a video: \'a "quoted" one\''),
        (dict(owner=torch.tensor([0, 1, 1, 1])), "videos without a caption: 'c'"),
        (dict(owner=torch.tensor([0, 1, 2])), r'owner must be \(4,\)'),
        (dict(owner=torch.tensor([0.0, 1, 1, 2])), 'whole numbers, got .* torch.float32'),
        (dict(owner=torch.tensor([False, True, True, False])), 'whole numbers, got .* torch.bool'),
        (dict(captions=['one']), '1 captions need as many rows'),
        (dict(video_ids=[]), '0 videos need as many rows of features and at least one'),
        (dict(lost=torch.tensor([True])), r'lost must be \(3,\)'),
        (dict(text=dict(vector=torch.zeros(4, 8))), 'of one kind'),
        (dict(text=dict(other=torch.zeros(4, 8))), 'must hold'),
        (dict(text=dict(vector=torch.zeros(4, 2, 8))), r'text features must be vector \(n, E\)'),
        (tokens((4, 8), (4, 5)), r'got tokens \(0, 8\) float32, weights \(0, 5\) float32'),
        (tokens((4, 0, 8), (4, 0)), 'L and E from 1'),
        (tokens((4, 5, 8), (4, 4)), r'weights \(n, L\)'),
        (tokens((4, 5, 8), (4, 5), mask=torch.ones(4, 3, dtype=torch.bool)), r'mask \(0, 3\) bool'),
        (tokens((4, 5, 8), (4, 5), mask=torch.ones(4, 5)), r'mask \(0, 5\) float32'),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        features(**changes)


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_refused_by_name(value):
    broken = features().video
    broken['tokens'][1, 0, 0] = value
    with pytest.raises(ValueError, match="tokens features are NaN or infinite for 'ü/b.mp4'"):
        features(video=broken)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no file'):
        RetrievalFeatures.load(tmp_path / 'nothing')
    (tmp_path / 'text').write_text('text')
    with pytest.raises(ValueError, match='not a safetensors file'):
        RetrievalFeatures.load(tmp_path / 'text')
    save_file(dict(owner=torch.zeros(1)), tmp_path / 'other')
    with pytest.raises(ValueError, match='does not hold retrieval features'):
        RetrievalFeatures.load(tmp_path / 'other')


class TestExtras:
    def test_they_have_names_of_their_own(self):
        bank = features(video_ids=['x', 'y', 'z'])
        found = feature_metrics(features(), dsl=True, bank=bank)
        for name in ('t2v/R1', 'dsl_with_all_queries/t2v/R1', 'qb_norm_with_query_bank/v2t/MnR'):
            assert name in found

    def test_a_bank_of_test_videos_is_refused(self):
        with pytest.raises(ValueError, match='3 videos of the bank are test videos'):
            feature_metrics(features(), bank=features())


@pytest.mark.parametrize('entry', ['video_ids', 'captions'])
@pytest.mark.parametrize('value', [None, 'nonsense', '3', 'null', '[1, 2]', '{"a": 1}'])
def test_a_header_without_its_lists_is_refused(tmp_path, entry, value):
    features().save(tmp_path / 'f')
    with safe_open(tmp_path / 'f', framework='pt') as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    header.pop(entry)
    save_file(tensors, tmp_path / 'f', header if value is None else header | {entry: value})
    with pytest.raises(ValueError, match=f'must list {entry} as a JSON list of strings'):
        RetrievalFeatures.load(tmp_path / 'f')


def test_lost_videos_of_a_bank_are_left_out():
    vectors = {s: dict(vector=torch.randn(n, 8).half()) for s, n in (('text', 4), ('video', 3))}
    names = dict(video_ids=['d', 'e', 'f'])
    lost = torch.tensor([False, True, False])
    bank = features(**vectors, **names, lost=lost)
    broken = {name: v.clone() for name, v in bank.video.items()}
    broken['vector'][1] = 7  # what a lost video holds must not matter
    test = features(text=dict(vector=torch.randn(4, 8)), video=dict(vector=torch.randn(3, 8)))
    figures = [
        feature_metrics(test, bank=features(**vectors | dict(video=video), **names, lost=lost))
        for video in (bank.video, broken)
    ]
    assert figures[0] == figures[1]
