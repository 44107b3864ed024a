"""A config's training step on fake tensors: its model without weights, clips without pixels."""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS, OPTIMIZERS
from mmengine.config import Config
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ..models.ops.clips import frames_seen
from ..models.quantizing import quantize
from ..models.retrieval import Retriever
from ..models.trunks.base import Trunk
from .account import Account, account_of
from .fitting import largest_batch

WORDS = 77  # of a caption, where a tokenizer does not say


class TrainingStep:
    """One step of a config's training, which can be accounted for at any batch size.

    Args:
        config: of recognition or retrieval, with a backbone that has a trunk.
        gpus: how many train together; with several there is a bucket of gradients.
        on_cpu: what training on a CPU takes, where float16 autocast is float32.

    Attributes:
        model: on fake tensors.
        batch_size: clips of a process, with every copy that ``num_sample`` takes of a video.
        frames: T; a method may see others around each.
        size: (height, width) in pixels.
        autocast: its type, or None.

    Raises:
        ValueError: without training loader, sampling step or trunk.
    """

    def __init__(self, config: Config, gpus: int = 1, on_cpu: bool = False) -> None:
        self.config, self.gpus = config, gpus
        dataset = _training_set(config)
        self.samples = dataset.get('num_sample', 1)  # of a video
        self.videos = config.train_dataloader.get('batch_size', 1)
        self.frames = config.model.get('num_frames') or _clip_len(dataset)
        self.autocast = _autocast(config.get('optim_wrapper', {}), on_cpu)
        self.forms = 'cpu' if on_cpu else 'cuda'
        self.states = states_of(config.get('optim_wrapper', {}).get('optimizer', {}))
        self.parts = config.get('optim_wrapper', {}).get('accumulative_counts', 1)
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.model = _fake_model(config.model.to_dict(), self.mode).train()
        head = getattr(self.model, 'cls_head', None)
        if hasattr(head, 'remember'):  # texts of classes, which are read once and not in a step
            with self.mode:
                head.remember(torch.empty(head.num_classes, head.in_channels))
        self.size = tuple(self.model.backbone.trunk.img_size)
        self._accounts: dict[int, Account] = {}

    @property
    def clips(self) -> int:
        """Clips of a step and process."""
        return self.videos * self.samples

    def account(self, videos: int | None = None) -> Account:
        """Of a step with so many videos; as many as the config has if None."""
        videos = self.videos if videos is None else videos
        if videos not in self._accounts:
            self._accounts[videos] = self._run(videos * self.samples)
        return self._accounts[videos]

    def largest(self, memory: float) -> int:
        """Most videos a step whose peak is at most so many bytes; 0 if not even one fits."""
        now = self.account()
        fixed = now.frozen + now.tuned + now.states + now.bucket
        return largest_batch(lambda n: self.account(n).peak, memory, self.videos, fixed)

    def _run(self, clips: int) -> Account:
        with self.mode:
            read = clips * getattr(self.model.backbone, 'num_segments', 1)
            frames = frames_seen(self.model.backbone, self.frames)
            video = torch.empty(read, 3, frames, *self.size)
            batch = dict(video=video, **self._targets(clips))
            return account_of(
                lambda: loss_of(self.model, **batch),
                self.model,
                batch.values(),
                autocast=self.autocast,
                states=self.states,
                bucket=self.gpus > 1,
                accumulates=self.parts > 1,
                forms=self.forms,
            )

    def _targets(self, clips: int) -> dict[str, Tensor]:
        if not isinstance(self.model, Retriever):
            return dict(labels=torch.zeros(clips, dtype=torch.long))
        words = getattr(self.model.tokenizer, 'context_length', WORDS)
        return dict(ids=torch.zeros(clips, words, dtype=torch.long))


