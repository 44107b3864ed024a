"""What `HFVideoViT` knows of each of transformers' video encoders: parts, names, options."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from ...weights.clip_names import renamed
from ...weights.tables import Rule, Source
from .block import Change, through
from .wrapped import Attend, WrappedBlock, call


class VJEPA2Block(WrappedBlock):
    """transformers' ``VJEPA2Layer``: pre-norm, rotary positions inside its attention."""

    norms = ('norm1', 'norm2')

    @property
    def attn(self) -> nn.Module:
        """The library's attention."""
        return self.block.attention

    def attention_branch(self, x: Tensor, pre: Change | None, attention: Attend) -> Tensor:
        """(B, L, D) -> (B, L, D), what the block's attention adds to x."""
        found = attention(through(pre, self.attention_input(x)))
        return self.dropped(found[0] if isinstance(found, tuple) else found)

    def attend(self, x: Tensor, num_queries: int | None = None, **seams) -> Tensor:
        """Give x + post(attention branch); see `WrappedBlock`. The attention takes no seams."""
        if seams.pop('mix', None) is not None or seams.pop('bias', None) is not None:
            self.require_plain('to take mix or bias')
        pre, post = seams.pop('pre', None), seams.pop('post', None)
        branch = self.attention_branch(x, pre, lambda y: call(self.attn, y))
        return x[:, :num_queries] + through(post, branch[:, :num_queries])

    def attention_input(self, x: Tensor) -> Tensor:
        """The tokens after the first norm. (B, L, D) -> same."""
        return call(getattr(self.block, self.norms[0]), x)

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """The MLP and what goes beside it, added to x: (B, L, D) -> same; see `Block`."""
        y = call(getattr(self.block, self.norms[1]), x)
        x = x + through(post, self.dropped(self.mlp(through(pre, y))))
        return x if beside is None else x + beside(y)

    def mlp(self, y: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        return call(self.block.mlp, y)

    def dropped(self, x: Tensor) -> Tensor:
        """A branch under the block's drop path. (B, L, D) -> same."""
        return self.block.drop_path(x)


class VideoMAEBlock(VJEPA2Block):
    """transformers' ``VideoMAELayer``: pre-norm, positions added before the first."""

    norms = ('layernorm_before', 'layernorm_after')

    def mlp(self, y: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        output = self.block.output  # whose own forward adds the stream
        return output.dropout(call(output.dense, call(self.block.intermediate, y)))

    def dropped(self, x: Tensor) -> Tensor:
        """A branch as it is."""
        return x


def official(name: str, layer: str, parts: dict[str, str], around: dict[str, str]) -> Source:
    """The table from the authors' names to transformers', which has three maps for their one.

    Args:
        name: of the model.
        layer: transformers' name of a block.
        parts: module of a block -> transformers' name for it, ``qkv`` for the attention's.
        around: module outside of the blocks -> transformers' name for it.
    """
    qkv = parts['qkv']
    parts = {ours: theirs for ours, theirs in parts.items() if ours != 'qkv'}
    split = [
        Rule(
            f'blocks.{{}}.attn.qkv.{kind}',
            tuple(f'{layer}{qkv}.{x}.{kind}' for x in ('query', 'key', 'value')),
        )
        for kind in ('weight', 'bias')
    ]
    biases = [
        Rule(f'blocks.{{}}.attn.{x[0]}_bias', (f'{layer}{qkv}.{x}.bias',))
        for x in ('query', 'value')
    ]
    rules = (*renamed(parts, 'blocks.{}.', layer), *renamed(around))
    one_bias = split if name == 'vjepa2' else [split[0], *biases]
    return Source(name, 'trunk', (*rules, *one_bias))


@dataclass(frozen=True)
class VideoModel:
    """One of transformers' video encoders.

    Attributes:
        model: class of transformers, whose configuration is called ``<...>Config``.
        block: what puts the verbs around its blocks.
        encoder: where blocks and the last norm are, a dotted name; '' for the model itself.
        layers: name of the blocks in transformers.
        sizes: our name of a size -> its configuration's.
        img_size: pixels, by default.
        fixed: whether its positions are those of one number of frames.
        official: the authors' names, see `official`.
        ignored: what its files hold beside the encoder.
        options: of its configuration, which leave out what no encoder needs.
        decisive: what a file's configuration must share, since shapes do not tell it.
    """

    model: str
    block: type[VJEPA2Block]
    encoder: str
    layers: str
    sizes: dict[str, str]
    img_size: int
    fixed: bool
    official: Source
    ignored: tuple[str, ...]
    options: dict = field(default_factory=dict)
    decisive: tuple[str, ...] = ('hidden_act', 'layer_norm_eps', 'num_attention_heads')


COMMON = dict(
    embed_dims='hidden_size',
    num_layers='num_hidden_layers',
    num_heads='num_attention_heads',
    patch_size='patch_size',
)
MODELS_OF = {
    'vjepa2': VideoModel(
        'VJEPA2Model',
        VJEPA2Block,
        'encoder',
        'encoder.layer',
        COMMON | dict(img_size='crop_size', num_frames='frames_per_clip', mlp_ratio='mlp_ratio'),
        img_size=256,
        fixed=False,
        official=official(
            'vjepa2',
            'encoder.layer.{}.',
            {
                'qkv': 'attention',
                'norm1': 'norm1',
                'attn.proj': 'attention.proj',
                'norm2': 'norm2',
                'mlp.fc1': 'mlp.fc1',
                'mlp.fc2': 'mlp.fc2',
            },
            {
                'patch_embed.proj': 'encoder.embeddings.patch_embeddings.proj',
                'norm': 'encoder.layernorm',
            },
        ),
        ignored=('predictor.*', 'pooler.*', 'classifier.*'),
        options=dict(pred_num_hidden_layers=0),
    ),
    'videomae': VideoModel(
        'VideoMAEModel',
        VideoMAEBlock,
        '',
        'encoder.layer',
        COMMON
        | dict(img_size='image_size', num_frames='num_frames', mlp_dims='intermediate_size'),
        img_size=224,
        fixed=True,
        official=official(
            'videomae',
            'encoder.layer.{}.',
            {
                'qkv': 'attention.attention',
                'norm1': 'layernorm_before',
                'attn.proj': 'attention.output.dense',
                'norm2': 'layernorm_after',
                'mlp.fc1': 'intermediate.dense',
                'mlp.fc2': 'output.dense',
            },
            {'patch_embed.proj': 'embeddings.patch_embeddings.projection', 'norm': 'layernorm'},
        ),
        ignored=(
            'decoder.*', 'encoder_to_decoder.*', 'mask_token', 'position_embeddings',
            'pos_embed', 'classifier.*', 'head.*', 'fc_norm.*', 'decoder_*',
        ),
        decisive=('hidden_act', 'layer_norm_eps', 'num_attention_heads', 'use_mean_pooling'),
    ),
}  # fmt: skip
