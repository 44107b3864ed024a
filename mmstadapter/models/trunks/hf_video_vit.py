"""Video encoders of transformers, which read tubelets of several frames, as trunks."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from mmstadapter import weights

from .block import Change, through
from .sizes import resolve_arch, resolve_size
from .video_models import MODELS_OF, VideoModel
from .wrapped import PREFIX, WrappedViT, call

# Sizes without those of the frames, which the model tells.
ARCHS: dict[str, dict] = {
    'vit-s-p16': dict(patch_size=16, embed_dims=384, num_layers=12, num_heads=6),
    'vit-b-p16': dict(patch_size=16, embed_dims=768, num_layers=12, num_heads=12),
    'vit-l-p16': dict(patch_size=16, embed_dims=1024, num_layers=24, num_heads=16),
    'vit-h-p16': dict(patch_size=16, embed_dims=1280, num_layers=32, num_heads=16),
    'vit-g-p16': dict(
        patch_size=16, embed_dims=1408, num_layers=40, num_heads=22, mlp_ratio=48 / 11
    ),
}
REQUIRED = ('patch_size', 'embed_dims', 'num_layers', 'num_heads')


@MODELS.register_module()
class HFVideoViT(WrappedViT):
    """V-JEPA 2 or VideoMAE, as transformers has them, behind the verbs of a trunk.

    It takes clips, not frames: ``embed`` makes a token of each tubelet of ``tubelet_size``
    frames and one patch, T/tubelet_size · h · w tokens a clip. Parameters are named
    ``vit.<transformers' name>``. The clip's feature is the mean of the tokens behind the last
    norm, where the model has one there.

    Args:
        model: ``'vjepa2'``, or ``'videomae'``, which VideoMAE V2 and the ViTs of InternVideo are.
        arch: a name from `ARCHS` or a dict with ``patch_size``, ``embed_dims``, ``num_layers``,
            ``num_heads`` and, if wanted, ``mlp_ratio``.
        img_size: side of the frames in pixels; 256 of V-JEPA 2, 224 of VideoMAE.
        num_frames: T. V-JEPA 2 takes other numbers as well.
        tubelet_size: frames of a tubelet.
        options: other fields of transformers' configuration, such as ``use_mean_pooling``.
        checkpoint: a file, a folder of ``save_pretrained`` or ``hf:OWNER/NAME``, under the
            names of transformers or of the authors. A ``config.json`` beside it must agree.
        tune, dtype, lora, quantize: see `Trunk`.

    Raises:
        ImportError: if transformers is not installed.
        ValueError: for an unknown model, arch or option.
    """

    takes_clips = True
    num_prefix_tokens = 0
    readout_tokens = None

    def __init__(
        self, model: str = 'vjepa2', arch: str | dict = 'vit-l-p16', img_size: int | None = None,
        num_frames: int = 16, tubelet_size: int = 2, options: dict | None = None,
        checkpoint: str | None = None, tune: str = 'none', dtype: str | None = None,
        lora: dict | None = None, quantize: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(checkpoint, tune, dtype, lora, quantize)
        if model not in MODELS_OF:
            raise ValueError(
                f'HFVideoViT: model must be one of {", ".join(MODELS_OF)}, got {model!r}.'
            )
        self.kind = kind = MODELS_OF[model]
        sizes = resolve_arch('HFVideoViT', arch, ARCHS, ('mlp_ratio',), REQUIRED)
        self.embed_dims, self.patch_size = sizes['embed_dims'], sizes['patch_size']
        self.img_size, self.grid = resolve_size(
            'HFVideoViT', img_size or kind.img_size, self.patch_size
        )
        self.num_frames, self.tubelet_size = num_frames, tubelet_size
        sizes |= dict(img_size=self.img_size[0], num_frames=num_frames)
        self.vit = built(kind, sizes, dict(options or {}, tubelet_size=tubelet_size))
        self.wrapped = [kind.block(block) for block in self.vit.get_submodule(kind.layers)]
        self.freeze()

    @property
    def encoder(self) -> nn.Module:
        """What holds embeddings, blocks and the last norm."""
        return self.vit.get_submodule(self.kind.encoder)

    @property
    def has_class_token(self) -> bool:
        """No token is one."""
        return False

    def parameters_after_blocks(self) -> Iterator[nn.Parameter]:
        """The norm after the last block, where there is one."""
        if self.encoder.layernorm is not None:
            yield from self.encoder.layernorm.parameters()

    def embed(self, video: Tensor, pre: Change | None = None) -> Tensor:  # type: ignore[override]
        """pre(tokens + positions). Clips (B, 3, T, H, W) -> (B, T/tubelet_size · h · w, D)."""
        self.check_clips(video)
        given = dict(bool_masked_pos=None) if self.kind.fixed else {}
        return through(pre, call(self.encoder.embeddings, video.transpose(1, 2), **given))

    def check_clips(self, video: Tensor) -> None:
        """Raise unless weights are there and clips (B, 3, T, H, W) are such as it can take."""
        self.check_frames(video[:, :, 0])
        frames, wanted = video.shape[2], self.num_frames
        if frames % self.tubelet_size or (self.kind.fixed and frames != wanted):
            need = f'{wanted}' if self.kind.fixed else f'a multiple of {self.tubelet_size}'
            raise ValueError(
                f'HFVideoViT: a clip must have {need} frames, got {frames}. Set clip_len, or '
                "num_frames and tubelet_size in the trunk if that is the file's."
            )

    def norm_tokens(self, x: Tensor) -> Tensor:
        """Every token under the last norm, where there is one. (B, L, D) -> same."""
        norm = self.encoder.layernorm
        return x if norm is None else call(norm, x)

    def readout(self, x: Tensor) -> Tensor:
        """The clip's feature, the mean of its tokens. (B, L, D) -> (B, D)."""
        return self.norm_tokens(x).mean(dim=1)

    def final_norm(self, x: Tensor) -> Tensor:
        """What `readout` gives is normed already. (..., D) -> same."""
        return x

    def read_pretrained(self, checkpoint: str) -> Mapping[str, Tensor]:
        """The encoder's tensors of a file, under ``vit.<transformers' name>``."""
        path = weights.locate(checkpoint)
        check_config(path, self.vit.config, self.kind)
        tensors = pick_encoder(weights.read_tensors(path), self.kind, str(path))
        if self.encoder.layernorm is None:  # by use_mean_pooling
            tensors = {n: t for n, t in tensors.items() if not n.startswith('layernorm.')}
        return {PREFIX + name: tensor for name, tensor in tensors.items()}