def loss_of(model: nn.Module, video: Tensor, **targets: Tensor) -> Tensor:
    """A training step's loss without its checks, which read numbers that fake tensors lack.

    Args:
        model: a retriever of ours or a recogniser of MMAction2.
        video: preprocessed, (B, 3, T, H, W).
        targets: ``labels`` (B,) of a recogniser, ``ids`` (B, L) of a retriever.
    """
    if isinstance(model, Retriever):
        ids = targets['ids']
        states, frames = model._encode_batch(ids, video)
        rows, contrast = torch.arange(len(ids)), model.contrast
        owners = rows if contrast.needs_owners else None
        captions = rows if contrast.text_negatives else None
        losses = model._losses(states, frames, model.mask(ids), owners, captions)
        return torch.stack([v for name, v in losses.items() if name.startswith('loss')]).sum()
    feats, options = model.extract_feat(video[:, None])
    scores = model.cls_head(feats, **options)
    if isinstance(scores, Mapping):
        scores = scores.values()
    else:  # (B, classes), or (B, P, classes) of several probes
        scores = scores.unbind(1) if scores.ndim == 3 else [scores]
    labels = targets['labels']
    return torch.stack([F.cross_entropy(score.float(), labels) for score in scores]).sum()


def states_of(optimizer: Mapping[str, Any]) -> float:
    """Parameters that an optimiser keeps for each one it updates: 2 for AdamW, 0 for plain SGD."""
    fields = {k: v for k, v in optimizer.items() if isinstance(v, str | int | float | bool)}
    return _measured_states(tuple(sorted(fields.items()))) if 'type' in fields else 2


@cache
def _measured_states(fields: tuple) -> float:
    """A step on a small matrix, and what is there after it."""
    weight = nn.Parameter(torch.zeros(64, 64))
    optimizer = OPTIMIZERS.build(dict(fields, params=[weight]))
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    kept = [x for x in optimizer.state[weight].values() if isinstance(x, Tensor) and x.ndim]
    return sum(x.numel() for x in kept) / weight.numel()


def _training_set(config: Config) -> Mapping[str, Any]:
    """The training loader's data set, inside whatever wraps it."""
    loader = config.get('train_dataloader')
    if not loader or not loader.get('dataset'):
        raise ValueError(
            'mmstadapter plan: the config has no train_dataloader, so there is no training to '
            'plan. Name a config that trains (`mmstadapter configs`).'
        )
    dataset = loader['dataset']
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def _clip_len(dataset: Mapping[str, Any]) -> int:
    """Frames of a clip."""
    found = [step['clip_len'] for step in dataset.get('pipeline', ()) if 'clip_len' in step]
    if not found:
        raise ValueError(
            'mmstadapter plan: no step of train_dataloader.dataset.pipeline has a clip_len, so '
            'the number of frames of a clip is unknown. Set model.num_frames or clip_len.'
        )
    return found[0]


def _autocast(wrapper: Mapping[str, Any], on_cpu: bool) -> torch.dtype | None:
    """The type of a config's mixed precision."""
    if not str(wrapper.get('type', '')).endswith('AmpOptimWrapper'):
        return None
    name = wrapper.get('dtype') or 'float16'
    dtype = getattr(torch, name) if isinstance(name, str) else name
    return None if dtype is torch.float32 or (on_cpu and dtype is not torch.bfloat16) else dtype


def _fake_model(config: dict, mode: FakeTensorMode) -> nn.Module:
    """The model of a config with fake parameters; no file is read."""
    if 'trunk' not in (config.get('backbone') or {}):
        raise ValueError(
            'mmstadapter plan: model.backbone has no trunk, so it is none of this package, and '
            'what its clips look like is unknown. `mmstadapter configs` lists what can be planned.'
        )
    with torch.device('meta'):
        config = _without_files(config) | dict(data_preprocessor=nn.Identity())  # is no part of it
        model = MODELS.build(config)
    made: dict[int, Tensor] = {}
    with mode:
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = made.setdefault(id(tensor), _fake(tensor))
        for trunk in (m for m in model.modules() if isinstance(m, Trunk)):
            # float8 has int8's bytes; its products would need a Hopper GPU.
            quantize(trunk, 'int8' if trunk.quantize == 'float8' else trunk.quantize)
    return model


def _fake(tensor: Tensor) -> Tensor:
    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(fake, requires_grad=tensor.requires_grad)
    return fake


def _without_files(config: Any) -> Any:
    """A copy of a model's config that names no checkpoint and mixes no clips."""
    if isinstance(config, Mapping):
        kept = {key: _without_files(value) for key, value in config.items()}
        return kept | {key: None for key in ('checkpoint', 'init_cfg', 'blending') if key in kept}
    if isinstance(config, list | tuple):
        return type(config)(map(_without_files, config))
    return copy.copy(config)
