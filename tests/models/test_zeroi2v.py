"""ZeroI2V: which channels look at which frame, and adapters that become part of the trunk."""

import pytest
import torch
from torch import nn

from mmstadapter.models import STAdapterViT, ZeroI2VViT
from mmstadapter.models.merging import merged
from mmstadapter.models.ops.time_shift import TimeShift
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk, toy_clips


def build(**options) -> ZeroI2VViT:
    trunk = tiny_trunk(tune='after_blocks') | options.pop('trunk', {})
    return fill(ZeroI2VViT(trunk, **dict(num_frames=4, shifts=((-1, 8), (1, 8))) | options)).eval()


class TestTimeShift:
    def numbered(self, num_frames: int = 4) -> torch.Tensor:
        """Two clips of two tokens of eight channels that hold the frame's number."""
        return torch.arange(1.0, num_frames + 1).repeat(2)[:, None, None].expand(-1, 2, 8)

    def shifted(self, shifts, num_frames: int = 4, **options) -> list[list[float]]:
        """The frames' numbers in the channels of token 1 of the first clip."""
        out = TimeShift(shifts, 8, **options)(self.numbered(num_frames), num_frames)
        assert torch.equal(*out.chunk(2))
        return out[:num_frames, 1].tolist()

    def test_first_channels_look_back_next_ones_on_and_ends_keep_their_own(self):
        assert self.shifted([(-1, 4), (1, 8)]) == [
            [1, 1, 2, 1, 1, 1, 1, 1],
            [1, 1, 3, 2, 2, 2, 2, 2],
            [2, 2, 4, 3, 3, 3, 3, 3],
            [3, 3, 4, 4, 4, 4, 4, 4],
        ]

    def test_further_frames(self):
        out = self.shifted([(-2, 8), (3, 8)])
        assert [row[:2] for row in out] == [[1, 4], [2, 2], [1, 3], [2, 4]]

    def test_a_part_is_rounded_down(self):
        assert self.shifted([(-1, 3)])[1] == [1, 1, 2, 2, 2, 2, 2, 2]

    def test_of_each_head(self):
        out = self.shifted([(-1, 4)], num_heads=2, over='each_head')
        assert out[1] == [1, 2, 2, 2, 1, 2, 2, 2]

    def test_of_the_class_token_alone(self):
        shift = TimeShift([(-1, 4)], 8, over='class_token')
        out = shift(self.numbered(), 4)
        assert out[1, 0].tolist() == [1, 1, 2, 2, 2, 2, 2, 2] and out[1, 1].tolist() == [2] * 8

    @pytest.mark.parametrize('num_frames', [1, 2, 3])
    def test_clips_shorter_than_the_shift_keep_their_own(self, num_frames):
        out = self.shifted([(-3, 2), (4, 2)], num_frames)
        assert out == [[t] * 8 for t in range(1, num_frames + 1)]

    @pytest.mark.parametrize(
        'shifts, options, words',
        [
            ([(0, 4)], {}, 'pairs'),
            ([(1, 0)], {}, 'pairs'),
            ([(1, 2, 3)], {}, 'pairs'),
            ([(1, 1), (-1, 8)], {}, 'move 9 of 8 channels'),
            ([(1, 4)], dict(over='tokens'), 'channels, each_head, class_token'),
        ],
    )
    def test_other_settings_are_refused(self, shifts, options, words):
        with pytest.raises(ValueError, match=words):
            TimeShift(shifts, 8, **options)


def test_it_starts_from_the_image_model_on_clips_that_stand_still():
    model = ZeroI2VViT(tiny_trunk(), num_frames=4, shifts=((-1, 8), (1, 8))).eval()
    still = toy_clips()[:, :, :1].expand(-1, -1, 4, -1, -1)
    trunk = fill(model.trunk)
    torch.testing.assert_close(model(still), trunk.final_norm(trunk.readout(trunk(still[:, :, 0]))))
    assert not torch.allclose(model(toy_clips()), model(toy_clips().flip(2)), atol=1e-3)


