"""What is compared, how alike it is, and the losses of that."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS

import mmstadapter
from mmstadapter import ContrastiveLoss, MeanPoolSimilarity, SequentialSimilarity, TokenSimilarity
from mmstadapter.testing import fill

A, B, L, T, E = 3, 2, 5, 4, 8


@pytest.fixture
def states():
    """Sentences, words, their mask and frames; the first caption is whole, the last has two."""
    torch.manual_seed(0)
    mask = torch.arange(L) < torch.tensor([[5], [3], [2]])
    return torch.randn(A, E), torch.randn(A, L, E), mask, torch.randn(B, T, E)


def every_similarity() -> list:
    header = dict(num_layers=2, num_heads=2)
    return [
        dict(type='mmstadapter.MeanPoolSimilarity'),
        dict(type='mmstadapter.MeanPoolSimilarity', normalise_frames=False),
        dict(type='mmstadapter.SequentialSimilarity', embed_dims=E, num_layers=2),
        dict(type='mmstadapter.TokenSimilarity', embed_dims=E),
        dict(type='mmstadapter.TokenSimilarity', embed_dims=E, mask='corrected', header=header),
    ]


def encode(similarity, states, video_mask=None):
    sentences, words, mask, frames = states
    text = similarity.encode_text(sentences, words, mask)
    return text, similarity.encode_video(frames, video_mask)


@pytest.mark.parametrize('config', every_similarity(), ids=str)
class TestEverySimilarity:
    def test_scores_are_cosines_in_float32(self, config, states):
        scores = mmstadapter.score(*encode(fill(MODELS.build(config)), states))
        assert scores.shape == (A, B) and scores.dtype == torch.float32
        assert scores.abs().max() <= 1.0 + 1e-6

    def test_items_are_encoded_apart(self, config, states):
        similarity = fill(MODELS.build(config)).eval()
        sentences, words, mask, frames = states
        text, video = encode(similarity, states)
        for i in range(A):
            row = slice(i, i + 1)
            one = similarity.encode_text(sentences[row], words[row], mask[row])
            torch.testing.assert_close(one, {name: f[row] for name, f in text.items()})
        for i in range(B):
            one = similarity.encode_video(frames[i : i + 1])
            torch.testing.assert_close(one, {name: f[i : i + 1] for name, f in video.items()})

    def test_autocast_changes_nothing(self, config, states):
        similarity = fill(MODELS.build(config)).eval()
        plain = mmstadapter.score(*encode(similarity, states))
        with torch.autocast('cpu', torch.bfloat16):
            cast = mmstadapter.score(*encode(similarity, states))
        assert torch.equal(plain, cast)

    def test_padding_does_not_reach_the_features(self, config, states):
        similarity = fill(MODELS.build(config)).eval()
        sentences, words, mask, frames = states
        other = torch.where(mask.unsqueeze(-1), words, torch.randn_like(words))
        text = similarity.encode_text(sentences, words, mask)
        torch.testing.assert_close(similarity.encode_text(sentences, other, mask), text)

    def test_a_masked_frame_is_not_seen(self, config, states):
        similarity = fill(MODELS.build(config)).eval()
        *text, frames = states
        mask = torch.arange(T) < torch.tensor([[4], [3]])
        other = torch.where(mask.unsqueeze(-1), frames, torch.randn_like(frames))
        scores = [mmstadapter.score(*encode(similarity, (*text, x), mask)) for x in (frames, other)]
        torch.testing.assert_close(*scores)


class TestScore:
    def test_it_is_the_published_formula(self, states):
        text, video = encode(fill(TokenSimilarity(E)), states)
        cosines = torch.einsum('ate,bve->abtv', text['tokens'], video['tokens'])
        expected = torch.einsum('at,abt->ab', text['weights'], cosines.amax(3))
        expected += torch.einsum('bv,abv->ab', video['weights'], cosines.amax(2))
        torch.testing.assert_close(mmstadapter.score(text, video), expected / 2)

    def test_released_padding_wins_where_all_words_disagree_and_corrected_does_not(self):
        word, frame = F.normalize(torch.ones(1, 2, E), dim=-1), -torch.ones(1, 1, E)
        mask = torch.tensor([[True, False]])
        scores = []
        for choice in ('released', 'corrected'):
            similarity = TokenSimilarity(E, mask=choice)
            text = similarity.encode_text(None, word, mask)
            scores.append(mmstadapter.score(text, similarity.encode_video(frame)).item())
        # words -> frames gives -1 in both; frames -> words 0 by the padding, -1 without it
        assert scores == pytest.approx([-0.5, -1.0])

    def test_concatenated_items_give_concatenated_scores(self, states):
        text, video = encode(fill(TokenSimilarity(E, mask='corrected')), states)
        twice = {name: torch.cat([f, f]) for name, f in video.items()}
        scores = mmstadapter.score(text, video)
        torch.testing.assert_close(
            mmstadapter.score(text, twice), torch.cat([scores, scores], dim=1)
        )

    def test_other_features_are_refused(self, states):
        text, video = encode(TokenSimilarity(E), states)
        pooled = dict(vector=torch.ones(B, E))
        with pytest.raises(ValueError, match='of one kind and width'):
            mmstadapter.score(text, pooled)
        with pytest.raises(ValueError, match='of one kind and width'):
            mmstadapter.score(dict(vector=torch.ones(A, E + 1)), pooled)
        with pytest.raises(ValueError, match=r"video features must hold 'vector'.*\['frames'\]"):
            mmstadapter.score(text, dict(frames=video['tokens']))


class TestHeader:
    def test_positions_make_the_order_of_frames_matter(self, states):
        similarity = fill(SequentialSimilarity(E, num_layers=2)).eval()
        frames = states[-1]
        forth, back = (similarity.encode_video(x)['vector'] for x in (frames, frames.flip(1)))
        assert (forth - back).abs().max() > 1e-3

    def test_more_frames_than_positions_are_refused(self, states):
        similarity = SequentialSimilarity(E, max_frames=3)
        with pytest.raises(ValueError, match='at most max_frames = 3 frames, got 4'):
            similarity.encode_video(states[-1])

    def test_it_starts_from_the_text_tower(self):
        arch = dict(embed_dims=E, num_layers=3, num_heads=2, output_dims=E, context_length=6)
        tower = mmstadapter.CLIPText(arch | dict(vocab_size=9))
        similarity = SequentialSimilarity(E, num_layers=2, max_frames=10)
        similarity.start_from(tower)
        header, blocks = similarity.header, tower.transformer.resblocks
        assert torch.equal(header.positions[:6], tower.positional_embedding)
        for ours, theirs in zip(header.blocks, blocks, strict=False):
            for (name, p), (other, q) in zip(
                sorted(ours.named_parameters()), sorted(theirs.named_parameters()), strict=True
            ):
                assert name == other and torch.equal(p, q) and p is not q

    def test_init_normal_takes_nothing_from_it(self):
        similarity = TokenSimilarity(E, header=dict(num_layers=1))
        before = similarity.header.positions.clone()
        similarity.start_from(None)
        assert torch.equal(similarity.header.positions, before)

    def test_a_text_tower_of_another_width_is_refused(self):
        arch = dict(embed_dims=16, num_layers=4, num_heads=2, output_dims=E)
        tower = mmstadapter.CLIPText(arch | dict(vocab_size=9))
        with pytest.raises(ValueError, match="width 8 and at least 4 blocks.*init='normal'"):
            SequentialSimilarity(E).start_from(tower)

    @pytest.mark.parametrize('wrong', [dict(init='zero'), dict(num_heads=3)], ids=str)
    def test_unknown_options_are_refused(self, wrong):
        with pytest.raises(ValueError, match='FrameTransformer'):
            SequentialSimilarity(E, **wrong)


def test_token_weights_start_as_released_or_as_pytorch_has_them():
    torch.manual_seed(0)
    released, own = TokenSimilarity(256), TokenSimilarity(256, init_std=None)
    assert released.text_weight[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not released.video_weight[2].bias.any()
    assert own.text_weight[0].weight.abs().max().item() <= 256**-0.5
    assert own.text_weight[0].bias.any()


def test_an_unknown_mask_is_refused():
    with pytest.raises(ValueError, match="mask must be one of .*'corrected'"):
        TokenSimilarity(E, mask='none')


class TestContrastiveLoss:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0], [3.0, 0.0, 1.0]])
    owners = torch.tensor([7, 9, 7])  # the first and the last pair are of one video

    @staticmethod
    def rows(logits, chosen):
        """Mean of -log of the diagonal's share among the columns ``chosen`` of each row."""
        shares = [
            -torch.log(row[i].exp() / sum(row[j].exp() for j in chosen[i]))
            for i, row in enumerate(logits)
        ]
        return sum(shares) / len(shares)

    def test_is_the_mean_of_both_directions(self):
        every = [range(3)] * 3
        expected = (self.rows(self.logits, every) + self.rows(self.logits.T, every)) / 2
        torch.testing.assert_close(ContrastiveLoss()(self.logits), expected)

    def test_skip_leaves_captions_of_the_same_video_out(self):
        chosen = [(0, 1), (0, 1, 2), (1, 2)]
        expected = (self.rows(self.logits, chosen) + self.rows(self.logits.T, chosen)) / 2
        loss = ContrastiveLoss('skip')(self.logits, self.owners)
        torch.testing.assert_close(loss, expected)

    def test_all_shares_the_label_among_captions_of_the_same_video(self):
        labels = torch.tensor([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]])
        both = [
            -(labels * x.log_softmax(dim=1)).sum(1).mean() for x in (self.logits, self.logits.T)
        ]
        loss = ContrastiveLoss('all')(self.logits, self.owners)
        torch.testing.assert_close(loss, sum(both) / 2)

    @pytest.mark.parametrize('positives', ['skip', 'all'])
    def test_all_choices_agree_where_no_video_occurs_twice(self, positives):
        loss = ContrastiveLoss(positives)(self.logits, torch.arange(3))
        torch.testing.assert_close(loss, ContrastiveLoss()(self.logits))

    @pytest.mark.parametrize('positives', ['own', 'skip', 'all'])
    def test_other_captions_may_join_the_negatives_of_a_caption(self, positives):
        texts = torch.tensor(
            [[-torch.inf, 1.0, 2.0], [1.0, -torch.inf, 0.5], [2.0, 0.5, -torch.inf]]
        )
        found = ContrastiveLoss(positives, text_negatives=0.5)(self.logits, torch.arange(3), texts)
        whole = self.logits.exp().sum(dim=1) + 0.5 * texts.exp().sum(dim=1)
        by_text = (whole.log() - self.logits.diagonal()).mean()
        by_video = self.rows(self.logits.T, [range(3)] * 3)
        torch.testing.assert_close(found, (by_text + by_video) / 2)

    @pytest.mark.parametrize('positives', ['own', 'skip', 'all'])
    def test_a_batch_of_one_caption_has_no_text_negatives(self, positives):
        texts = torch.full((3, 3), -torch.inf)
        loss = ContrastiveLoss(positives, text_negatives=1.0)
        expected = ContrastiveLoss(positives)(self.logits, self.owners)
        torch.testing.assert_close(loss(self.logits, self.owners, texts), expected)

    def test_is_float32_for_16_bit_logits(self):
        assert ContrastiveLoss()(self.logits.bfloat16()).dtype == torch.float32

    def test_wrong_settings_and_shapes_are_refused(self):
        with pytest.raises(ValueError, match='positives must be one of'):
            ContrastiveLoss('none')
        for wrong in (-1.0, torch.nan, torch.inf):
            with pytest.raises(ValueError, match='decorrelation must be a number, 0 or more'):
                ContrastiveLoss(decorrelation=wrong)
        with pytest.raises(ValueError, match='text_negatives must be a number, 0 or more'):
            ContrastiveLoss(text_negatives=-1.0)
        with pytest.raises(ValueError, match='as many captions as videos'):
            ContrastiveLoss()(torch.ones(3, 2))
        with pytest.raises(ValueError, match="needs owners with positives='skip'"):
            ContrastiveLoss('skip')(torch.ones(3, 3))
        with pytest.raises(ValueError, match='needs texts with .*text_negatives=0.5'):
            ContrastiveLoss(text_negatives=0.5)(torch.ones(3, 3))


