"""Official retrieval checkpoints: every name has a place, there and back."""

import pytest
import torch
from mmaction.registry import MODELS

from mmstadapter.testing import TINY_ARCH, fill, tiny_retriever, tiny_text, tiny_trunk
from mmstadapter.weights import SOURCES, from_ours, to_ours

SIDE = dict(type='mmstadapter.Side4VideoViT', side_dims=16, head_dims=8, output='frames')
EVA = dict(type='mmstadapter.EVAViT', arch=TINY_ARCH, with_proj=True)
TOKEN = dict(type='mmstadapter.TokenSimilarity', embed_dims=16)
MODELS_OF = {
    'side4video-retrieval': dict(
        backbone=SIDE | dict(trunk=tiny_trunk(with_proj=True), cls_position=True),
        similarity=TOKEN | dict(header=dict(num_layers=2)),
    ),
    'side4video-retrieval-eva': dict(
        backbone=SIDE | dict(trunk=EVA, norm='post', layers='interval'),
        text_tower=tiny_text(type='mmstadapter.EVAText'),
        similarity=TOKEN,
    ),
    'clip4clip': dict(
        backbone=dict(
            type='mmstadapter.FrameMeanViT', trunk=tiny_trunk(with_proj=True), output='frames'
        ),
        similarity=dict(type='mmstadapter.SequentialSimilarity', embed_dims=16, num_layers=2),
    ),
}
OFFICIAL = {
    'side4video-retrieval': [
        'clip.visual.side_proj',
        'clip.visual.transformer.side_transformer.1.norm1.running_var',
        'clip.transformer.resblocks.1.attn.in_proj_weight',
        'text_weight_fc.0.weight',
        'video_weight_fc.2.bias',
        'frame_position_embeddings.weight',
        'side_transformerClip.resblocks.1.mlp.c_fc.weight',
        'clip.logit_scale',
    ],
    'side4video-retrieval-eva': [
        'clip.visual.side_proj',
        'clip.visual.side_blocks.0.attn.q_proj.weight',
        'clip.text.ln_final.weight',
        'text_weight_fc.2.weight',
        'clip.logit_scale',
    ],
    'clip4clip': [
        'clip.visual.proj',
        'clip.token_embedding.weight',
        'frame_position_embeddings.weight',
        'transformerClip.resblocks.0.ln_1.bias',
        'clip.logit_scale',
    ],
}


@pytest.mark.parametrize('source', MODELS_OF)
def test_a_whole_model_goes_there_and_back(source):
    state = fill(MODELS.build(tiny_retriever(**MODELS_OF[source]))).state_dict()
    theirs = from_ours(source, state)
    assert set(OFFICIAL[source]) <= theirs.keys()
    back = to_ours(source, theirs)
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name


@pytest.mark.parametrize('source', MODELS_OF)
def test_a_foreign_name_is_an_error(source):
    with pytest.raises(KeyError, match=f"{source}: no rule for 'clip.visual.extra'"):
        SOURCES[source].to_ours({'clip.visual.extra': torch.ones(1)})