def built(kind: VideoModel, sizes: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    """Transformers' model of random weights, with no more than the encoder needs."""
    transformers = import_transformers()
    ratio = sizes.pop('mlp_ratio', 4)
    dims = dict(mlp_ratio=ratio, mlp_dims=int(ratio * sizes['embed_dims'])) | sizes
    fields = {theirs: dims[ours] for ours, theirs in kind.sizes.items()}
    configuration = getattr(transformers, kind.model.replace('Model', 'Config'))
    known = vars(configuration())
    wrong = sorted(name for name in options if name not in known or name in fields)
    if wrong:
        raise ValueError(
            f'HFVideoViT: options are fields of {configuration.__name__} other than the sizes, '
            f'which have arguments of their own; got {", ".join(wrong)}.'
        )
    vit = getattr(transformers, kind.model)(configuration(**kind.options | fields | options))
    if hasattr(vit, 'predictor'):
        del vit.predictor
    embeddings = vit.get_submodule(kind.encoder).embeddings
    table = getattr(embeddings, 'position_embeddings', None)
    if table is not None and not isinstance(table, nn.Parameter):  # else it stays on the CPU
        del embeddings.position_embeddings
        embeddings.register_buffer('position_embeddings', table, persistent=False)
    return vit


def pick_encoder(tensors: Mapping[str, Tensor], kind: VideoModel, file: str) -> dict[str, Tensor]:
    """A file's tensors -> the encoder's under transformers' names; what is left out is logged.

    Heads, predictors and decoders are left out. What else is of no use is found when loading.
    """
    prefixes = (kind.model.removesuffix('Model').lower() + '.', 'backbone.')
    names = {name: name for name in tensors}
    for prefix in prefixes:
        names = {name: bare.removeprefix(prefix) for name, bare in names.items()}
    if any(bare.startswith('encoder.blocks.') for bare in names.values()):  # before fine-tuning
        names = {name: bare.removeprefix('encoder.') for name, bare in names.items()}
    left = [n for n, bare in names.items() if any(fnmatchcase(bare, p) for p in kind.ignored)]
    kept = {bare: tensors[name] for name, bare in names.items() if name not in left}
    said = f'{len(kept)} tensors of the encoder; ignored: {left or "nothing"}'
    print_log(f'{file}: {said}', 'current')
    if any(name.startswith('blocks.') for name in kept):
        return kind.official.from_ours(kept)
    old = {'attention.q_bias': 'attention.query.bias', 'attention.v_bias': 'attention.value.bias'}
    return {_ending(name, old): tensor for name, tensor in kept.items()}


def _ending(name: str, endings: Mapping[str, str]) -> str:
    """A name with another ending, where it has one of these."""
    for ending, new in endings.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + new
    return name


def check_config(path: Path, config: Any, kind: VideoModel) -> None:
    """Refuse a file whose configuration computes something else: shapes alone do not tell.

    Raises:
        ValueError: if a ``config.json`` beside the file says another model, or other settings.
    """
    file = path.with_name('config.json')
    if not file.is_file():
        return
    try:
        stored = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{file} is no JSON ({error}). Fetch it again, or remove it.') from None
    if stored.get('model_type', config.model_type) != config.model_type:
        raise ValueError(
            f'{path} is of a {stored["model_type"]} (says {file}), the trunk is a '
            f"{config.model_type}. Set the trunk's model, or give another file."
        )
    theirs = {name: stored.get(name, getattr(type(config)(), name)) for name in kind.decisive}
    other = {name: value for name, value in theirs.items() if value != getattr(config, name)}
    if other:
        ours = {name: getattr(config, name) for name in other}
        raise ValueError(
            f'{path} was trained with {other} (says {file}), the trunk computes {ours} and would '
            "give wrong features. Set the trunk's arch or options."
        )


def import_transformers() -> ModuleType:
    """The library, or an error that says how to install it."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            f'HFVideoViT: transformers is needed and cannot be imported ({error}). '
            "Install it with pip install 'mmstadapter[transformers]'."
        ) from error
    return transformers
