"""Batches of captions that are hard to tell apart: what is in them, and that nothing is lost."""

import json
from collections import Counter

import pytest
from mmaction.registry import DATA_SAMPLERS

import mmstadapter
from mmstadapter.datasets import caption_groups

DIGITS, MOTIONS, COPIES = 'one two three four'.split(), 'up down left right'.split(), 3
CAPTIONS = [f'digit {d} moves {m}' for d in DIGITS for m in MOTIONS for _ in range(COPIES)]


@pytest.fixture
def dataset(tmp_path):
    """Data sets of given captions, one a video."""

    def make(texts=CAPTIONS, **options):
        file = tmp_path / 'captions.json'
        file.write_text(json.dumps({f'{i}.mp4': [text] for i, text in enumerate(texts)}))
        return mmstadapter.CaptionDataset(str(file), [], **options)

    return make


def sampler(data, group_size=4, seed=0, pattern=r'digit (\w+)'):
    settings = dict(type='mmstadapter.CaptionGroupSampler', pattern=pattern, group_size=group_size)
    return DATA_SAMPLERS.build(settings, default_args=dict(dataset=data, seed=seed))


def test_an_epoch_shows_every_item_once(dataset):
    order = list(sampler(dataset()))
    assert sorted(order) == list(range(len(CAPTIONS)))


def test_a_run_is_of_one_group_without_a_caption_twice(dataset):
    order = [CAPTIONS[i] for i in sampler(dataset())]
    for start in range(0, len(order), 4):
        run = order[start : start + 4]
        assert len({text.split()[1] for text in run}) == 1
        assert len(set(run)) == 4


def test_a_batch_of_two_runs_holds_two_groups(dataset):
    order = [CAPTIONS[i].split()[1] for i in sampler(dataset())]
    assert all(len(set(order[i : i + 8])) == 2 for i in range(0, len(order), 8))


def test_epochs_and_seeds_differ_and_repeat(dataset):
    data = dataset()
    first, again, other = sampler(data), sampler(data), sampler(data, seed=1)
    assert list(first) == list(again) != list(other)
    again.set_epoch(1)
    assert list(first) != list(again)


def test_processes_share_whole_runs(dataset, monkeypatch):
    shares = []
    for rank in range(2):
        monkeypatch.setattr(caption_groups, 'get_dist_info', lambda rank=rank: (rank, 2))
        shares.append(list(sampler(dataset())))
    assert sorted(shares[0] + shares[1]) == list(range(len(CAPTIONS)))
    for share in shares:
        runs = [share[i : i + 4] for i in range(0, len(share), 4)]
        assert all(len({CAPTIONS[i].split()[1] for i in run}) == 1 for run in runs)


def test_processes_get_equally_many_items_that_do_not_come_out_even(dataset, monkeypatch):
    shares = []
    for rank in range(3):
        monkeypatch.setattr(caption_groups, 'get_dist_info', lambda rank=rank: (rank, 3))
        found = sampler(dataset(CAPTIONS[:-2]))
        shares.append(list(found))
        assert len(shares[-1]) == len(found) == 16
    assert set(sum(shares, [])) == set(range(len(CAPTIONS) - 2))


def test_frequent_captions_and_odd_ones_are_shown_as_well(dataset):
    captions = [*CAPTIONS[:12], *['digit one moves up'] * 5, 'a caption of another kind']
    order = list(sampler(dataset(captions)))
    assert sorted(order) == list(range(len(captions)))
    assert set(Counter(captions[i] for i in order[:4]).values()) == {1}


def test_data_without_a_fixed_caption_is_refused(dataset):
    for data in (dataset(captions='random'), dataset(test_mode=True), [1, 2]):
        with pytest.raises(ValueError, match='CaptionDataset in training'):
            sampler(data)
    with pytest.raises(ValueError, match='group_size must be 2 or more'):
        sampler(dataset(), group_size=1)
