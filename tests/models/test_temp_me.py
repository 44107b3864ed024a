"""TempMe: what merges, how much, and what the merging leaves alone."""

import pytest
import torch

from mmstadapter.models import FrameMeanViT, TempMeText, TempMeViT
from mmstadapter.models.backbones.temp_me_schedule import Schedule
from mmstadapter.models.ops.token_merge import TokenMerge, join_clips
from mmstadapter.testing import TINY_TEXT_ARCH, fill, tiny_trunk, toy_clips

IDS = torch.tensor([[1, 4, 7, 2], [1, 5, 2, 0]])


def build(**options) -> TempMeViT:
    given = dict(num_frames=4, merge_layers=(1,), merge_frames=(2,), tome_r=2)
    trunk = tiny_trunk(with_proj=True) | options.pop('trunk', {})
    return fill(TempMeViT(trunk, output='frames', **given | options)).eval()


class TestSchedule:
    """Clips x tokens behind every block, as counted in the released code with its defaults."""

    def counted(self, tokens: int, num_frames: int = 12, frames=(2, 2, 3)) -> list[tuple]:
        steps = Schedule((8, 9, 10), frames, (0.3, 0.1), 2, 12).steps(num_frames, tokens, 1)
        assert all(step.prefix * step.clips == num_frames for step in steps)
        return [(step.clips, step.tokens) for step in steps]

    def test_vit_b_32(self):
        alone = [(12, 50 - 2 * i) for i in range(1, 9)]
        assert self.counted(50) == [*alone, (6, 44), (3, 56), (1, 107), (1, 97)]

    def test_vit_b_16(self):
        alone = [(12, 197 - 2 * i) for i in range(1, 9)]
        assert self.counted(197) == [*alone, (6, 229), (3, 289), (1, 547), (1, 493)]

    def test_64_frames(self):
        assert self.counted(50, 64, (4, 4, 4))[-1] == (1, 500)

    def test_at_most_half_of_the_patches_merge(self):
        first, second = Schedule((0,), (3,), (1.0, 1.0), 2, 2).steps(3, 10, 1)
        assert first == (3, 13, 7, 1, 3, 10) and second == (1, 0, 3, 1, 3, 7)
        assert Schedule((1,), (1,), (0.5, 0), 9, 2).steps(1, 6, 1)[0].behind == 2

    @pytest.mark.parametrize(
        'options, words',
        [
            (dict(merge_layers=(1, 1), merge_frames=(2, 2)), 'ascending numbers of blocks, 0 to 2'),
            (dict(merge_layers=(3,)), r'0 to 2 in this trunk, got \(3,\)'),
            (dict(merge_frames=(2, 2)), 'a number from 1 for each of the 1 merge_layers'),
            (dict(merge_frames=(0,)), 'a number from 1'),
            (dict(proportions=(30, 10)), r'two fractions from 0 to 1 such as \(0.3, 0.1\)'),
            (dict(tome_r=-1), 'tome_r must be 0 or more'),
            (dict(num_frames=5), 'must be a multiple of 2, as merge_frames joins 2 neighbours'),
            (dict(lora_dims=-1), 'rank must be 1 or more'),
        ],
    )
    def test_what_cannot_be_is_refused(self, options, words):
        with pytest.raises(ValueError, match=words):
            build(**options)

    def test_frames_that_cannot_be_joined_are_refused(self):
        with pytest.raises(ValueError, match='multiple of 2.*got 3. Sample another number'):
            build()(toy_clips(num_frames=3))

    def test_other_numbers_of_frames_run(self):
        model = build()
        assert [model(toy_clips(num_frames=t)).shape for t in (2, 6)] == [(2, 2, 16), (2, 6, 16)]

    def test_a_trunk_that_reads_patches_is_refused(self):
        trunk = build().trunk
        trunk.readout_tokens = None
        with pytest.raises(TypeError, match='must read its feature from a class token'):
            TempMeViT(trunk)


class TestTokenMerge:
    """Tokens in the plane, at angles in degrees."""

    def merged(self, degrees, r: int, prefix: int = 0, sizes=None):
        angles = torch.tensor(degrees, dtype=torch.float32).deg2rad()
        metric = torch.stack([angles.cos(), angles.sin()], dim=-1)[None]
        x = torch.arange(1.0, 1 + len(degrees))[None, :, None]
        size = None if sizes is None else torch.tensor(sizes)[None, :, None]
        out, size = TokenMerge()(x, size, metric, r, prefix)
        return out.flatten().tolist(), size.flatten().tolist()

    def test_the_nearest_pair_becomes_one_and_the_rest_keeps_its_order(self):
        out, size = self.merged([0, 10, 90, 93, 170, 120], r=1)
        assert out == [1, 5, 2, 3.5, 6] and size == [1, 1, 1, 2, 1]

    def test_several_go_to_one_and_sizes_count(self):
        out, size = self.merged([0, 5, 8, 70], r=2, sizes=[1.0, 2.0, 5.0, 1.0])
        assert out == [(1 * 1 + 2 * 2 + 5 * 3) / 8, 4] and size == [8, 1]

    def test_class_tokens_stay_and_their_parity_swaps_the_halves(self):
        assert self.merged([0, 0, 90, 93, 140, 0], r=1, prefix=1) == (
            [1, 5, 2, 3.5, 6],
            [1, 1, 1, 2, 1],
        )
        assert self.merged([0, 0, 90, 93, 140, 0], r=1, prefix=2)[0] == [1, 2, 5, 3.5, 6]

    def test_of_equal_pairs_the_first_become_one(self):
        out, size = self.merged([30] * 8, r=3)
        assert out == [7, (1 + 2 + 3 + 5) / 4, 4, 6, 8] and size == [1, 4, 1, 1, 1]

    def test_rounding_does_not_choose_among_equal_pairs(self):
        degrees = torch.linspace(0, 90, 16).repeat(2)  # a still clip
        noise = 1e-6 * torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
        outcomes = [self.merged((degrees + shift).tolist(), r=5, prefix=0) for shift in noise]
        assert all(outcome == outcomes[0] for outcome in outcomes)

    def test_nothing_is_done_for_none(self):
        x = torch.randn(1, 4, 2)
        assert TokenMerge()(x, None, x, 0, 1) == (x, None)

    def test_gradients_reach_what_became_one(self):
        x = torch.randn(2, 9, 4, requires_grad=True)
        TokenMerge()(x, None, x.detach(), 4, 1)[0].sum().backward()
        assert x.grad.sum(dim=(1, 2)).tolist() == pytest.approx([20, 20])
        assert (x.grad > 0).all()

    def test_clips_are_joined_class_tokens_first(self):
        x = torch.arange(12.0).view(4, 3, 1)
        assert join_clips(x, 2, 1).flatten().tolist() == [0, 3, 1, 2, 4, 5, 6, 9, 7, 8, 10, 11]


