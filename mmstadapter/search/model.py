"""The retrieval model of an index: what it is, whether it is the same, what it makes of inputs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch import Tensor

from ..apis.building import config_of
from ..apis.device import choose_device
from ..apis.stored_config import stored_config
from ..weights import PREFIX
from .adapters import TRUNK, config_in
from .building import build, fingerprints
from .settings import differences, what_counts
from .windows import Segment, between, parts, segments


class SearchModel:
    """A trained :class:`Retriever` with its test pipeline: captions and videos to features.

        model = mmstadapter.SearchModel('zeroshot_vit-b32_msrvtt.py')
        model.encode_captions(['a dog jumps into water'])

    Args:
        config: path or shipped name of a retrieval config, or its content; that in an adapter
            file if None.
        checkpoint: file with the trained weights; the config's ``load_from`` if None. A config
            all of whose weights come from pretrained files (zero-shot CLIP) needs none.
        device: ``'cpu'``, ``'cuda:1'`` ...; the first GPU, else the CPU, if None.
        options: changes to the config, as for ``Config.merge_from_dict``.
        captions_only: build and read what captions need alone: text tower, tokenizer and
            similarity. What is about videos then raises RuntimeError.

    Raises:
        FileNotFoundError: no such config or weights.
        ValueError: a config without a retrieval model, or with parts that are not registered;
            neither a config nor an adapter file.
        RuntimeError: if some weights would be random, or without such a device.
    """

    def __init__(
        self,
        config: str | Path | Mapping | None = None,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
        captions_only: bool = False,
    ) -> None:
        init_default_scope('mmaction')
        self.device = choose_device(device)  # before the weights are read
        self.captions_only = captions_only
        options = dict(options or {})
        if config is None:
            self.name, whole = str(checkpoint), config_in(checkpoint, find=TRUNK not in options)
        else:
            self.name, whole = config_of(config)
        whole.merge_from_dict(options)
        checkpoint = checkpoint or whole.get('load_from')
        self.config = what_counts(whole, self.name)
        self.checkpoint = None if checkpoint is None else _from_anywhere(checkpoint)
        model, steps = stored_config(dict(config=self.config), self.name)
        self.model = build(model, self.checkpoint, self.name, captions_only)
        self.weights = fingerprints(self.model)
        self.model.to(self.device).eval()
        getattr(self.model.tokenizer, 'read', lambda: None)()  # not while the first query waits
        self.steps = [] if captions_only else Compose(steps).transforms
        self.half = bool((self.config.get('test_cfg') or {}).get('fp16'))

    @classmethod
    def of_index(
        cls,
        stored: Mapping[str, Any],
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
        captions_only: bool = False,
    ) -> 'SearchModel':
        """The model that an index says it was made with, refused if it is another one.

        With ``captions_only`` the weights that captions go through are compared, and no others:
        what the index's videos went through is in its features.

        Args:
            stored: ``VideoIndex.model``.
            checkpoint: where its weights lie now, if they were moved.
            device: as above.
            options: changes to its config, such as where the pretrained files lie now.
            captions_only: as above.

        Raises:
            ValueError: if what is loaded is not what made the index.
        """
        lacking = {'name', 'config', 'checkpoint', 'weights'} - stored.keys()
        if lacking:
            raise ValueError(
                f'SearchModel: the index does not say the {", ".join(sorted(lacking))} of its '
                'model, so nothing can be compared with its features. Index the videos again.'
            )
        where = checkpoint or stored['checkpoint']
        model = cls(stored['config'], where, device, options, captions_only)
        model.name = stored['name']
        model.refuse_other(stored)
        return model

    def describe(self) -> dict[str, Any]:
        """What an index keeps: config, where the weights lie, their fingerprints; JSON."""
        self._need_videos()
        return dict(
            name=self.name, config=self.config, checkpoint=self.checkpoint, weights=self.weights
        )

    def refuse_other(self, stored: Mapping[str, Any]) -> None:
        """Raise unless this is the model that an index was made with.

        Raises:
            ValueError: with what differs.
        """
        found, theirs = differences(stored['config'], self.config), stored['weights']
        parts = self.weights.keys() | (set() if self.captions_only else theirs.keys())
        found += [
            f'weights of {part}: {theirs.get(part, "none")[:12]} in the index, '
            f'{self.weights.get(part, "none")[:12]} here'
            for part in sorted(parts)
            if theirs.get(part) != self.weights.get(part)
        ]
        if found:
            listed = '\n  '.join(found[:12])
            raise ValueError(
                'The index was made by another model, and features of two models cannot be '
                f'compared. It was {stored["name"]} with {stored["checkpoint"] or "no checkpoint"};'
                f' what differs:\n  {listed}\nGive that model (--checkpoint, --cfg-options), or '
                'index the videos with this one into another folder (--index).'
            )

    @torch.inference_mode()
    def encode_captions(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Feature dict of some captions, on the CPU in float32."""
        if isinstance(captions, str) or not captions or not all(c.strip() for c in captions):
            raise ValueError(
                f'SearchModel: needs a list of captions with words in them, got {captions!r}.'
            )
        with self._precision():
            encode = getattr(self.model, 'encode_queries', self.model.encode_captions)
            return _stored(encode(list(captions)))

    @torch.inference_mode()
    def encode_clips(self, clips: Sequence[Tensor]) -> dict[str, Tensor]:
        """Feature dict of clips (3, T, H, W) as the pipeline makes them, on the CPU in float32."""
        self._need_videos()
        data = dict(inputs=[clip[None] for clip in clips], data_samples=None)
        video = self.model.data_preprocessor(data, training=False)['inputs']
        with self._precision():
            return _stored(self.model.encode_videos(video.flatten(0, 1)))

    def unread(self, caption: str) -> int:
        """How many of a caption's last word pieces are cut off before the model reads it."""
        tokenizer = self.model.tokenizer
        if not hasattr(tokenizer, 'pieces'):  # one that refuses long captions
            return 0
        room = tokenizer.context_length - getattr(tokenizer, 'num_ends', 2)  # start and end
        return max(0, len(tokenizer.pieces(caption)) - room)

    def segments(self, path: str | Path, seconds: float) -> Iterator[Segment]:
        """A video's segments in order, see :func:`mmstadapter.search.windows.segments`."""
        self._need_videos()
        return segments(str(path), deepcopy(self.steps), seconds)  # several threads may ask

    def clip(self, path: str | Path, start: float = 0.0, end: float | None = None) -> Tensor:
        """A picture, a video, or its part between two seconds as one clip (3, T, H, W).

        Raises:
            VideoReadError: if it cannot be decoded.
            ValueError: if the video ends before the part begins.
        """
        self._need_videos()
        path, steps = str(path), deepcopy(self.steps)
        (found,) = parts(path, steps, lambda times, last: [between(times, last, start, end, path)])
        return found.clip

    def _need_videos(self) -> None:
        if self.captions_only:
            raise RuntimeError(
                'SearchModel: this one was built for captions alone, which is all that a search '
                'needs. For videos build it without captions_only=True.'
            )

    def _precision(self):
        """On a GPU as in testing; the CPU's autocast would be bfloat16, so there float32."""
        half = self.half and self.device.type == 'cuda'
        return torch.autocast('cuda', torch.float16) if half else nullcontext()


def _from_anywhere(checkpoint: str | Path) -> str:
    """A path as it is found from any folder; a name at the hub as it is."""
    name = str(checkpoint)
    return name if name.startswith(PREFIX) else str(Path(checkpoint).absolute())


def _stored(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: tensor.cpu() if tensor.dtype == torch.bool else tensor.float().cpu()
        for name, tensor in features.items()
    }
