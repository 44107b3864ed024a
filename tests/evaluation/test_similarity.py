"""The blocked similarity matrix is `mmstadapter.score`, within its bound on memory."""

import weakref

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmstadapter import score, similarity_matrix
from mmstadapter.evaluation.similarity import similarity_rows


def vectors(items: int, dims: int = 16, seed: int = 0) -> dict:
    generator = torch.Generator().manual_seed(seed)
    return dict(vector=normalize(torch.randn(items, dims, generator=generator), dim=-1))


def tokens(items: int, length: int, dims: int = 16, seed: int = 0, padded=True, mask=False) -> dict:
    """Token features of 1 to `length` valid tokens, the others zero or masked."""
    generator = torch.Generator().manual_seed(seed)
    feature = normalize(torch.randn(items, length, dims, generator=generator), dim=-1)
    lengths = torch.randint(1, length + 1, (items,), generator=generator)
    valid = torch.arange(length) < (lengths[:, None] if padded else length)
    logits = torch.randn(items, length, generator=generator).masked_fill(~valid, -torch.inf)
    found = dict(tokens=feature, weights=logits.softmax(1))
    if mask:
        return found | dict(mask=valid)
    return found | dict(tokens=feature * valid[..., None])


SIDES = dict(
    vectors=(vectors(37), vectors(23, seed=1)),
    unpadded=(tokens(37, 7, padded=False), tokens(23, 5, seed=1, padded=False)),
    padded_words=(tokens(37, 7), tokens(23, 5, seed=1, padded=False)),
    padded_both=(tokens(37, 7), tokens(23, 5, seed=1)),
    masked_words=(tokens(37, 7, mask=True), tokens(23, 5, seed=1, padded=False)),
    masked_both=(tokens(37, 7, mask=True), tokens(23, 5, seed=1, mask=True)),
    one_token=(tokens(37, 1), tokens(23, 1, seed=1)),
    two_dims=(tokens(37, 7, dims=2), tokens(23, 5, dims=2, seed=1)),  # zeros win many maxima
)


@pytest.mark.parametrize('memory', [6000, 40_000, 2**28])
@pytest.mark.parametrize('name', SIDES)
def test_it_equals_the_score_of_all_pairs_at_once(name, memory):
    text, video = SIDES[name]
    found = similarity_matrix(text, video, memory)
    torch.testing.assert_close(found, score(text, video), rtol=0, atol=1e-6)


@pytest.mark.parametrize('processes', [2, 3, 7])
@pytest.mark.parametrize('memory', [40_000, 256 * 2**20])
def test_shares_of_several_processes_have_the_bits_of_one(processes, memory):
    text, video = tokens(90, 9, seed=1, mask=True), tokens(40, 5, seed=2)
    whole = similarity_matrix(text, video, memory)
    seen = torch.zeros(90)
    for rank in range(processes):
        items, rows = similarity_rows(text, video, memory, share=(rank, processes))
        assert torch.equal(rows, whole[items])
        seen[items] += 1
    assert seen.eq(1).all()


def test_padding_of_zeros_wins_where_all_cosines_are_negative():
    text = dict(tokens=torch.tensor([[[1.0, 0], [0, 0]]]), weights=torch.tensor([[1.0, 0]]))
    video = dict(tokens=torch.tensor([[[-1.0, 0]]]), weights=torch.tensor([[1.0]]))
    assert similarity_matrix(text, video).item() == -0.5  # (-1 + 0) / 2, as released
    masked = text | dict(mask=torch.tensor([[True, False]]))
    assert similarity_matrix(masked, video).item() == -1


def test_an_item_of_zeros_alone_has_similarity_zero():
    text, video = tokens(3, 4), tokens(4, 2, seed=1)
    text['tokens'][1] = 0
    assert not similarity_matrix(text, video)[1].any()


