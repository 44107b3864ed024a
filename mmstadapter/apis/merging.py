"""Files of models whose adapters have become part of their encoders."""

from pathlib import Path

from mmengine.config import Config
from torch import nn

from .. import weights
from ..engine.tuned_checkpoint import write_adapter
from ..models.backbones.zeroi2v import ZeroI2VViT
from ..models.interpolation import interpolate
from ..models.lora_folding import encoders_with_lora, fold, fold_beside
from ..models.merging import merged
from .adapter_model import read_model

BESIDE = dict(backbone='backbone.trunk', text_tower='text_tower')  # who may have such maps
TRUNKS = dict(CLIPViT='openai-clip', EVAViT='eva-clip')  # whose names a trunk's file has


def merge(
    adapter: str | Path,
    out: str | Path,
    trunk: str | Path | None = None,
    checkpoint: str | None = None,
    share: float | None = None,
) -> None:
    """Merge the linear adapters of an adapter file, and write the model as a file like it.

    LoRA and DoRA go into the encoders they are in, ZeroI2V's adapters into its trunk, TempMe's
    low-rank maps into both towers. What else was trained stays as it is.

    Args:
        adapter: a file that `mmstadapter fit` or `mmstadapter publish` wrote.
        out: the .safetensors file to write; it holds the encoders that were changed, which name
            no pretrained file.
        trunk: where to write the merged image model alone, under OpenAI's names, or EVA's.
        checkpoint: the trunk's pretrained file or known name; see :func:`trunk_file` if None.
        share: of the trained weights, from 0 to 1, the rest being the pretrained ones; see
            :func:`interpolate`. All of them if None.

    Raises:
        TypeError: if it has no linear adapters, or its trunk is none that can be written.
        ValueError, RuntimeError, FileNotFoundError: see :func:`read_model`.
    """
    model, _, _, header = read_model(adapter, checkpoint)
    kind = type(model.backbone.trunk).__name__
    if trunk is not None and kind not in TRUNKS:
        raise TypeError(f'merge: --trunk writes {" and ".join(TRUNKS)}, this one is {kind}.')
    config, beside = Config(header['config']), [n for n in BESIDE if has_maps(model, n)]
    changed = merge_model(model) if share is None else interpolate(model, share)
    for name in changed:
        part = config.model
        for key in name.split('.'):
            part = part[key]
        part.update(checkpoint=None, dtype=None, lora=None)
    if isinstance(model.backbone, ZeroI2VViT):
        config.model.backbone.update(adapters=[])
    for name in beside:
        config.model[name].update(lora_dims=0)
    same = ('labels', 'none_of_these') if share is None else ('labels',)  # what its scores bear out
    metadata = {key: header[key] for key in same if key in header}
    write_adapter(out, model, config, whole=True, **metadata)
    if trunk is not None:
        tower = model.backbone.trunk.state_dict()
        weights.save_lazily(weights.from_ours(TRUNKS[kind], tower), Path(trunk), dict(format='pt'))


def merge_model(model: nn.Module) -> list[str]:
    """Merge the linear adapters of a model, in place; names of the encoders that were changed."""
    changed = encoders_with_lora(model)
    for encoder in changed.values():
        fold(encoder)
    for owner in (name for name in BESIDE if has_maps(model, name)):
        changed[BESIDE[owner]] = encoder = model.get_submodule(BESIDE[owner])
        fold_beside(model.get_submodule(owner), encoder)
    if isinstance(model.backbone, ZeroI2VViT) or not changed:
        model.backbone = merged(model.backbone)
        return sorted({*changed, 'backbone.trunk'})
    return sorted(changed)


def has_maps(model: nn.Module, name: str) -> bool:
    """Whether a part of a model has low-rank maps beside an encoder's attentions."""
    return bool(len(getattr(getattr(model, name, None), 'low_rank', ())))
