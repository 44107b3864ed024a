"""Any vision transformer of timm as a trunk."""

import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import ModuleType

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmstadapter import weights

from .block import Change, through
from .timm_blocks import WRAPPERS
from .wrapped import PREFIX, WrappedViT, beside, call

# What the trunk decides itself, and what to do instead.
REFUSED = {
    'num_classes': 'the head is VideoHead',
    'pretrained': "give the file as the trunk's checkpoint",
    'pretrained_cfg': "give the file as the trunk's checkpoint",
    'pretrained_cfg_overlay': "give the file as the trunk's checkpoint",
    'checkpoint_path': "give the file as the trunk's checkpoint",
    'cache_dir': 'nothing is fetched',
    'patch_drop_rate': 'an adapter needs every patch of the grid',
    'in_chans': 'frames have 3 channels',
}
CLASSES = (1000, 10450, 11221, 11821, 12151, 18841, 21841, 21843)  # ImageNet's sets


@MODELS.register_module()
class TimmViT(WrappedViT):
    """A vision transformer of timm (DINOv2, DINOv3, SigLIP2, EVA-02, PE ...) behind the verbs.

    Parameters are named ``vit.<timm's name>``. The image's feature is timm's own: the
    class token where the model reads that, else what its pooling (average or attention,
    SigLIP's "map") makes of all tokens. For one frame it equals timm's ``forward_head``
    with ``pre_logits=True``; ``options=dict(global_pool='avg')`` chooses another pooling.

    For retrieval (``with_proj``) the model must be the image tower of an image-text model. Its
    joint space is timm's classifier where the model has one by that name (PE-Core, EVA-02 CLIP),
    else the feature itself (SigLIP).

    Args:
        model: a name of timm, such as ``'vit_base_patch16_siglip_224'``, or a built model of
            timm, which keeps its weights and loses its classifier.
        options: arguments for ``timm.create_model``, such as ``img_size`` in pixels.
        checkpoint: path of the model's file under timm's names, of a file of open_clip that
            holds it (PE-Core, SigLIP), of Hugging Face's SigLIP, or of the original release
            where timm converts that; positions are resampled to ``img_size``.
        tune, dtype, lora, quantize: see `Trunk`.
        with_proj: keep the projection into the joint image-text space (retrieval), of timm's
            width or that of ``options=dict(num_classes=...)``.

    Raises:
        ImportError: if timm is not installed.
        ValueError: for an unknown name, a model that is not a sequence of attention and MLP,
            or options that the trunk decides itself.
    """

    def __init__(
        self,
        model: str | nn.Module,
        options: dict | None = None,
        checkpoint: str | None = None,
        tune: str = 'none',
        dtype: str | None = None,
        lora: dict | None = None,
        with_proj: bool = False,
        quantize: str | None = None,
    ) -> None:
        super().__init__(checkpoint, tune, dtype, lora, quantize)
        self.vit = vit = (
            take_vit(model, with_proj)
            if isinstance(model, nn.Module)
            else build_vit(model, dict(options or {}), with_proj)
        )
        self.with_proj = with_proj
        self.model_name = model = name_of(model)
        if tune != 'none' and getattr(getattr(vit, 'rope', None), 'aug_active', False):
            raise ValueError(
                f'TimmViT: {model} moves its rotary positions at random in training, which one '
                'draw for all blocks needs. Set rope_shift_coords, rope_jitter_coords and '
                'rope_rescale_coords to None in the options.'
            )
        self.embed_dims = vit.embed_dim
        self.num_prefix_tokens = vit.num_prefix_tokens
        self.img_size = tuple(vit.patch_embed.img_size)
        self.grid = tuple(vit.patch_embed.grid_size)
        self.patch_size = vit.patch_embed.patch_size[0]
        self.pooling = vit.global_pool or ('avg' if vit.cls_token is None else 'token')
        self.readout_tokens = 1 if self.pooling == 'token' else None
        self.norm_types = (*type(self).norm_types, *plain_norms())
        for attention in (m for m in vit.modules() if hasattr(m, 'qkv_bias_separate')):
            attention.qkv_bias_separate = True  # else timm reads qkv's weight past the layer
        wrapper = WRAPPERS[type(vit.blocks[0]).__name__]
        self.wrapped = [wrapper(block, vit, i) for i, block in enumerate(vit.blocks)]
        self.freeze()

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """Norms, pooling and projection after the last block."""
        after = (self.vit.norm, self.vit.attn_pool, self.vit.fc_norm, self.vit.head)
        for module in (module for module in after if module is not None):
            yield from module.parameters()

    def embed(self, frames: Tensor, pre: Change | None = None) -> Tensor:
        """(M, 3, H, W) -> (M, prefix+N, D): patches, class token, registers, positions, norm."""
        self.check_frames(frames)
        vit = self.vit
        x = call(vit.patch_embed, frames)
        x = x.flatten(1, 2) if x.dim() == 4 else x
        prefix = [beside(x, t) for t in (vit.cls_token, vit.reg_token) if t is not None]
        prefix = [token.expand(x.shape[0], -1, -1) for token in prefix]
        table = 0 if vit.pos_embed is None else beside(x, vit.pos_embed)
        if vit.no_embed_class:  # positions are the patches' alone
            x = torch.cat([*prefix, x + table], dim=1)
        else:
            x = torch.cat([*prefix, x], dim=1) + table
        return call(vit.norm_pre, through(pre, vit.pos_drop(x)))

    def readout(self, x: Tensor) -> Tensor:
        """The image's feature, (M, L, D) -> (M, D): see the class."""
        if self.pooling == 'token':
            return x[:, 0]
        x, vit = call(self.vit.norm, x), self.vit
        if vit.attn_pool is None:
            return vit.pool(x, self.pooling)
        if not getattr(vit, 'pool_include_prefix', True):
            x = x[:, self.num_prefix_tokens :]
        return call(vit.attn_pool, x)

    def final_norm(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D): what timm applies after what `readout` gives."""
        if self.pooling == 'token':
            x = call(self.vit.norm, x)
        return call(self.vit.fc_norm, x)

    def norm_tokens(self, x: Tensor) -> Tensor:
        """What timm's ``forward_features`` gives, (M, L, D) -> same."""
        return call(self.vit.norm, x)

    @property
    def joint_dims(self) -> int:
        """E, the width of the joint image-text space."""
        if not self.with_proj:
            raise self._without_projection()
        return getattr(self.vit.head, 'out_features', self.embed_dims)

    def project(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., E), timm's ``head``, or x where the model has none."""
        if not self.with_proj:
            raise self._without_projection()
        return call(self.vit.head, x)

    def read_pretrained(self, checkpoint: str) -> dict[str, Tensor]:
        """The file's tensors, a classifier left out, under ``vit.<the file's name>``."""
        tensors = weights.load_timm(checkpoint)
        is_projection = self.with_proj and isinstance(self.vit.head, nn.Linear)
        heads = ('head_',) if is_projection else ('head.', 'head_')
        return {PREFIX + n: t for n, t in tensors.items() if not n.startswith(heads)}

    def fit_pretrained(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Names, patches and positions as timm fits them to this model."""
        given = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        if any('radio_model' in name for name in given):
            raise ValueError(
                f'TimmViT: {self.checkpoint} has the names of RADIO. Save the state_dict() of '
                f'timm.create_model({self.model_name!r}, pretrained=True) and give that file.'
            )
        flexi = dict(interpolation='bilinear', antialias=False)  # as timm does for FlexiViT
        convert = sys.modules[type(self.vit).__module__].checkpoint_filter_fn
        fitted = convert(given, self.vit, **(flexi if 'flexi' in self.model_name else {}))
        if self.vit.attn_pool is None:  # another pooling was chosen
            fitted = {n: t for n, t in fitted.items() if not n.startswith('attn_pool.')}
        return {PREFIX + name: tensor for name, tensor in fitted.items()}


def build_vit(model: str, options: dict, with_proj: bool = False) -> nn.Module:
    """Timm's model of random weights, without a classifier unless that projects, checked."""
    timm = import_timm()
    if not timm.is_model(model):
        near = get_close_matches(model, timm.list_models(), 5, 0.3)
        raise ValueError(f'TimmViT: timm has no model {model!r}; near: {", ".join(near)}.')
    for name, instead in REFUSED.items():
        if name in options and not (with_proj and name == 'num_classes'):
            raise ValueError(f'TimmViT: leave out options[{name!r}]: {instead}.')
    classes = 0
    if with_proj:
        classes = options.pop('num_classes', timm.get_pretrained_cfg_value(model, 'num_classes'))
        refuse_classifier(model, classes)
    return checked(timm.create_model(model, num_classes=classes or 0, **options), model)


def refuse_classifier(model: str, classes: int) -> None:
    """Raise for a model whose head was trained for classes, as timm's page of it says."""
    if classes in CLASSES:
        raise ValueError(
            f'TimmViT: with_proj needs the image tower of an image-text model, but the head of '
            f'{model} has {classes} classes. Take one such as vit_pe_core_base_patch16_224.fb, '
            'vit_base_patch16_siglip_224.v2_webli or eva02_base_patch16_clip_224.merged2b.'
        )


def take_vit(vit: nn.Module, with_proj: bool = False) -> nn.Module:
    """A built model of timm without its classifier unless that projects, checked."""
    checked(vit, name_of(vit))
    if not isinstance(getattr(vit, 'patch_drop', None), nn.Identity | None):
        raise ValueError(
            f'TimmViT: {name_of(vit)} drops patches at random, and an adapter needs every patch '
            'of the grid. Build it without patch_drop_rate.'
        )
    if not with_proj:
        vit.reset_classifier(0)
    return vit


def name_of(model: str | nn.Module) -> str:
    """A model's name in timm."""
    if isinstance(model, str):
        return model
    known = getattr(model, 'pretrained_cfg', None) or {}
    return known.get('architecture') or type(model).__name__


def checked(vit: nn.Module, model: str) -> nn.Module:
    """The model, if its attention and MLP can be told apart."""
    timm = import_timm()
    kind, block = type(vit), type(getattr(vit, 'blocks', [None])[0]).__name__
    known = (timm.models.VisionTransformer, timm.models.Eva)
    methods = ('forward_features', 'forward_head', 'pool', '_pos_embed')  # what we rely on
    as_known = any(all(getattr(kind, m, 0) is getattr(k, m) for m in methods) for k in known)
    if not as_known or block not in WRAPPERS:
        raise ValueError(
            f'TimmViT: {model} is a {kind.__name__} of {block}s; a trunk must be a '
            f'VisionTransformer or Eva of {", ".join(WRAPPERS)}, where attention and MLP can be '
            'told apart.'
        )
    return vit


def import_timm() -> ModuleType:
    """The library, or an error that says how to install it."""
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f'TimmViT: timm is needed and cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[timm]'."
        ) from error
    return timm


def plain_norms() -> tuple[type[nn.Module], ...]:
    """Timm's norms that are none of torch's."""
    layers = import_timm().layers
    names = ('RmsNorm', 'RmsNormFp32', 'SimpleNorm', 'SimpleNormFp32')
    return tuple(getattr(layers, name) for name in names if hasattr(layers, name))
