"""V-JEPA 2's attentive probe on any frozen trunk."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmstadapter.models import AttentivePooler, ProbeViT
from mmstadapter.models.recomputing import STEPS
from mmstadapter.testing import fill, tiny_trunk, toy_clips

from .beside_trunk import recorded_layers

# width, depth, classes -> parameters, counted in the released code
COUNTED = {
    (768, 4, 400): 28_069_264,
    (768, 1, 400): 6_805_648,
    (1024, 4, 400): 49_746_320,
    (1024, 4, 174): 49_514_670,
    (1024, 1, 174): 11_725_998,
    (1408, 4, 174): 93_494_190,
}


def build(**options) -> ProbeViT:
    trunk = tiny_trunk(**options.pop('trunk', {}))
    return fill(ProbeViT(trunk, **dict(num_heads=2) | options)).eval()


@pytest.mark.parametrize('case', COUNTED, ids=str)
def test_it_has_the_parameters_of_the_released_probe(case):
    width, depth, classes = case
    with torch.device('meta'):
        probe, head = AttentivePooler(width, depth), nn.Linear(width, classes)
    found = sum(p.numel() for module in (probe, head) for p in module.parameters())
    assert found == COUNTED[case]


def attention(q, k, v, heads):
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def norm(layer, x):
    return F.layer_norm(x, (x.shape[-1],), layer.weight, layer.bias, 1e-5)


def mlp(layer, x):
    return layer.c_proj(F.gelu(layer.c_fc(x)))


def test_it_is_the_equations():
    probe, x = fill(AttentivePooler(24, depth=3, num_heads=3, mlp_ratio=2.5)), torch.randn(2, 7, 24)
    y = x
    for block in probe.blocks:
        qkv = F.linear(norm(block.ln_1, y), block.attn.in_proj_weight, block.attn.in_proj_bias)
        y = y + block.attn.out_proj(attention(*qkv.chunk(3, -1), heads=3))
        y = y + mlp(block.mlp, norm(block.ln_2, y))
    pool, q = probe.pool, probe.query.expand(2, 1, -1)
    kv = pool.attn.kv(norm(pool.ln_1, y))
    q = q + attention(pool.attn.q(q), *kv.chunk(2, -1), heads=3)
    q = q + mlp(pool.mlp, norm(pool.ln_2, q))
    torch.testing.assert_close(probe(x), q)


def test_without_a_complete_block_the_queries_are_what_they_read():
    probe = fill(AttentivePooler(24, 1, 3, num_queries=2, complete_block=False))
    x = torch.randn(2, 7, 24)
    q = probe.query.expand(2, -1, -1)
    expected = attention(probe.pool.q(q), *probe.pool.kv(x).chunk(2, -1), heads=3)
    torch.testing.assert_close(probe(x), expected)


def spread(weight: torch.Tensor) -> float:
    return weight.std().item() / 0.02


@pytest.mark.parametrize('depth', [1, 4])
def test_it_starts_as_released(depth):
    torch.manual_seed(0)
    probe = AttentivePooler(256, depth=depth, num_heads=4)
    for j, block in enumerate(probe.blocks, start=1):
        for layer in (block.attn.out_proj, block.mlp.c_proj):
            assert spread(layer.weight) == pytest.approx(1 / math.sqrt(2 * j), rel=0.02)
        for weight in (block.attn.in_proj_weight, block.mlp.c_fc.weight):
            assert spread(weight) == pytest.approx(1, rel=0.02)
    last = 1 / math.sqrt(2 * max(1, depth - 1))
    assert spread(probe.pool.mlp.c_proj.weight) == pytest.approx(last, rel=0.02)
    for layer in (probe.pool.attn.q, probe.pool.attn.kv, probe.pool.mlp.c_fc):
        assert spread(layer.weight) == pytest.approx(1, rel=0.02)
    assert spread(probe.query) == pytest.approx(1, rel=0.2)
    assert all(not p.any() for n, p in probe.named_parameters() if n.endswith('bias'))
    norms = [p for n, p in probe.named_parameters() if 'ln_' in n and n.endswith('weight')]
    assert len(norms) == 2 * depth and all(torch.equal(p, torch.ones(256)) for p in norms)


def test_it_reads_the_patches_of_all_frames_behind_the_trunks_norm():
    model, video = build(), toy_clips()
    x = model.trunk.final_norm(model.trunk(video.transpose(1, 2).flatten(0, 1)))
    expected = x[:, 1:].unflatten(0, (2, 4)).flatten(1, 2)
    torch.testing.assert_close(model.tokens(video), expected)
    torch.testing.assert_close(model(video), model.probes[0](expected)[:, 0])
    bare = build(tokens='all', final_norm=False)
    x = bare.trunk(video.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 4)).flatten(1, 2)
    torch.testing.assert_close(bare.tokens(video), x)


def test_segments_are_encoded_apart_and_read_together():
    model, video = build(num_segments=2), toy_clips(batch=4)
    apart = [build().tokens(clip[None]) for clip in video]
    first = torch.cat(apart[:2], dim=1)
    torch.testing.assert_close(model(video)[:1], model.probes[0](first)[:, 0])
    assert model(video).shape == (2, 32)
    with pytest.raises(ValueError, match='num_segments=2 clips of each video, got 3 clips'):
        model(toy_clips(batch=3))


@pytest.mark.parametrize('portion', [None, 3])
def test_nothing_is_recorded_in_a_frozen_trunk(portion):
    assert recorded_layers(build(frames_per_pass=portion), toy_clips()) == []


def step_of(recompute: str) -> tuple[int, list[torch.Tensor]]:
    """Bytes that a step of training keeps for its backward pass, and the probe's gradients."""
    model, kept = build(recompute=recompute), {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), x)  # held, so that no address is used twice
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = model(toy_clips()).square().sum()
    loss.backward()
    return sum(size for size, _ in kept.values()), [p.grad for p in model.probes.parameters()]


def test_each_step_of_recomputing_keeps_less_and_changes_no_gradient():
    sizes, grads = zip(*map(step_of, STEPS), strict=True)
    assert sorted(set(sizes), reverse=True) == list(sizes)
    for found in grads[1:]:
        torch.testing.assert_close(found, grads[0])
    assert build(with_cp=True).probes[0].recompute == 'block'


@pytest.mark.parametrize(
    'options', [dict(depth=0), dict(num_heads=5), dict(tokens='class'), dict(num_probes=0)], ids=str
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match='must'):
        build(**options)


@pytest.mark.slow
@pytest.mark.parametrize('step', ['elementwise', 'attention', 'block'])
def test_it_is_one_graph(step):
    model = build(num_probes=2, recompute=step, frames_per_pass=3)
    expected = model(toy_clips())
    expected.square().sum().backward()
    grads = [p.grad.clone() for p in model.probes.parameters()]
    model.zero_grad()
    model.compile(fullgraph=True, backend='aot_eager')
    feature = model(toy_clips())
    feature.square().sum().backward()
    close = dict(rtol=1e-4, atol=1e-4)  # a compiler is given the formulas of the lean forms
    torch.testing.assert_close(feature, expected, **close)
    torch.testing.assert_close([p.grad for p in model.probes.parameters()], grads, **close)
