"""Any vision transformer of MMPretrain as a trunk."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from math import isqrt

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from mmstadapter import weights

from .block import Change, through
from .wrapped import PREFIX, Attend, WrappedBlock, WrappedViT, beside, call

TYPES = ('VisionTransformer', 'mmpretrain.VisionTransformer')
OUT_TYPES = ('cls_token', 'featmap', 'avg_featmap')
# What the trunk decides itself, and who says so here.
REFUSED = {'frozen_stages': "the trunk's tune", 'out_indices': 'nothing, the last layer is read'}
# Parts of a classifier or of a self-supervised method that are not the image encoder.
IGNORED = ('head.*', 'neck.*', 'data_preprocessor.*', 'target_generator.*', 'momentum_encoder.*')


class MMPretrainBlock(WrappedBlock):
    """MMPretrain's ``TransformerEncoderLayer``: pre-norm, layer scale inside its parts."""

    def attention_branch(self, x: Tensor, pre: Change | None, attention: Attend) -> Tensor:
        """(M, L, D) -> (M, L, D), what the block's attention adds to x."""
        return attention(through(pre, self.attention_input(x)))

    def attention_input(self, x: Tensor) -> Tensor:
        """The tokens after the first norm. (M, L, D) -> same."""
        return call(self.block.ln1, x)

    def feed_forward(
        self,
        x: Tensor,
        *,
        pre: Change | None = None,
        post: Change | None = None,
        beside: Change | None = None,
    ) -> Tensor:
        """The MLP and what goes beside it, added to x: (M, L, D) -> same; see `Block`."""
        y = call(self.block.ln2, x)
        if post is None:
            x = call(self.block.ffn, through(pre, y), identity=x)
        else:
            x = x + post(call(self.block.ffn, through(pre, y), identity=0))
        return x if beside is None else x + beside(y)


