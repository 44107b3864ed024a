"""The approximate first stage: as good as it says, never in the way."""

import pytest
import torch
from torch.nn import functional as F

import mmstadapter
from mmstadapter.search import first_stage, video_index, writer
from mmstadapter.search.storage import VideoStamp
from mmstadapter.search.writer import writing


def clustered(count: int, seed: int = 0) -> torch.Tensor:
    """Unit vectors around 20 centres, (count, 16)."""
    centres = torch.randn(20, 16, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(20, (count,), generator=generator)
    noise = torch.randn(count, 16, generator=generator)
    return F.normalize(centres[chosen] + 0.5 * noise, dim=-1)


def grow(folder, count: int, seed: int) -> torch.Tensor:
    """Add a video of so many segments, then do what a run does at its end."""
    rows = clustered(count, seed)
    with writing(folder, {}, '/videos', 1.0, say=lambda line: None) as out:
        spans = [(float(i), i + 1.0) for i in range(count)]
        out.add(VideoStamp(f'{seed}.mp4', 1, 0), dict(vector=rows), spans)
        out.commit()
        out.tidy()
        out.build_first_stage()
    return rows


@pytest.fixture
def early(monkeypatch):
    """Build the stage from 500 segments on."""
    monkeypatch.setattr(writer, 'WORTHWHILE', 500)


class TestWithFaiss:
    @pytest.fixture(autouse=True)
    def needs_faiss(self, early):
        pytest.importorskip('faiss', reason='the extra `search` is not installed')

    def test_looking_into_all_lists_finds_what_exact_search_finds(self, tmp_path, monkeypatch):
        grow(tmp_path / 'i', 800, seed=0)
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        monkeypatch.setattr(first_stage, 'LISTS_LOOKED_AT', index.approximate.lists.nlist)
        query = dict(vector=clustered(20, seed=5))
        found, truth = (index.search(query, 10, exact=exact) for exact in (False, True))
        assert [[h.start for h in hits] for hits in found] == [
            [h.start for h in hits] for hits in truth
        ]

    def test_tokens_are_re_ranked_behind_it(self, tmp_path, monkeypatch):
        generator = torch.Generator().manual_seed(3)
        tokens = F.normalize(torch.randn(610, 5, 16, generator=generator), dim=-1)
        weights = torch.rand(610, 5, generator=generator).softmax(-1)
        videos, text = (dict(tokens=tokens[s], weights=weights[s]) for s in (
            slice(0, 600), slice(600, 610)))  # fmt: skip
        with writing(tmp_path / 'i', {}, '/videos', 1.0, say=lambda line: None) as out:
            out.add(VideoStamp('a.mp4', 1, 0), videos, [(float(i), i + 1.0) for i in range(600)])
            out.commit()
            out.build_first_stage()
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        monkeypatch.setattr(first_stage, 'LISTS_LOOKED_AT', index.approximate.lists.nlist)
        near = (first_stage.pooled(text) @ first_stage.pooled(videos).T).topk(30).indices
        scores = mmstadapter.score(text, videos)
        for number, hits in enumerate(index.search(text, 30, candidates=30)):
            expected = near[number][scores[number][near[number]].argsort(descending=True)].tolist()
            found = [int(hit.start) for hit in hits]
            assert len(set(found) & set(expected)) >= 29  # 16 bit may swap the last ones
            score = torch.tensor([hit.score for hit in hits])
            torch.testing.assert_close(score, scores[number][found], atol=5e-4, rtol=0)
            assert (score.diff() <= 0).all()

    def test_few_lists_find_most(self, tmp_path):
        grow(tmp_path / 'i', 2000, seed=0)
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        query = clustered(50, seed=5)
        _, rows = index.approximate.search(query, 10, lists=16)
        exact = (query @ clustered(2000, seed=0).T).topk(10).indices
        found = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), exact.tolist(), strict=True)]
        assert sum(found) > 0.9 * 500

    def test_what_came_later_is_found_before_the_stage_is_extended(self, tmp_path):
        grow(tmp_path / 'i', 800, seed=0)
        stage = list((tmp_path / 'i').glob('approximate-*'))
        rows = grow(tmp_path / 'i', 40, seed=1)
        assert list((tmp_path / 'i').glob('approximate-*')) == stage
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        hit = index.search(dict(vector=rows[7:8]), 1)[0][0]
        assert (hit.video, hit.start) == ('1.mp4', 7.0)

    def test_it_is_extended_when_a_tenth_is_new(self, tmp_path):
        grow(tmp_path / 'i', 800, seed=0)
        rows = grow(tmp_path / 'i', 200, seed=1)
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert index.approximate.rows == index.approximate.lists.ntotal == 1000
        hit = index.search(dict(vector=rows[7:8]), 1)[0][0]
        assert (hit.video, hit.start) == ('1.mp4', 7.0)

    def test_it_is_made_anew_when_the_index_has_grown_fourfold(self, tmp_path):
        grow(tmp_path / 'i', 600, seed=0)
        before = mmstadapter.VideoIndex(tmp_path / 'i').approximate.lists.nlist
        grow(tmp_path / 'i', 3000, seed=1)
        assert mmstadapter.VideoIndex(tmp_path / 'i').approximate.lists.nlist > before

    def test_dropped_segments_take_no_place_in_it(self, tmp_path):
        rows = grow(tmp_path / 'i', 600, seed=0)
        grow(tmp_path / 'i', 700, seed=1)
        with writing(tmp_path / 'i', {}, '/videos', 1.0) as out:
            out.drop(['0.mp4'])
            out.commit()
        hits = mmstadapter.VideoIndex(tmp_path / 'i').search(dict(vector=rows[:5]), 20)
        assert all(len(found) == 20 for found in hits)
        assert {hit.video for found in hits for hit in found} == {'1.mp4'}

    def test_a_damaged_file_is_reported_and_all_are_compared(self, tmp_path):
        rows = grow(tmp_path / 'i', 600, seed=0)
        (path,) = (tmp_path / 'i').glob('approximate-*')
        path.write_bytes(path.read_bytes()[:100])
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert index.approximate is None
        assert index.search(dict(vector=rows[3:4]), 1)[0][0].start == 3.0

    @pytest.mark.parametrize(
        'damage',
        [
            lambda p: p.unlink(),
            lambda p: p.write_bytes(b'IwFl'),
            lambda p: p.write_bytes(p.read_bytes()[:-1] + b'?'),
        ],
    )
    def test_a_deleted_or_damaged_file_is_built_again(self, tmp_path, damage):
        rows = grow(tmp_path / 'i', 600, seed=0)
        (path,) = (tmp_path / 'i').glob('approximate-*')
        damage(path)
        grow(tmp_path / 'i', 1, seed=1)  # much less than a tenth
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert index.approximate.lists.ntotal == 601
        assert index.search(dict(vector=rows[3:4]), 1)[0][0].start == 3.0

    def test_a_file_that_is_replaced_while_the_index_is_opened_is_no_damage(
        self, tmp_path, monkeypatch
    ):
        grow(tmp_path / 'i', 600, seed=0)
        original = video_index.open_stage

        def replaced_before(*args):
            monkeypatch.setattr(video_index, 'open_stage', original)
            grow(tmp_path / 'i', 300, seed=1)
            return original(*args)

        monkeypatch.setattr(video_index, 'open_stage', replaced_before)
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert index.approximate.lists.ntotal == len(index) == 900

    def test_more_than_there_is_can_be_asked_for(self, tmp_path):
        rows = grow(tmp_path / 'i', 600, seed=0)
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert 0 < len(index.search(dict(vector=rows[:1]), 10**12)[0]) <= 600

    @pytest.mark.parametrize('kind', [RuntimeError, MemoryError])
    def test_whatever_faiss_says_of_a_damaged_file_all_are_compared(
        self, tmp_path, monkeypatch, kind
    ):
        grow(tmp_path / 'i', 600, seed=0)

        def fail(*args):
            raise kind('std::bad_alloc')

        monkeypatch.setattr('faiss.read_index', fail)
        assert mmstadapter.VideoIndex(tmp_path / 'i').approximate is None

    def test_an_index_made_with_it_is_searched_without_faiss(self, tmp_path, monkeypatch):
        rows = grow(tmp_path / 'i', 600, seed=0)
        monkeypatch.setattr(video_index, 'load_faiss', lambda: None)
        index = mmstadapter.VideoIndex(tmp_path / 'i')
        assert index.approximate is None
        assert index.search(dict(vector=rows[3:4]), 1)[0][0].start == 3.0


class TestWithoutFaiss:
    def test_indexing_says_what_would_make_searching_faster(self, tmp_path, monkeypatch, early):
        monkeypatch.setattr(writer, 'load_faiss', lambda: None)
        said: list[str] = []
        with writing(tmp_path / 'i', {}, '/videos', 1.0, said.append) as out:
            rows = dict(vector=clustered(600))
            out.add(VideoStamp('a.mp4', 1, 0), rows, [(0.0, 1.0)] * 600)
            out.commit()
            out.build_first_stage()
        assert "pip install 'mmstadapter[search]'" in said[-1]
        assert len(mmstadapter.VideoIndex(tmp_path / 'i')) == 600

    def test_building_it_is_refused_with_the_way_to_get_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(first_stage, 'load_faiss', lambda: None)
        with pytest.raises(ImportError, match=r'mmstadapter\[search\]'):
            first_stage.Approximate.write(tmp_path / 'x', torch.zeros(9, 16))


def test_a_mean_of_tokens_counts_their_weights():
    tokens = torch.eye(2)[None]
    found = first_stage.pooled(dict(tokens=tokens, weights=torch.tensor([[0.8, 0.6]])))
    torch.testing.assert_close(found, torch.tensor([[0.8, 0.6]]))