@pytest.mark.parametrize(
    'adapters', [('attn_in', 'attn_out', 'mlp_in', 'mlp_out'), ('attn_qkv', 'mlp_in')]
)
def test_it_trains_its_own_parts_and_the_last_norm(adapters):
    model = build(adapters=adapters)
    model(toy_clips()).square().sum().backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    frozen = {
        n for n, _ in model.named_parameters() if n.startswith('trunk.') and 'ln_post' not in n
    }
    assert with_gradient == {n for n, _ in model.named_parameters()} - frozen
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_adapters_apart_are_one_each_for_queries_keys_and_values():
    """Three equal ones are one shared one."""
    shared, apart = build(adapters=('attn_in',)), build(adapters=('attn_qkv',))
    state = shared.state_dict()
    for name in list(state):
        head, _, rest = name.partition('attn_in.')
        if rest:
            number, _, layer = rest.partition('.')
            state |= {f'{head}attn_qkv.{number}.{x}.{layer}': state[name] for x in 'qkv'}
            del state[name]
    apart.load_state_dict(state)
    torch.testing.assert_close(apart(toy_clips()), shared(toy_clips()))
    for x in 'qv':  # a key's bias alone changes nothing
        before = apart(toy_clips())
        nn.init.normal_(apart.attn_qkv[0][x].fc2.weight)
        assert not torch.allclose(apart(toy_clips()), before, atol=1e-3)


def test_the_last_block_gives_the_class_token_of_all_tokens():
    model = build()
    torch.testing.assert_close(model(toy_clips()), dict(model.trace(toy_clips()))['feature'])


def test_a_rectangle_and_another_length_run():
    model = build(trunk=dict(img_size=(24, 40)))
    video = torch.randn(2, 3, 6, 24, 40)
    apart = torch.cat([model(clip[None]) for clip in video])
    torch.testing.assert_close(model(video), apart)


def test_recomputing_blocks_changes_no_gradient_whatever_drops_out():
    grads = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, dropout=0.5).train()
        torch.manual_seed(1)
        model(toy_clips()).square().sum().backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('adapters', [('attn',), ('attn_in', 'attn_qkv')])
def test_other_adapters_are_refused(adapters):
    with pytest.raises(ValueError, match='of the first two one at most'):
        ZeroI2VViT(tiny_trunk(), adapters=adapters)


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(adapters=('attn_qkv', 'attn_out', 'mlp_in'), scale=1.0),
        dict(adapters=('mlp_out',), shift_over='each_head'),
    ],
)
class TestMerging:
    def test_it_computes_the_same_without_adapters(self, options):
        model = build(**options)
        before = model(toy_clips())
        one = merged(model)
        torch.testing.assert_close(one(toy_clips()), before, atol=1e-6, rtol=1e-6)
        assert torch.equal(model(toy_clips()), before)  # which stays as it was
        own = [n for n in one.state_dict() if not n.startswith('trunk.')]
        assert own == ['time_embed']

    def test_what_is_left_is_the_class_without_adapters(self, options):
        one = merged(build(**options))
        plain = build(**options | dict(adapters=()))
        plain.load_state_dict(one.state_dict())
        assert torch.equal(plain(toy_clips()), one(toy_clips()))


def test_a_trunk_in_16_bit_is_merged_in_32():
    model = build(trunk=dict(dtype='float16'))
    one = merged(model)
    assert {p.dtype for p in one.parameters()} == {torch.float32}
    torch.testing.assert_close(one(toy_clips()), model(toy_clips()), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    'model, words',
    [
        (lambda: STAdapterViT(tiny_trunk()), 'this is STAdapterViT without LoRA'),
        (lambda: build(activation='gelu'), 'with an activation'),
        (
            lambda: build(trunk=dict(type='mmstadapter.EVAViT', arch=dict(TINY_ARCH))),
            'must be CLIPViT.*got EVAViT',
        ),
    ],
)
def test_what_is_not_linear_is_not_merged(model, words):
    with pytest.raises(TypeError, match=words):
        merged(model())


def test_a_replaced_layer_is_not_merged():
    model = build()
    model.trunk.blocks[1].mlp.c_fc = nn.Linear(32, 128)
    with pytest.raises(TypeError, match='one is a Linear, has hooks or'):
        merged(model)
