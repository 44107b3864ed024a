"""Official EVL and DiST checkpoints: there and back, onto our models, and what is refused."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner import load_checkpoint
from torch import Tensor, nn

from mmstadapter.commands.convert import main
from mmstadapter.testing import fill, write_clip_file
from mmstadapter.weights import from_ours, read_tensors, to_ours

REFERENCE = Path(__file__).parents[1] / 'reference/parity'
CASES = dict(evl='evl_1_all', dist='dist_2_selected_kernel5')
CONTAINERS = dict(evl='model', dist='model_state')


def case(source: str) -> dict[str, Tensor]:
    return read_tensors(REFERENCE / f'{CASES[source]}.safetensors')


def official(source: str) -> dict[str, Tensor]:
    """The state dict as the authors save it, in float32: EVL's without a trunk."""
    given = {k[6:]: v.float() for k, v in case(source).items() if k.startswith('param/')}
    return {k: v for k, v in given.items() if not k.startswith('visual.')}


def convert(*arguments) -> None:
    origin, target, src, dst = map(str, arguments)
    main(['--from', origin, '--to', target, src, dst])


@pytest.mark.parametrize('source', CASES)
@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_an_official_file_comes_back_as_it_was(source, wrapper, tmp_path):
    given = official(source)
    src, ours, back = (tmp_path / f'{name}.pth' for name in ('official', 'ours', 'back'))
    saved = {wrapper + name: tensor for name, tensor in given.items()}
    torch.save({CONTAINERS[source]: saved, 'optimizer': {}, 'epoch': 3}, src)
    convert(source, 'mmstadapter', src, ours)
    assert len(torch.load(ours, weights_only=True)['state_dict']) == len(given)
    convert('mmstadapter', source, ours, back)
    again = torch.load(back, weights_only=True)[CONTAINERS[source]]
    assert again.keys() == given.keys()
    assert all(torch.equal(again[name], given[name]) for name in given)


@pytest.mark.parametrize('source', CASES)
def test_names_without_a_counterpart_are_refused(source):
    with pytest.raises(KeyError, match=f"{source}: no rule for 'decoder.new'"):
        to_ours(source, official(source) | {'decoder.new': torch.zeros(1)})
    with pytest.raises(KeyError, match='from ours: no rule for'):
        from_ours(source, {'backbone.after_attn.0.fc1.weight': torch.zeros(1)})


def evl(checkpoint: str | None = None) -> nn.Module:
    """The model of the EVL case."""
    arch = dict(img_size=32, patch_size=8, embed_dims=32, num_layers=3, num_heads=2)
    trunk = dict(type='mmstadapter.CLIPViT', arch=arch, checkpoint=checkpoint)
    backbone = dict(
        type='mmstadapter.EVLViT', trunk=trunk, blocks='last_2', num_frames=4, num_heads=4
    )
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=7)
    return MODELS.build(dict(type='Recognizer3D', backbone=backbone, cls_head=head)).eval()


def test_an_evl_file_is_tuned_weights_alone_which_the_trunks_file_completes(tmp_path):
    tensors = case('evl')
    clip = {k[6:]: v.float() for k, v in tensors.items() if k.startswith('param/visual.')}
    clip |= {f'visual.ln_post.{kind}': torch.ones(32) for kind in ('weight', 'bias')}
    torch.save(clip, tmp_path / 'clip.pt')
    torch.save(dict(model=official('evl')), tmp_path / 'official.pth')
    convert('evl', 'mmstadapter', tmp_path / 'official.pth', tmp_path / 'ours.pth')
    model = evl(str(tmp_path / 'clip.pt'))
    load_checkpoint(model, str(tmp_path / 'ours.pth'), strict=True)
    logits = model.cls_head(model.backbone(tensors['input'].float()))
    torch.testing.assert_close(logits, tensors['eval/logits'], atol=1e-5, rtol=0)
    theirs = from_ours('evl', model.state_dict())  # whose trunk stays behind
    assert theirs.keys() == official('evl').keys()


def test_tensors_of_another_size_are_not_loaded():
    state = to_ours('evl', official('evl'))
    own = {n: p for n, p in evl().state_dict().items() if n.startswith('backbone.trunk.')}
    state['backbone.layers.1.tables.after'] = torch.zeros(25, 32)
    with pytest.raises(RuntimeError, match='size mismatch for backbone.layers.1.tables.after'):
        evl().load_state_dict(own | state, strict=True)


@pytest.mark.parametrize('shape', [(2, 1, 64), (1, 2, 64)])
def test_a_token_of_another_shape_is_not_taken_for_one(shape):
    name = 'backbone.base_encoder.dist_net.aggregated_cls_token'
    ours = to_ours('dist', official('dist') | {name: torch.zeros(shape)})
    assert ours['backbone.query'].shape != (64,)


def test_a_dist_file_has_its_towers_with_it(tmp_path):
    ours = to_ours('dist', official('dist'))
    heads = {name.partition('.')[0] for name in ours}
    assert heads == {'backbone', 'cls_head'}
    towers = ('backbone.trunk.conv1.weight', 'cls_head.text_tower.text_projection')
    assert all(name in ours for name in (*towers, 'cls_head.logit_scale'))
    file = write_clip_file(tmp_path / 'clip.safetensors')
    head = dict(
        type='mmstadapter.TextHead',
        in_channels=16,
        num_classes=2,
        text_tower=dict(
            type='mmstadapter.CLIPText',
            arch=dict(
                vocab_size=14,
                context_length=8,
                embed_dims=32,
                num_layers=2,
                num_heads=2,
                output_dims=16,
            ),
            checkpoint=file,
            tune='none',
        ),
        tokenizer=dict(type='mmstadapter.WordTokenizer', words=['cat', 'dog'], context_length=4),
        labels=['cat', 'dog'],
    )
    model = nn.ModuleDict(dict(cls_head=fill(MODELS.build(head))))
    model['cls_head'].init_weights()
    theirs = from_ours('dist', model.state_dict())
    assert 'backbone.base_encoder.ln_final.weight' in theirs
    assert not any('fingerprint' in name for name in theirs)
