"""Class names as the classifier: scores are similarities with what a text tower makes of them."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS, TOKENIZER
from mmaction.utils import SampleList
from torch import Tensor, nn

from mmstadapter import weights
from mmstadapter.base_classes import chosen_classes

from ..parts import built
from .video_head import CheckedHead

UNLIKELY = -1e4  # a score whose softmax is zero in float32
START_SCALE = 1 / 0.07  # CLIP's at the start of its own training


@MODELS.register_module()
class TextHead(CheckedHead):
    """exp(logit_scale) times the cosine of a clip's feature and the text of each class.

    As in the released DiST code, where the text tower is CLIP's and frozen, and so is the
    scale; as CLIP's zero-shot classifier beside a backbone that is trained no further. Of a
    frozen tower the texts are encoded once, and again after a change of mode or of weights;
    one that is trained (``tune='all'``, ``lora``) encodes them in every step.

    Args:
        in_channels: width E of the feature, that of the tower's joint space.
        num_classes: number of classes.
        text_tower: the text tower or its config, frozen by ``tune='none'``.
        tokenizer: the tokenizer or its config.
        labels: the class names in order: a list, or a file with one a line, such as the
            ``label_map_*.txt`` that ``mmstadapter prepare`` writes.
        prompt: what is read of a name, which stands for ``{}``; the name alone in DiST. Of
            several such templates a class has the mean of the unit vectors, as in CLIP.
        split_words: read 'brush_hair' and 'ApplyLipstick' as separate words.
        logit_scale: natural logarithm of the factor. ``None`` reads it from the tower's
            file; with a random tower it is that of 1/0.07.
        base_classes: in training, of which classes the others are told apart, ``'half'`` or
            numbers, see `chosen_classes`; None: all. The names of the rest, novel ones, are
            compared in testing alone.
        average_clips: see `VideoHead`.
        kwargs: further options of MMAction2's ``BaseHead``.

    Raises:
        ValueError: if feature and tower have other widths, labels and classes other numbers,
            a prompt has no place for the name; for names that the tokenizer cannot tell apart
            or has to cut.
        FileNotFoundError: if the file of the labels is missing.
    """

    takes_frames = True  # what a backbone gives with output='frames'

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        text_tower: dict | nn.Module,
        tokenizer: dict | Callable,
        labels: str | Sequence[str],
        prompt: str | Sequence[str] = '{}',
        split_words: bool = False,
        logit_scale: float | None = None,
        base_classes: str | Sequence[int] | None = None,
        average_clips: str | None = 'prob',
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, average_clips=average_clips, **kwargs)
        self.text_tower = built(text_tower)
        self.tokenizer = built(tokenizer, TOKENIZER)
        self.labels, self.starts_at, self.split_words = labels, logit_scale, split_words
        base = list(range(num_classes))
        if base_classes is not None:
            base = chosen_classes(base_classes, num_classes)
            if self.label_smooth_eps:
                raise ValueError('TextHead: label_smooth_eps is for all classes, base_classes not.')
        self.novel = sorted({*range(num_classes)} - {*base})
        self.prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not self.prompts or not all('{}' in template for template in self.prompts):
            raise ValueError(
                'TextHead: prompt must have {} where the class name comes, got '
                f"{prompt!r}. CLIP's is 'a photo of a {{}}.'"
            )
        if self.text_tower.joint_dims != in_channels:
            raise ValueError(
                f'TextHead: the text tower gives vectors of {self.text_tower.joint_dims}, the '
                f'feature has in_channels={in_channels}. Set both, and the output_dims of the '
                'backbone, to the width of the joint space: 512 of CLIP ViT-B, 768 of ViT-L.'
            )
        start = math.log(START_SCALE) if logit_scale is None else logit_scale
        self.register_buffer('logit_scale', torch.tensor(float(start)))
        self._texts: Tensor | None = None

    def init_weights(self) -> None:
        """Read the tower's file and the scale in it, and the labels, which must be there."""
        super().init_weights()
        self.tokens()
        if self.starts_at is None and self.text_tower.checkpoint is not None:
            self.logit_scale.fill_(weights.load_logit_scale(self.text_tower.checkpoint))

    def names(self) -> list[str]:
        """The class names, in order."""
        names = self.labels
        if isinstance(names, str):
            if not Path(names).is_file():
                raise FileNotFoundError(
                    f'TextHead: labels {names} does not exist. Give a file with a class name a '
                    'line, in the order of the class numbers, or the names themselves.'
                )
            names = Path(names).read_text(encoding='utf-8').splitlines()
        if len(names) != self.num_classes:
            raise ValueError(
                f'TextHead: labels must be num_classes={self.num_classes} names, got {len(names)}.'
            )
        return [as_words(name) for name in names] if self.split_words else list(names)

    def tokens(self) -> list[Tensor]:
        """What the tower reads, (num_classes, L) for each template, on its device."""
        names = self.names()
        read = [[template.replace('{}', name) for name in names] for template in self.prompts]
        for texts in read:
            self._check_length(texts)
        tokens = [self.tokenizer(texts) for texts in read]
        check_different(names, tokens[0])
        return [ids.to(self.logit_scale.device) for ids in tokens]

    def _check_length(self, texts: Sequence[str]) -> None:
        """Raise for a text that the tokenizer would cut, where it can say so."""
        pieces, room = getattr(self.tokenizer, 'pieces', None), self.tokenizer.context_length - 2
        long = [text for text in texts if pieces is not None and len(pieces(text)) > room]
        if long:
            raise ValueError(
                f'TextHead: {len(long)} class names are too long for the tokenizer, such as '
                f'{long[0]!r} with {len(pieces(long[0]))} pieces where {room} have room. Shorten '
                "them or the prompt, or raise the tokenizer's context_length."
            )

    def texts(self) -> Tensor:
        """The classes in the joint space, (num_classes, E), not normalised."""
        if any(p.requires_grad for p in self.text_tower.parameters()):
            return self.encode()
        if self._texts is None:
            with torch.no_grad():
                self.remember(self.encode())
        return self._texts

    def encode(self) -> Tensor:
        """Read the names in every template: of one its vectors, of several their mean."""
        encoded = [self.text_tower(ids)[0] for ids in self.tokens()]
        if len(encoded) == 1:
            return encoded[0]
        return torch.stack([F.normalize(texts.float(), dim=-1) for texts in encoded]).mean(dim=0)

    def remember(self, texts: Tensor | None) -> None:
        """Take these texts (num_classes, E) of a frozen tower; None: encode them when needed."""
        self._texts = texts

    def train(self, mode: bool = True) -> 'TextHead':
        """Change the mode, and encode the texts anew."""
        self.remember(None)
        return super().train(mode)

    def _load_from_state_dict(self, *args) -> None:
        self.remember(None)
        super()._load_from_state_dict(*args)

    def _apply(self, *args, **kwargs) -> 'TextHead':
        self.remember(None)
        return super()._apply(*args, **kwargs)

    def loss_by_feat(self, cls_scores: Tensor, data_samples: SampleList) -> dict:
        """Cross entropy among the base classes; see `CheckedHead`.

        Raises:
            ValueError: if a label is that of a novel class.
        """
        hard = [s.gt_label for s in data_samples if not torch.is_floating_point(s.gt_label)]
        wrong = sorted({int(n) for label in hard for n in label.reshape(-1)} & {*self.novel})
        if wrong:
            raise ValueError(
                f'TextHead: labels must be of base classes, got {wrong}, which are novel. Give the '
                'training data the same base_classes as the head.'
            )
        scores = cls_scores.float()
        if self.novel:
            columns = torch.tensor(self.novel, device=scores.device)
            scores = scores.index_fill(1, columns, UNLIKELY)
        return super().loss_by_feat(scores, data_samples)

    def forward(self, x: Tensor, **kwargs) -> Tensor:
        """(B, E), or (B, T, E) of T frames, whose mean counts -> (B, num_classes), float32."""
        x = x.mean(dim=1) if x.ndim == 3 else x
        texts = self.texts().float()
        return self.logit_scale.exp() * F.cosine_similarity(x.float()[:, None], texts, dim=-1)


def as_words(name: str) -> str:
    """'brush_hair' -> 'brush hair', 'ApplyLipstick' -> 'Apply Lipstick'."""
    return re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name.replace('_', ' ')).strip()


def check_different(names: Sequence[str], tokens: Tensor) -> None:
    """Raise ValueError for class names that the tower reads alike.

    Args:
        names: of the classes.
        tokens: (num_classes, L), what is read of them.
    """
    seen: dict[tuple[int, ...], str] = {}
    for name, ids in zip(names, map(tuple, tokens.tolist()), strict=True):
        if ids in seen:
            raise ValueError(
                f'TextHead: the classes {seen[ids]!r} and {name!r} are read alike, so nothing '
                'could tell them apart. Give every class a name of its own.'
            )
        seen[ids] = name
