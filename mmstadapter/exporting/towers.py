"""What of a model is exported, as functions of one tensor: a classifier, two towers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..models.heads.text_head import TextHead
from ..models.retrieval import Retriever


class Tower(NamedTuple):
    """A function of one tensor, and what its sizes may be.

    Args:
        name: ``'scores'``, ``'video'`` or ``'text'``.
        module: gives a tuple of tensors.
        given, found: names of what goes in and comes out.
        example: what goes in, of two items.
        clips: of an item, which come together in the batch.
        unit: frames come in groups of so many.
        most: the most frames it takes, None for any.
    """

    name: str
    module: nn.Module
    given: str
    found: tuple[str, ...]
    example: Tensor
    clips: int = 1
    unit: int = 1
    most: int | None = None


class Classifier(nn.Module):
    """Clips (B, 3, T, H, W) -> the classes' scores before the softmax."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone, self.cls_head = model.backbone, getattr(model, 'cls_head', None)
        if isinstance(self.cls_head, TextHead):
            self.cls_head.remember(self.cls_head.texts())
            self.cls_head.text_tower = nn.Identity()  # what it read is kept

    def forward(self, video: Tensor) -> Any:
        """Logits (B, num_classes), of several tasks a dict of them; features without a head."""
        features = self.backbone(video)
        return features if self.cls_head is None else self.cls_head(features)


class VideoTower(nn.Module):
    """Clips (B, 3, T, H, W) -> what captions are compared with."""

    def __init__(self, model: Retriever) -> None:
        super().__init__()
        self.backbone, self.similarity = model.backbone, model.similarity

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """Features for `mmstadapter.score`, first axis B."""
        return self.similarity.encode_video(self.backbone(video))


class TextTower(nn.Module):
    """Token ids (A, L) -> what videos are compared with."""

    def __init__(self, model: Retriever) -> None:
        super().__init__()
        self.text_tower, self.similarity = model.text_tower, model.similarity
        self.mask = model.mask

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        """Features for `mmstadapter.score`, first axis A."""
        sentences, words = self.text_tower(ids)
        states = dict(sentences=None, words=words)
        if self.similarity.reads != 'words':
            states = dict(sentences=sentences, words=None)
        return self.similarity.encode_text(**states, mask=self.mask(ids))


class Flat(nn.Module):
    """The same, its outcome a tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the module gives, in its order."""
        return tuple(_named(self.module(x)).values())


def _named(found: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return found if isinstance(found, Mapping) else dict(logits=found)


def towers_of(model: nn.Module, num_frames: int, size: tuple[int, int]) -> list[Tower]:
    """The functions that a model is made of; its parts are taken, not copied.

    Args:
        model: a recogniser or a retriever in float32, on the CPU, frozen.
        num_frames: T of its clips.
        size: height and width of their frames.
    """
    together = getattr(model.backbone, 'num_segments', 1)
    shape = (2 * together, 3, num_frames, *size)
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    groups = together, getattr(model.backbone, 'num_diff', 1)
    if not isinstance(model, Retriever):
        return [_tower('scores', Classifier(model), 'video', clips, *groups)]
    ids = model.tokenize(['a', 'a a'])
    header = getattr(model.similarity, 'header', None)
    most = model.num_frames or (None if header is None else len(header.positions))
    return [
        _tower('video', VideoTower(model), 'video', clips, *groups, most),
        _tower('text', TextTower(model), 'ids', ids),
    ]


@torch.no_grad()
def _tower(name: str, module: nn.Module, given: str, example: Tensor, *sizes: Any) -> Tower:
    found = tuple(_named(module.eval()(example)))
    return Tower(name, Flat(module).eval(), given, found, example, *sizes)
