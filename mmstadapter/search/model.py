"""The retrieval model of an index: what it is, whether it is the same, what it makes of inputs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from safetensors import SafetensorError
from torch import Tensor, nn

from .. import weights
from ..apis.device import choose_device
from ..apis.stored_config import stored_config
from ..models.pretrained import Pretrained
from .windows import Segment, segments

# What changes no feature, or is no more than where the same weights lie.
IRRELEVANT = {
    *('checkpoint', 'init_cfg', 'dtype', 'tune', 'with_cp', 'frames_per_pass', '_scope_'),
    *('loss', 'gather', 'micro_batch'),
}


class SearchModel:
    """A trained :class:`Retriever` with its test pipeline: captions and videos to features.

        model = mmstadapter.SearchModel('zeroshot_vit-b32_msrvtt.py')
        model.encode_captions(['a dog jumps into water'])

    Args:
        config: path or shipped name of a retrieval config, or its content.
        checkpoint: file with the trained weights; the config's ``load_from`` if None. A config
            all of whose weights come from pretrained files (zero-shot CLIP) needs none.
        device: ``'cpu'``, ``'cuda:1'`` ...; the first GPU, else the CPU, if None.
        options: changes to the config, as for ``Config.merge_from_dict``.

    Raises:
        FileNotFoundError: no such config or weights.
        ValueError: a config without a retrieval model, or with parts that are not registered.
        RuntimeError: if some weights would be random, or without such a device.
    """

    def __init__(
        self,
        config: str | Path | Mapping,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        init_default_scope('mmaction')
        self.device = choose_device(device)  # before the weights are read
        self.name, whole = _read(config)
        whole.merge_from_dict(dict(options or {}))
        checkpoint = checkpoint or whole.get('load_from')
        self.config = _what_counts(whole, self.name)
        self.checkpoint = None if checkpoint is None else str(Path(checkpoint).resolve())
        model, steps = stored_config(dict(config=self.config), self.name)
        self.model = _build(model, self.checkpoint, self.name)
        self.weights = _fingerprints(self.model)
        self.model.to(self.device).eval()
        self.steps = Compose(steps).transforms
        self.half = bool((self.config.get('test_cfg') or {}).get('fp16'))

    @classmethod
    def of_index(
        cls,
        stored: Mapping[str, Any],
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> 'SearchModel':
        """The model that an index says it was made with, refused if it is another one.

        Args:
            stored: ``VideoIndex.model``.
            checkpoint: where its weights lie now, if they were moved.
            device: as above.
            options: changes to its config, such as where the pretrained files lie now.

        Raises:
            ValueError: if what is loaded is not what made the index.
        """
        model = cls(stored['config'], checkpoint or stored['checkpoint'], device, options)
        model.name = stored['name']
        model.refuse_other(stored)
        return model

    def describe(self) -> dict[str, Any]:
        """What an index keeps: config, where the weights lie, their fingerprints; JSON."""
        return dict(
            name=self.name, config=self.config, checkpoint=self.checkpoint, weights=self.weights
        )

    def refuse_other(self, stored: Mapping[str, Any]) -> None:
        """Raise unless this is the model that an index was made with.

        Raises:
            ValueError: with what differs.
        """
        differences = _differences(_relevant(stored['config']), _relevant(self.config))
        differences += [
            f'weights of {part}: {stored["weights"].get(part, "none")[:12]} in the index, '
            f'{self.weights.get(part, "none")[:12]} here'
            for part in sorted({*stored['weights'], *self.weights})
            if stored['weights'].get(part) != self.weights.get(part)
        ]
        if differences:
            listed = '\n  '.join(differences[:12])
            raise ValueError(
                'The index was made by another model, and features of two models cannot be '
                f'compared. It was {stored["name"]} with {stored["checkpoint"] or "no checkpoint"};'
                f' what differs:\n  {listed}\nGive that model (--checkpoint, --cfg-options), or '
                'index the videos with this one into another folder (--index).'
            )

    @torch.inference_mode()
    def encode_captions(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Feature dict of some captions, on the CPU in float32."""
        if not captions or not all(caption.strip() for caption in captions):
            raise ValueError(f'SearchModel: needs captions with words in them, got {captions!r}.')
        with self._precision():
            return _stored(self.model.encode_captions(list(captions)))

    @torch.inference_mode()
    def encode_clips(self, clips: Sequence[Tensor]) -> dict[str, Tensor]:
        """Feature dict of clips (3, T, H, W) as the pipeline makes them, on the CPU in float32."""
        data = dict(inputs=[clip[None] for clip in clips], data_samples=None)
        video = self.model.data_preprocessor(data, training=False)['inputs']
        with self._precision():
            return _stored(self.model.encode_videos(video.flatten(0, 1)))

    def unread(self, caption: str) -> int:
        """How many of a caption's last word pieces are cut off before the model reads it."""
        tokenizer = self.model.tokenizer
        if not hasattr(tokenizer, 'pieces'):  # one that refuses long captions
            return 0
        return max(0, len(tokenizer.pieces(caption)) - (tokenizer.context_length - 2))

    def segments(self, path: str | Path, seconds: float) -> Iterator[Segment]:
        """A video's segments in order, see :func:`mmstadapter.search.windows.segments`."""
        return segments(str(path), deepcopy(self.steps), seconds)  # several threads may ask

    def _precision(self):
        """On a GPU as in testing; the CPU's autocast would be bfloat16, so there float32."""
        half = self.half and self.device.type == 'cuda'
        return torch.autocast('cuda', torch.float16) if half else nullcontext()