def test_decorrelation_is_zero_for_perfect_correlation():
    """Frames that are the words: every channel correlates with itself up to n - 1 over n."""
    torch.manual_seed(0)
    words = torch.randn(64, 1, E)
    similarity = TokenSimilarity(E)
    term = similarity.decorrelation(words, torch.ones(64, 1, dtype=torch.bool), words)
    torch.testing.assert_close(term.item(), 0.11 * E * (1 / 64) ** 2, rtol=1e-3, atol=0)


@pytest.mark.parametrize('frames', [1, 3])
def test_decorrelation_of_frames_that_all_choose_one_word_is_a_number(frames):
    similarity = TokenSimilarity(E)
    words = torch.randn(1, 1, E, requires_grad=True)  # one word: no channel of it spreads
    mask = torch.ones(1, 1, dtype=torch.bool)
    term = similarity.decorrelation(words, mask, torch.randn(1, frames, E))
    term.backward()
    torch.testing.assert_close(term.item(), 0.11 * E, rtol=1e-4, atol=0)  # no correlation
    assert words.grad.isfinite().all()


def test_only_token_wise_similarity_has_a_decorrelation_term(states):
    sentences, words, mask, frames = states
    with pytest.raises(TypeError, match='MeanPoolSimilarity has no decorrelation'):
        MeanPoolSimilarity().decorrelation(words, mask, frames)
