"""SigLIP's loss: its formula, captions of one video, and the retriever that trains by it."""

import math

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import load_file, save_file

from mmstadapter import SigmoidLoss
from mmstadapter.testing import (
    TINY_TEXT_ARCH,
    caption_samples,
    fill,
    tiny_retriever,
    tiny_text,
    toy_clips,
    write_clip_file,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, -0.5, 1.5]])
SIGMOID = dict(
    similarity=dict(type='mmstadapter.MeanPoolSimilarity'),
    loss=dict(type='mmstadapter.SigmoidLoss'),
)


def by_hand(match: list[list[int]]) -> float:
    """The sum of log(1 + exp(-z s)), z given pair by pair, over the number of captions."""
    pairs = [
        (z, s)
        for zs, row in zip(match, LOGITS.tolist(), strict=True)
        for z, s in zip(zs, row, strict=True)
    ]
    return sum(math.log1p(math.exp(-z * s)) for z, s in pairs if z) / 3


def test_every_pair_counts_by_itself():
    expected = by_hand([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert SigmoidLoss()(LOGITS).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(('positives', 'z'), [('own', -1), ('skip', 0), ('all', 1)])
def test_captions_of_one_video_are_what_positives_says(positives, z):
    owners = torch.tensor([7, 7, 9])
    found = SigmoidLoss(positives)(LOGITS, owners).item()
    expected = by_hand([[1, z, -1], [z, 1, -1], [-1, -1, 1]])
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: SigmoidLoss('each'), "positives must be one of .* got 'each'"),
        (lambda: SigmoidLoss()(LOGITS[:2]), r'as many captions as videos.*\(2, 3\)'),
        (lambda: SigmoidLoss('skip')(LOGITS), "needs owners with positives='skip'"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def build(**changes):
    return MODELS.build(tiny_retriever(**SIGMOID) | changes)


class TestRetriever:
    def test_adds_the_bias_to_every_logit(self):
        model = build(logit_scale=0.0, logit_bias=-3.0)
        assert torch.equal(model.logits(LOGITS), LOGITS - 3)

    def test_trains_scale_and_bias(self):
        model = fill(build()).train()
        model(toy_clips(3), caption_samples(3), mode='loss')['loss_contrast'].backward()
        assert model.logit_scale.grad.abs() > 0 and model.logit_bias.grad.abs() > 0

    def test_starts_at_siglips_own_bias(self):
        assert build().logit_bias.item() == -10

    def test_never_cuts_the_scale(self):
        model = build(logit_scale=5.0)
        model.limit_scale()
        assert model.logit_scale.item() == 5.0

    def test_reads_both_from_the_file(self, tmp_path):
        path = write_clip_file(tmp_path / 'clip.safetensors')
        tensors = load_file(path) | dict(logit_bias=torch.tensor([-12.5]))
        save_file(tensors, path)
        model = build(text_tower=tiny_text(checkpoint=path))
        model.init_weights()
        assert model.logit_bias.item() == -12.5
        assert model.logit_scale.item() == pytest.approx(math.log(100), rel=1e-6)

    def test_a_file_without_a_bias_is_refused(self, tmp_path):
        path = write_clip_file(tmp_path / 'clip.safetensors')
        with pytest.raises(KeyError, match='load_logit_bias.*has no logit_bias.*-10'):
            build(text_tower=tiny_text(checkpoint=path)).init_weights()

    def test_contrast_has_no_bias(self):
        assert 'logit_bias' not in MODELS.build(tiny_retriever()).state_dict()
        with pytest.raises(ValueError, match='ContrastiveLoss knows no logit_bias'):
            MODELS.build(tiny_retriever(logit_bias=-10.0))

    def test_a_siglip_tower_needs_whole_rows(self):
        arch = dict(TINY_TEXT_ARCH, context_length=9)
        with pytest.raises(ValueError, match=r'last of 9 tokens.*rows of 8.*context_length=9'):
            build(text_tower=dict(type='mmstadapter.SigLIPText', arch=arch))

    def test_compares_a_siglip_towers_words_without_padding(self):
        model = MODELS.build(
            tiny_retriever(text_tower=dict(type='mmstadapter.SigLIPText', arch=TINY_TEXT_ARCH))
        )
        weights = model.encode_captions(['a cat jumps'])['weights'][0]
        assert (weights > 0).tolist() == [True] * 5 + [False] * 2 + [True]