@MODELS.register_module()
class MMPretrainViT(WrappedViT):
    """A ``mmpretrain.VisionTransformer`` (ImageNet-21K, MAE, DINOv2 ...) behind the verbs.

    Parameters are named ``vit.<MMPretrain's name>``. The image's feature is what
    ``out_type`` says: the class token (``'cls_token'``, the default), the mean of the
    normalised patches (``'featmap'``), or that mean under a norm of its own
    (``'avg_featmap'``). For one frame it equals MMPretrain's own.

    Args:
        vit: config of the transformer as in MMPretrain: ``arch``, ``img_size`` (the
            input's, in pixels), ``patch_size``, ``out_type`` ...; ``type`` may be left out.
        checkpoint: path of a file of MMPretrain, of a classifier, a self-supervised
            method or the transformer alone; positions are resampled to ``img_size``.
        tune, dtype: see `Trunk`.

    Raises:
        ImportError: if MMPretrain is not installed.
        ValueError: for another type of model or options that the trunk decides itself.
    """

    def __init__(
        self,
        vit: dict,
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        lora: dict | None = None,
        quantize: str | None = None,
    ) -> None:
        super().__init__(checkpoint, tune, dtype, lora, quantize)
        self.vit = build_vit(vit)
        self.embed_dims = self.vit.embed_dims
        self.num_prefix_tokens = self.vit.num_extra_tokens
        self.img_size = tuple(self.vit.img_size)
        self.grid = tuple(self.vit.patch_resolution)
        self.patch_size = self.vit.patch_embed.projection.kernel_size[0]
        self.readout_tokens = 1 if self.vit.out_type == 'cls_token' else None
        self.wrapped = [MMPretrainBlock(layer) for layer in self.vit.layers]
        for drop in (m for m in self.vit.modules() if hasattr(m, 'drop_prob')):
            drop.drop_prob = float(drop.drop_prob)  # NumPy's breaks torch.compile's graph
        self.freeze()

    def init_weights(self) -> None:
        """Read the pretrained file; without one, start as MMPretrain does."""
        if self.checkpoint is None and self.source is None:
            self.vit.init_weights()
        super().init_weights()

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """The norms after the last layer."""
        for norm in (getattr(self.vit, n) for n in ('ln1', 'ln2') if hasattr(self.vit, n)):
            yield from norm.parameters()

    def embed(self, frames: Tensor, pre: Change | None = None) -> Tensor:
        """(M, 3, H, W) -> (M, prefix+N, D): patches, class token, positions, pre-norm."""
        self.check_frames(frames)
        vit = self.vit
        x, _ = call(vit.patch_embed, frames)
        if vit.cls_token is not None:
            x = torch.cat([beside(x, vit.cls_token).expand(x.shape[0], -1, -1), x], dim=1)
        x = vit.drop_after_pos(x + beside(x, vit.pos_embed))
        return call(vit.pre_norm, through(pre, x))

    def readout(self, x: Tensor) -> Tensor:
        """The image's feature, (M, L, D) -> (M, D): see the class."""
        if self.vit.out_type == 'cls_token':
            return x[:, 0]
        return self._norm('ln1', x)[:, self.num_prefix_tokens :].mean(dim=1)

    def final_norm(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D): what MMPretrain applies after what `readout` gives."""
        return self._norm({'cls_token': 'ln1', 'avg_featmap': 'ln2'}.get(self.vit.out_type), x)

    def norm_tokens(self, x: Tensor) -> Tensor:
        """Every token under MMPretrain's ``ln1``, (M, L, D) -> same."""
        return self._norm('ln1', x)

    def _norm(self, name: str | None, x: Tensor) -> Tensor:
        """One of the norms after the layers, where the model has it."""
        norm = getattr(self.vit, name, None) if name else None
        return x if norm is None else call(norm, x)

    def read_pretrained(self, checkpoint: str) -> dict[str, Tensor]:
        """The transformer's tensors of a file of MMPretrain."""
        path = weights.locate(checkpoint)
        return pick_backbone(weights.read_tensors(path), str(path))

    def fit_pretrained(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fit the position table to the grid; drop the class token where there is none."""
        fitted, table = dict(tensors), tensors.get(PREFIX + 'pos_embed')
        if self.num_prefix_tokens == 0 and fitted.pop(PREFIX + 'cls_token', None) is not None:
            table = table[:, 1:]
        if table is not None:
            fitted[PREFIX + 'pos_embed'] = self._resample(table)
        return fitted

    def _resample(self, table: Tensor) -> Tensor:
        """(1, prefix + side², D) -> (1, prefix + h*w, D), as MMPretrain does on loading."""
        rows = table.shape[1] - self.num_prefix_tokens
        side = isqrt(max(rows, 0))
        if side**2 != rows or (side, side) == self.grid:
            return table
        print_log(
            f'MMPretrainViT: position table resampled from {side}x{side} to '
            f'{self.grid[0]}x{self.grid[1]}',
            'current',
        )
        extra, mode = self.num_prefix_tokens, self.vit.interpolate_mode
        return self.vit.resize_pos_embed(table, (side, side), self.grid, mode, extra)


def build_vit(config: Mapping) -> nn.Module:
    """The transformer of a config, checked first."""
    config = {k: list(v) if isinstance(v, list) else v for k, v in config.items()}
    kind = config.pop('type', TYPES[0])
    if kind not in TYPES:
        raise ValueError(
            f'MMPretrainViT: vit.type must be {TYPES[1]!r} or left out, got {kind!r}; other '
            'models of MMPretrain have other layers.'
        )
    for name, instead in REFUSED.items():
        if name in config:
            raise ValueError(
                f'MMPretrainViT: leave out vit.{name}={config[name]!r}; use {instead}.'
            )
    out_type = config.get('out_type', OUT_TYPES[0])
    if out_type not in OUT_TYPES:
        raise ValueError(
            f'MMPretrainViT: vit.out_type must be one of {", ".join(OUT_TYPES)}, got {out_type!r}.'
        )
    inits = config.get('init_cfg') or []
    inits = [inits] if isinstance(inits, Mapping) else inits
    if any(init.get('type') == 'Pretrained' for init in inits):
        raise ValueError(
            "MMPretrainViT: leave out vit.init_cfg of type 'Pretrained'; give its file as the "
            "trunk's checkpoint."
        )
    try:
        from mmpretrain.models.backbones import VisionTransformer
    except ImportError as error:
        raise ImportError(
            f'MMPretrainViT: MMPretrain is needed and cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[full]'."
        ) from error
    return VisionTransformer(**config)


def pick_backbone(tensors: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """MMPretrain's state dict -> the transformer's tensors under our names.

    Raises:
        KeyError: for a name that is neither the backbone's nor known to be left out.
    """
    if not any(name.startswith('backbone.') for name in tensors):
        return {PREFIX + name: tensor for name, tensor in tensors.items()}
    picked, ignored = {}, []
    for name, tensor in tensors.items():
        if name.startswith('backbone.'):
            picked[PREFIX + name.removeprefix('backbone.')] = tensor
        elif any(fnmatchcase(name, pattern) for pattern in IGNORED):
            ignored.append(name)
        else:
            raise KeyError(
                f'mmpretrain: no rule for {name!r} of {file}. Known prefixes: backbone, '
                f'{", ".join(p.removesuffix(".*") for p in IGNORED)}.'
            )
    print_log(f'{file}: {len(picked)} tensors of the backbone; ignored: {ignored}', 'current')
    return picked
