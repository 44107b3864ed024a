"""Side4VideoViT against its equations in plain float64 arithmetic, in settings of all kinds."""

import pytest
import torch
from einops import rearrange

from mmstadapter import Side4VideoViT
from mmstadapter.testing import fill

from .plain_side4video import PlainSideNetwork

OPTIONS = dict(
    temporal='conv', cls_shift=True, fusion='mean', norm='pre', representation='avg_pool'
)
CASES = [  # trunk, layers, options, (B, T), other settings
    ('CLIPViT', 'all', {}, (2, 4), {}),
    ('CLIPViT', 'interval', dict(fusion='sum'), (3, 5), dict(with_cp=True)),
    ('CLIPViT', [0, 3], {}, (3, 1), dict(frames_per_pass=2)),
    ('CLIPViT', 'top_2', dict(temporal='attention'), (2, 3), dict(cls_position=True)),
    ('CLIPViT', 'all', dict(temporal='none', representation='trunk_cls'), (2, 3), {}),
    ('CLIPViT', 'all', dict(representation='side_cls', fusion='sum'), (2, 3), dict(with_cp=True)),
    ('CLIPViT', 'interval_2', dict(cls_shift=False), (1, 6), dict(final_norm=False)),
    ('EVAViT', 'interval', dict(norm='post'), (2, 4), {}),
    ('EVAViT', 'all', dict(norm='post', fusion='sum'), (1, 5), dict(with_cp=True)),
    ('EVAViT', 'interval', dict(norm='post', temporal='attention'), (2, 2), dict(final_norm=True)),
    ('EVAViT', [1], dict(norm='post', representation='side_cls'), (2, 3), dict(frames_per_pass=1)),
]


def build(trunk: str, layers, **fields) -> Side4VideoViT:
    """A model for frames of 16 x 11 pixels, 3 x 2 patches and a rest, in float64."""
    arch = dict(img_size=25, patch_size=5, embed_dims=24, num_layers=4, num_heads=3)
    model = Side4VideoViT(
        dict(type=f'mmstadapter.{trunk}', arch=arch, img_size=(16, 11)),
        side_dims=12,
        layers=layers,
        head_dims=6,
        **fields,
    )
    for name, buffer in fill(model).named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=0.3)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
    return model.double()


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('trunk, layers, options, size, settings', CASES)
def test_features_gradients_and_statistics_are_those_of_the_equations(
    trunk, layers, options, size, settings, training
):
    options = OPTIONS | options
    model = build(trunk, layers, **options, **settings).train(training)
    video = torch.randn(size[0], 3, size[1], 16, 11, dtype=torch.float64)
    x = model.trunk.embed(rearrange(video, 'b c t h w -> (b t) c h w'))
    outputs = [x := block(x) for block in model.trunk.blocks]
    weights = {n: t.detach().clone() for n, t in model.side.state_dict().items()}
    tuned = {n: weights[n].requires_grad_() for n, _ in model.side.named_parameters()}
    options = options | dict(head_dims=6)
    plain = PlainSideNetwork(weights, options, model.side.reads, training)
    expected, feature = plain(video, outputs, 5), model(video)
    torch.testing.assert_close(feature, expected)
    expected.square().sum().backward()
    feature.square().sum().backward()
    for name, parameter in model.side.named_parameters():
        torch.testing.assert_close(parameter.grad, tuned[name].grad, rtol=1e-7, atol=1e-9)
    for name, buffer in model.side.named_buffers():
        if 'running' in name:
            torch.testing.assert_close(buffer, plain.statistics.get(name, weights[name]))
