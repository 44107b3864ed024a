"""Files of models whose adapters have become part of their trunk."""

from pathlib import Path

from mmengine.config import Config

from .. import weights
from ..engine.tuned_checkpoint import write_adapter
from ..models.merging import merged
from .adapter_model import read_model


def merge(
    adapter: str | Path,
    out: str | Path,
    trunk: str | Path | None = None,
    checkpoint: str | None = None,
) -> None:
    """Merge the adapters of an adapter file, and write the model as a file like it.

    Args:
        adapter: a file that `mmstadapter fit` or `mmstadapter publish` wrote.
        out: the .safetensors file to write; it holds the trunk and names no pretrained file.
        trunk: where to write the merged image model alone, under OpenAI's names.
        checkpoint: the trunk's pretrained file or known name; see :func:`trunk_file` if None.

    Raises:
        TypeError: if its adapters are not linear, or its trunk is none of CLIP's.
        ValueError, RuntimeError, FileNotFoundError: see :func:`read_model`.
    """
    model, _, _, header = read_model(adapter, checkpoint)
    model.backbone = merged(model.backbone)
    config = Config(header['config'])
    config.model.backbone.update(adapters=[])
    config.model.backbone.trunk.update(checkpoint=None, dtype=None)
    labels = {key: header[key] for key in ('labels',) if key in header}
    write_adapter(out, model, config, whole=True, **labels)
    if trunk is not None:
        tower = model.backbone.trunk.state_dict()
        weights.save_lazily(weights.from_ours('openai-clip', tower), Path(trunk), dict(format='pt'))