def _read(config: str | Path | Mapping) -> tuple[str, Config]:
    """A name for messages, and the config."""
    if isinstance(config, Mapping):
        return str(config.get('filename') or 'the given config'), Config(dict(config))
    from .. import shipped

    path = shipped.find_config(str(config))
    return Path(path).name, Config.fromfile(path)


def _what_counts(whole: Config, name: str) -> dict[str, Any]:
    """The model and the test pipeline as plain JSON, with whole paths."""
    loader = whole.get('test_dataloader') or whole.get('val_dataloader')
    try:
        kept = dict(
            model=whole.model.to_dict(),
            test_dataloader=dict(dataset=dict(pipeline=loader.to_dict()['dataset']['pipeline'])),
            test_cfg=dict(fp16=bool((whole.get('test_cfg') or {}).get('fp16'))),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{name}: its config lacks {error}; an index needs the model and the pipeline of the '
            'test loader of a retrieval config.'
        ) from error
    return json.loads(json.dumps(_with_whole_paths(kept)))


def _with_whole_paths(value: Any) -> Any:
    """Plain lists and dicts, in which checkpoints that are files have their whole path."""
    if isinstance(value, dict):
        return {
            key: _whole(x) if key == 'checkpoint' else _with_whole_paths(x)
            for key, x in value.items()
        }
    return [_with_whole_paths(x) for x in value] if isinstance(value, list | tuple) else value


def _whole(checkpoint: str | Path | None) -> str | None:
    if checkpoint is None:
        return None
    return str(Path(checkpoint).resolve() if Path(checkpoint).is_file() else checkpoint)


def _build(config: dict, checkpoint: str | None, name: str) -> nn.Module:
    """The model, all of whose weights come from files."""
    model = MODELS.build(config)
    if not hasattr(model, 'encode_videos') or not hasattr(model, 'encode_captions'):
        raise ValueError(
            f'{name}: {type(model).__name__} is no retrieval model. Give a config whose model is '
            'mmstadapter.Retriever.'
        )
    if checkpoint is None:
        _load_pretrained(model, name)
    elif not Path(checkpoint).is_file():
        raise FileNotFoundError(f'SearchModel: no checkpoint {checkpoint}. Give --checkpoint FILE.')
    else:
        _load_trained(model, checkpoint)
    return model


def _load_trained(model: nn.Module, checkpoint: str) -> None:
    """Read trained weights; raise RuntimeError if the file has others, or is damaged."""
    try:
        load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    except (EOFError, KeyError, SafetensorError, UnpicklingError) as error:
        raise RuntimeError(
            f'SearchModel: {checkpoint} is damaged, or no checkpoint of plain tensors '
            f'({type(error).__name__}). Give another file with the trained weights.'
        ) from error


def _load_pretrained(model: nn.Module, name: str) -> None:
    """Read the pretrained files; raise if a weight that features depend on is in none."""
    supplied = ['logit_scale']  # on which no feature depends
    for prefix, part in model.named_modules():
        if isinstance(part, Pretrained) and part.checkpoint is not None:
            part.init_weights()
            supplied.append(f'{prefix}.')
    names = [parameter for parameter, _ in model.named_parameters()]
    random = [parameter for parameter in names if not parameter.startswith(tuple(supplied))]
    if random:
        shown = ', '.join(random[:4]) + (' ...' if len(random) > 4 else '')
        raise RuntimeError(
            f'{name}: without a checkpoint {len(random)} tensors would be random ({shown}). Give '
            'the trained weights (--checkpoint FILE), or a config all of whose weights are '
            'pretrained.'
        )


def _fingerprints(model: nn.Module) -> dict[str, str]:
    """Each part's weights as 64 hexadecimal digits."""
    parts = {name: part.state_dict() for name, part in model.named_children()}
    return {
        name: bytes(weights.fingerprint(tensors).tolist()).hex()
        for name, tensors in parts.items()
        if tensors and name != 'data_preprocessor'
    }


def _stored(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.cpu() if tensor.dtype == torch.bool else tensor.float().cpu()
        for name, tensor in features.items()
    }


def _relevant(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _relevant(inner) for k, inner in value.items() if k not in IRRELEVANT}
    return [_relevant(inner) for inner in value] if isinstance(value, list) else value


def _differences(stored: Any, own: Any, where: str = '') -> list[str]:
    """ "path: one here, another there" for every differing leaf."""
    if isinstance(stored, dict) and isinstance(own, dict):
        keys = sorted({*stored, *own})
        return [
            line
            for key in keys
            for line in _differences(
                stored.get(key), own.get(key), f'{where}.{key}' if where else key
            )
        ]
    if isinstance(stored, list) and isinstance(own, list) and len(stored) == len(own):
        pairs = enumerate(zip(stored, own, strict=True))
        return [line for n, pair in pairs for line in _differences(*pair, f'{where}[{n}]')]
    return [] if stored == own else [f'{where}: {stored!r} in the index, {own!r} here']