def test_an_item_whose_tokens_are_all_masked_is_refused():
    text = tokens(3, 4, mask=True)
    text['mask'][2] = False
    with pytest.raises(ValueError, match='all tokens of caption 2 are masked'):
        similarity_matrix(text, tokens(4, 2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_computed_in_float32(dtype):
    text, video = ({k: v.to(dtype) for k, v in side.items()} for side in SIDES['padded_words'])
    found = similarity_matrix(text, video)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, score(text, video), rtol=0, atol=1e-6)


def test_autocast_does_not_lower_the_precision():
    text, video = SIDES['padded_words']
    with torch.autocast('cpu', torch.bfloat16):
        found = similarity_matrix(text, video)
    torch.testing.assert_close(found, score(text, video), rtol=0, atol=1e-6)


@pytest.mark.parametrize('kind', ['vectors', 'tokens'])
def test_equal_captions_and_equal_videos_get_equal_scores(kind):
    make = vectors if kind == 'vectors' else lambda items, dims: tokens(items, 9, dims)
    text, video = make(301, 256), make(203, 256)
    again = [{k: torch.cat([v, v[:77]]) for k, v in side.items()} for side in (text, video)]
    sim = similarity_matrix(*again)
    assert torch.equal(sim[:77], sim[301:]) and torch.equal(sim[:, :77], sim[:, 203:])


def test_features_of_two_kinds_are_refused():
    with pytest.raises(ValueError, match='of one kind'):
        similarity_matrix(vectors(3), tokens(2, 4))


def test_it_writes_into_a_file_that_is_mapped(tmp_path):
    text, video = SIDES['vectors']
    out = torch.from_file(str(tmp_path / 'sim'), shared=True, size=37 * 23).view(37, 23)
    assert similarity_matrix(text, video, out=out) is out
    again = torch.from_file(str(tmp_path / 'sim'), size=37 * 23).view(37, 23)
    torch.testing.assert_close(again, score(text, video))
    with pytest.raises(ValueError, match=r'out must be \(37, 23\) float32'):
        similarity_matrix(text, video, out=out.T)


class Peak(TorchDispatchMode):
    """Most bytes alive at once in tensors made meanwhile."""

    def __enter__(self):
        self.alive, self.seen, self.peak = 0, set(), 0
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if is_tensor(leaf)
        }
        result = func(*args, **(kwargs or {}))
        for leaf in filter(is_tensor, tree_leaves(result)):
            storage = leaf.untyped_storage()
            if storage._cdata not in before | self.seen:
                self.seen.add(storage._cdata)
                self.alive += storage.nbytes()
                weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.alive)
        return result

    def gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.alive -= size


def is_tensor(leaf) -> bool:
    return isinstance(leaf, torch.Tensor)


@pytest.mark.parametrize('memory', [2 * 2**20, 16 * 2**20])
@pytest.mark.parametrize('kind', ['vectors', 'padded', 'half', 'cut out', 'short'])
@pytest.mark.slow
def test_memory_stays_within_the_bound(kind, memory):
    pairs = dict(
        vectors=lambda: (vectors(3000, 64), vectors(2000, 64, seed=1)),
        padded=lambda: (tokens(600, 32, 64), tokens(500, 12, 64, seed=1)),
        short=lambda: (tokens(3000, 2, 64), tokens(2000, 1, 64, seed=1)),
    )
    text, video = pairs['padded' if kind in ('half', 'cut out') else kind]()
    if kind == 'half':
        text, video = ({k: v.half() for k, v in side.items()} for side in (text, video))
    if kind == 'cut out':  # of features with more tokens
        whole = torch.cat([text['tokens'], torch.zeros_like(text['tokens'])], dim=1)
        text['tokens'] = whole[:, : text['tokens'].shape[1]]
    items = [side.get('vector', side.get('tokens', None)) for side in (text, video)]
    out = torch.empty(len(items[0]), len(items[1]))
    with Peak() as peak:
        similarity_matrix(text, video, memory, out=out)
    assert memory / 20 < peak.peak <= memory


@pytest.mark.slow
def test_the_order_of_many_tokens_comes_on_top_with_20_bytes_a_token():
    text, video = tokens(2500, 32, 8), tokens(60, 12, 8, seed=1)
    out, memory = torch.empty(2500, 60), 2**20
    with Peak() as peak:
        similarity_matrix(text, video, memory, out=out)
    assert memory < peak.peak <= memory + 20 * (2500 * 32 + 60 * 12)


def test_a_bound_too_small_for_one_pair_says_what_is_needed():
    text, video = SIDES['padded_both']
    with pytest.raises(ValueError, match=r'memory must be at least (\d+) bytes') as error:
        similarity_matrix(text, video, memory=100)
    needed = int(str(error.value).split('at least ')[1].split()[0])
    similarity_matrix(text, video, memory=needed)
