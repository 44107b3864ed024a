"""The tables of official Side4Video files: CLIP and EVA trunks, recognition and retrieval."""

from dataclasses import dataclass

from torch import Tensor

from .tables import Rule, Source

SIDE = 'backbone.side.'
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


@dataclass(frozen=True)
class PointwiseRule(Rule):
    """A linear map of ours that is a 1x1x1 convolution elsewhere."""

    def join(self, parts: list[Tensor]) -> Tensor:
        """(out, in, 1, 1, 1) -> (out, in)."""
        return parts[0].flatten(1)

    def split(self, whole: Tensor) -> list[Tensor]:
        """(out, in) -> (out, in, 1, 1, 1)."""
        return [whole[..., None, None, None]]


def _both(ours: str, theirs: str) -> tuple[Rule, ...]:
    return tuple(Rule(f'{ours}.{kind}', (f'{theirs}.{kind}',)) for kind in ('weight', 'bias'))


def _norm(ours: str, theirs: str) -> tuple[Rule, ...]:
    """A batch norm: parameters and running statistics."""
    statistics = (Rule(f'{ours}.{name}', (f'{theirs}.{name}',)) for name in STATISTICS)
    return (*_both(ours, theirs), *statistics)


def _pointwise(ours: str, theirs: str) -> tuple[Rule, ...]:
    return (
        PointwiseRule(f'{ours}.weight', (f'{theirs}.weight',)),
        Rule(f'{ours}.bias', (f'{theirs}.bias',)),
    )


def _packed(ours: str, theirs: str, names: tuple[str, ...]) -> tuple[Rule, ...]:
    """Queries, keys and values of one matrix of ours, under one name or three of theirs."""
    return tuple(
        Rule(f'{ours}.{kind}', tuple(theirs + name.format(kind) for name in names))
        for kind in ('weight', 'bias')
    )


def _block_rules(block: str, conv: tuple[str, ...], norms: tuple[str, str], eva: bool):
    """A side block; ``block`` is their prefix with ``{}`` for its number."""
    ours = SIDE + 'blocks.{}.'
    names = ('q_proj.{}', 'k_proj.{}', 'v_proj.{}') if eva else ('in_proj_{}',)
    return (
        *_norm(ours + 'bn_1', block + norms[0]),
        *_pointwise(ours + 'conv.pw1', block + conv[0]),
        *_both(ours + 'conv.dw', block + conv[1]),
        *_pointwise(ours + 'conv.pw2', block + conv[2]),
        *_both(ours + 'ln_1', block + 'ln_1'),
        *_packed(ours + 'attn.in_proj', block + 'attn.', names),
        *_both(ours + 'attn.out_proj', block + ('attn.proj' if eva else 'attn.out_proj')),
        *_norm(ours + 'bn_2', block + norms[1]),
        *_both(ours + 'mlp.fc1', block + ('mlp.0' if eva else 'mlp.fc1')),
        *_both(ours + 'mlp.fc2', block + ('mlp.2' if eva else 'mlp.fc2')),
    )


def visual_rules(
    trunk_names: tuple[str, ...], eva: bool, retrieval: bool, prefix: str = 'visual.'
) -> tuple[Rule, ...]:
    """Rules of trunk and side network.

    Args:
        trunk_names: names of the trunk's tensors, the same on both sides.
        eva: whether the trunk is EVA-CLIP's.
        retrieval: whether the file is a retrieval model's.
        prefix: what the names of the visual part start with.
    """
    inner = prefix if eva else f'{prefix}transformer.'
    block = inner + ('side_blocks.{}.' if eva else 'side_transformer.{}.')
    named = retrieval and not eva
    conv = ('pw_conv1', 'dw_conv1', 'pw_conv2') if named else ('conv.0', 'conv.1', 'conv.2')
    norms = ('norm1', 'norm2') if named else ('bn_1', 'bn_2')
    positions = f'{inner}side_spatial_position_embeddings'
    ends = () if eva and not retrieval else _norm(SIDE + 'norm', f'{prefix}side_post_bn')
    up = (Rule(SIDE + 'up', (f'{prefix}side_proj',)),) if retrieval else ()
    return (
        *(Rule('backbone.trunk.' + name, (prefix + name,)) for name in trunk_names),
        *_both(SIDE + 'stem.conv', f'{prefix}side_conv1'),
        *_norm(SIDE + 'stem.norm', f'{prefix}side_pre_bn3d'),
        Rule(SIDE + 'position_embedding', (positions,)),
        *_both(SIDE + 'blocks.{}.down.norm', inner + 'side_lns.{}'),
        *_both(SIDE + 'blocks.{}.down.linear', inner + 'side_linears.{}'),
        *_block_rules(block, conv, norms, eva),
        *ends,
        *up,
    )


def recognition_sources(clip_names: tuple[str, ...], eva_names: tuple[str, ...]) -> list[Source]:
    """The recognisers with CLIP and with EVA trunks.

    The official CLIP recogniser has no ``ln_post`` and no ``proj``; ours has them in its
    trunk and does not use them.
    """
    head = _both('cls_head.fc_cls', 'fc')
    clip = tuple(n for n in clip_names if not n.startswith(('ln_post.', 'proj')))
    ours_alone = ('backbone.trunk.fingerprint', 'backbone.trunk.ln_post.*', 'backbone.trunk.proj')
    return [
        Source(
            'side4video-clip',
            'model',
            (*visual_rules(clip, eva=False, retrieval=False), *head),
            ignored_ours=ours_alone,
        ),
        Source(
            'side4video-eva',
            'model',
            (*visual_rules(eva_names, eva=True, retrieval=False), *head),
            ignored_ours=ours_alone[:1],
        ),
    ]
