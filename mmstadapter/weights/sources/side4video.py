"""Official Side4Video: recognition and retrieval, with CLIP and with EVA-CLIP trunks."""

from dataclasses import dataclass

from torch import Tensor

from ..clip_names import KINDS, TRUNK_NAMES, both, renamed, same
from ..tables import Rule, Source
from .clip4clip import header_rules, retriever, text_rules
from .eva_clip import TRUNK_NAMES as EVA_NAMES

SIDE = 'backbone.side.'
BLOCK = SIDE + 'blocks.{}.'
CLIP_MODULES = {name: name for name in ('attn.out_proj', 'mlp.fc1', 'mlp.fc2')}
EVA_MODULES = {'attn.out_proj': 'attn.proj', 'mlp.fc1': 'mlp.0', 'mlp.fc2': 'mlp.2'}
NORM = (*KINDS, 'running_mean', 'running_var', 'num_batches_tracked')


@dataclass(frozen=True)
class PointwiseRule(Rule):
    """A linear map of ours that is a 1x1x1 convolution elsewhere."""

    def join(self, parts: list[Tensor]) -> Tensor:
        """(out, in, 1, 1, 1) -> (out, in)."""
        return parts[0].flatten(1)

    def split(self, whole: Tensor) -> list[Tensor]:
        """(out, in) -> (out, in, 1, 1, 1)."""
        return [whole[..., None, None, None]]


def visual_rules(eva: bool, retrieval: bool, prefix: str) -> tuple[Rule, ...]:
    """Rules of trunk and side network.

    Args:
        eva: whether the trunk is EVA-CLIP's.
        retrieval: whether the file is a retrieval model's.
        prefix: what the names of the visual part start with.
    """
    inner = prefix if eva else f'{prefix}transformer.'
    block = inner + ('side_blocks.{}.' if eva else 'side_transformer.{}.')
    ends = {'stem.norm': 'side_pre_bn3d'}
    if retrieval or not eva:
        ends['norm'] = 'side_post_bn'
    return (
        *same(_trunk_names(eva, retrieval), 'backbone.trunk.', prefix),
        *renamed({'stem.conv': 'side_conv1'}, SIDE, prefix),
        *renamed(ends, SIDE, prefix, NORM),
        Rule(SIDE + 'position_embedding', (f'{inner}side_spatial_position_embeddings',)),
        *renamed({'down.norm': 'side_lns.{}', 'down.linear': 'side_linears.{}'}, BLOCK, inner),
        *_block_rules(block, eva, named=retrieval and not eva),
        *([Rule(SIDE + 'up', (f'{prefix}side_proj',))] if retrieval else ()),
    )


def _trunk_names(eva: bool, retrieval: bool) -> tuple[str, ...]:
    """The official CLIP recogniser has no ``ln_post`` and no ``proj``; ours does not use them."""
    if eva:
        return EVA_NAMES
    if retrieval:
        return (*TRUNK_NAMES, 'proj')
    return tuple(n for n in TRUNK_NAMES if n not in both('ln_post'))


def _block_rules(block: str, eva: bool, named: bool) -> tuple[Rule, ...]:
    """A side block.

    Args:
        block: their prefix, with ``{}`` for its number.
        eva: whether it stands beside EVA-CLIP.
        named: whether convolutions are named, and norms named otherwise.
    """
    pw1, dw, pw2 = ('pw_conv1', 'dw_conv1', 'pw_conv2') if named else ('conv.0', 'conv.1', 'conv.2')
    norms = dict(bn_1='norm1', bn_2='norm2') if named else dict(bn_1='bn_1', bn_2='bn_2')
    modules = {'conv.dw': dw, 'ln_1': 'ln_1', **(EVA_MODULES if eva else CLIP_MODULES)}
    pointwise = {'conv.pw1': pw1, 'conv.pw2': pw2}
    packed = ('q_proj.', 'k_proj.', 'v_proj.') if eva else ('in_proj_',)
    return (
        *renamed(norms, BLOCK, block, NORM),
        *renamed(modules, BLOCK, block),
        *renamed(pointwise, BLOCK, block, ('weight',), PointwiseRule),
        *renamed(pointwise, BLOCK, block, ('bias',)),
        *(
            Rule(f'{BLOCK}attn.in_proj.{kind}', tuple(f'{block}attn.{p}{kind}' for p in packed))
            for kind in KINDS
        ),
    )


def _recogniser(name: str, eva: bool) -> Source:
    rules = (*visual_rules(eva, False, 'visual.'), *renamed({'cls_head.fc_cls': 'fc'}))
    ours_alone = ('fingerprint',) if eva else ('fingerprint', 'ln_post.*', 'proj')
    ignored_ours = tuple('backbone.trunk.' + name for name in ours_alone)
    return Source(name, 'model', rules, ignored_ours=ignored_ours, part_of_trunk=not eva)


# The MLPs that weigh words and frames; {} is the place in the MLP.
TOKENS = renamed(
    {f'{side}_weight.{{}}': f'{side}_weight_fc.{{}}' for side in ('text', 'video')}, 'similarity.'
)
SOURCES = (
    _recogniser('side4video-clip', eva=False),
    _recogniser('side4video-eva', eva=True),
    retriever(
        'side4video-retrieval',
        *visual_rules(False, True, 'clip.visual.'),
        *text_rules('clip.'),
        *TOKENS,
        *header_rules('side_transformerClip'),
    ),
    retriever(
        'side4video-retrieval-eva',
        *visual_rules(True, True, 'clip.visual.'),
        *text_rules('clip.text.'),
        *TOKENS,
    ),
)