def test_without_merging_and_joining_it_is_the_image_model():
    model = build(merge_layers=(), merge_frames=(), tome_r=0, lora_dims=0)
    plain = FrameMeanViT(model.trunk, output='frames').eval()
    torch.testing.assert_close(model(toy_clips()), plain(toy_clips()))


def test_merging_acts_from_the_first_step():
    model = TempMeViT(tiny_trunk(), num_frames=2, merge_layers=(1,), merge_frames=(2,))
    plain = FrameMeanViT(model.trunk)
    assert not torch.allclose(model(toy_clips()), plain(toy_clips()))


@pytest.mark.parametrize('options', [{}, dict(prop_attn=False), dict(merge_layers=(2,))])
def test_what_is_not_computed_in_the_last_block_changes_nothing(options):
    model = build(**options)
    steps = dict(model.trace(toy_clips()))
    torch.testing.assert_close(model(toy_clips()), steps['feature'])
    assert steps['2.size'].sum().item() == 2 * 4 * 17


@pytest.mark.parametrize('options', [dict(merge_frames=(1,)), dict(proportions=(0.0, 0.1))])
def test_clips_have_their_vectors_where_nothing_merges_across_them(options):
    model = build(**options)
    before = model(toy_clips())
    with torch.no_grad():
        model.clip_embed['1'].zero_()
    assert not torch.allclose(model(toy_clips()), before)


def test_each_option_of_the_authors_changes_the_features():
    plain = build()
    names = plain.state_dict()
    for options in (
        dict(tome_r=1),
        dict(proportions=(0.3, 0.4)),
        dict(proportions=(0.1, 0.1)),
        dict(prop_attn=False),
        dict(frame_pos=False),
        dict(lora_dims=0),
        dict(merge_layers=(2,)),
    ):
        model = build(**options)
        state = {n: t for n, t in names.items() if n in model.state_dict()}
        model.load_state_dict(state, strict=False)
        assert not torch.allclose(model(toy_clips()), plain(toy_clips())), options


def test_two_passes_at_once_do_not_know_of_each_other():
    model = build()
    clips = toy_clips(), toy_clips(seed=1)
    alone = [dict(model.trace(video)) for video in clips]
    together = list(zip(*(model.trace(video) for video in clips), strict=True))
    for i, steps in enumerate(zip(*together, strict=True)):
        assert all(torch.equal(x, alone[i][name]) for name, x in steps)


def test_rectangles_run():
    model = build(trunk=dict(img_size=(32, 48)))
    assert model(torch.randn(1, 3, 4, 32, 48)).shape == (1, 4, 16)


def test_recomputed_it_gives_the_same_gradients():
    ours, theirs = build(with_cp=True), build()
    for model in (ours, theirs):
        model(toy_clips()).square().sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad)


def test_the_first_step_moves_b_and_the_clips_vectors_alone():
    model = TempMeViT(tiny_trunk(), num_frames=2, merge_layers=(1,), merge_frames=(2,))
    model(toy_clips()).square().sum().backward()
    tuned = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert {n.split('.')[0] for n in tuned} == {'low_rank', 'clip_embed'}
    assert all(grad.any() == ('.a.' not in name) for name, grad in tuned.items())


class TestText:
    def test_starts_as_the_tower_it_is_in(self):
        text = TempMeText(TINY_TEXT_ARCH)
        plain = TempMeText(TINY_TEXT_ARCH, lora_dims=0)
        assert not plain.low_rank
        plain.load_state_dict({n: t for n, t in text.state_dict().items() if 'low' not in n})
        torch.testing.assert_close(text(IDS), plain(IDS))

    def test_only_its_low_rank_maps_are_trained_and_act(self):
        text = TempMeText(TINY_TEXT_ARCH)
        before = text(IDS)[0]
        assert {n.split('.')[0] for n, p in text.named_parameters() if p.requires_grad} == {
            'low_rank'
        }
        fill(text.low_rank)
        assert not torch.allclose(text(IDS)[0], before)

    def test_a_word_still_does_not_see_later_ones(self):
        text = fill(TempMeText(TINY_TEXT_ARCH))
        assert torch.equal(text(IDS)[1][0, :2], text(IDS + torch.tensor([0, 0, 1, 0]))[1][0, :2])
