"""Captions and videos into one space: the model of text-video retrieval."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from mmaction.registry import MODELS, TOKENIZER
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmstadapter import weights

from ..parts import built
from ..text_towers import text_mask
from .checks import check_captions, check_numbers, check_parts, check_samples, check_videos
from .gather import GRADIENTS, gather_rows, owner_numbers
from .in_parts import encode_in_parts
from .scoring import score

LARGEST_SCALE = 100.0
START_SCALE = 1 / 0.07  # CLIP's at the start of its own training
START_BIAS = -10.0  # SigLIP's
CAPTIONS_A_PASS = 256  # when no gradient is wanted


@MODELS.register_module()
class Retriever(BaseModel):
    """A video backbone, a text tower and what compares them, trained by contrast.

    Side4Video (section 3.4, released ``CLIP4Clip.forward``) and CLIP4Clip. The features of all
    processes are put together before the similarity, so every process has the loss of the joint
    batch. With `ContrastiveLoss` ``exp(logit_scale)`` never exceeds 100: as in the released code
    it is cut back after each step, here at the start of the next and in what is saved. From the
    similarity on everything is float32, also under autocast.

    Its parts are given as configs, or built.

    Args:
        backbone: a backbone with ``output='frames'``: (B, 3, T, H, W) -> (B, T, E).
            ``None`` builds what reads captions alone, all that a query of a search needs.
        text_tower: ids (B, L) -> (B, E) and (B, L, E).
        tokenizer: captions -> ids (registry ``TOKENIZER``).
        similarity: `TokenSimilarity`, `MeanPoolSimilarity` or `SequentialSimilarity`.
        loss: of the matrix of similarities, `ContrastiveLoss` (if None) or `SigmoidLoss`.
        gather: gradients of the joint batch, ``'exact'`` or ``'released'``; see `gather_rows`.
        micro_batch: items a process encodes at a time in training, with the gradients of the
            whole batch for less memory and a second forward pass; see `encode_in_parts`.
            ``None``: all.
        logit_scale: its natural logarithm at the start. ``None`` reads it from the
            text tower's pretrained file; a random tower starts at 1/0.07.
        logit_bias: what `SigmoidLoss` adds to every logit, at the start. ``None`` as for the
            scale; a random tower starts at -10.
        num_frames: if given, videos of other lengths are refused.
        data_preprocessor: as for MMAction2's recognisers.
        train_scale: whether the logit scale, and the bias, is trained.

    Raises:
        ValueError: if the parts do not fit together.
    """

    def __init__(
        self,
        backbone: dict | nn.Module | None,
        text_tower: dict | nn.Module,
        tokenizer: dict | Callable[[Sequence[str]], Tensor],
        similarity: dict | nn.Module,
        loss: dict | nn.Module | None = None,
        gather: str = 'exact',
        micro_batch: int | None = None,
        logit_scale: float | None = None,
        logit_bias: float | None = None,
        num_frames: int | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        train_scale: bool = True,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if gather not in GRADIENTS:
            raise ValueError(f'Retriever: gather must be one of {GRADIENTS}, got {gather!r}.')
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f'Retriever: micro_batch must be 1 or more, got {micro_batch}.')
        self.backbone = None if backbone is None else built(backbone)
        self.text_tower = built(text_tower)
        self.tokenizer = built(tokenizer, TOKENIZER)
        self.similarity = built(similarity)
        self.contrast = built(loss or dict(type='mmstadapter.ContrastiveLoss'))
        self.gather, self.micro_batch, self.num_frames = gather, micro_batch, num_frames
        self.starts_at = dict(logit_scale=logit_scale)
        start = math.log(START_SCALE) if logit_scale is None else logit_scale
        self.logit_scale = nn.Parameter(torch.tensor(float(start)), train_scale)
        self.has_bias = getattr(self.contrast, 'has_bias', False)
        if self.has_bias:
            self.starts_at['logit_bias'] = logit_bias
            start = START_BIAS if logit_bias is None else logit_bias
            self.logit_bias = nn.Parameter(torch.tensor(float(start)), train_scale)
        check_parts(self)
        if logit_bias is not None and not self.has_bias:
            raise ValueError(
                f'Retriever: {type(self.contrast).__name__} knows no logit_bias, got {logit_bias}. '
                "Leave it out, or set loss to dict(type='mmstadapter.SigmoidLoss')."
            )

    def init_weights(self) -> None:
        """Read pretrained files; then what starts from them: the header, the logit's scale."""
        again = self.is_init
        getattr(self.tokenizer, 'read', lambda: None)()  # its file, before the large ones
        super().init_weights()
        if again:
            return
        self.similarity.start_from(self.text_tower)
        checkpoint = getattr(self.text_tower, 'checkpoint', None)
        for name, given in self.starts_at.items():
            if given is None and checkpoint is not None:
                with torch.no_grad():
                    getattr(self, name).fill_(weights.load_number(checkpoint, name))

    # ------------------------------------------------------------------ encode

    def encode_videos(self, video: Tensor) -> dict[str, Tensor]:
        """Preprocessed videos (B, 3, T, H, W) -> features for `score`, first axis B."""
        return self.similarity.encode_video(self.encode_frames(video)[0])

    def encode_captions(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """A captions -> features for `score`, first axis A."""
        return self.encode_ids(self.tokenize(captions))

    def encode_queries(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """`encode_captions` for few: places behind the longest, without influence, are left out."""
        ids = self.tokenize(captions)
        cut = getattr(self.text_tower, 'without_padding', lambda ids: ids)
        return self.encode_ids(cut(ids))

    def encode_ids(self, ids: Tensor) -> dict[str, Tensor]:
        """Token ids (A, L) -> features for `score`, first axis A."""
        size = None if torch.is_grad_enabled() else CAPTIONS_A_PASS
        (states,) = encode_in_parts(self.read_ids, self.text_tower, ids, size)
        return self._encode_states(states, self.mask(ids))

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """A captions -> ids (A, L) on the model's device."""
        return self.tokenizer(captions).to(self.logit_scale.device)

    def encode_frames(self, video: Tensor) -> tuple[Tensor]:
        """(B, 3, T, H, W) -> joint vectors of the frames, a tuple of one tensor (B, T, E)."""
        if self.backbone is None:
            raise RuntimeError(
                'Retriever: it was built for captions alone (backbone=None), so it encodes no '
                'videos. Build it with its backbone.'
            )
        return (self.backbone(check_videos(video, self.num_frames)),)

    def read_ids(self, ids: Tensor) -> tuple[Tensor]:
        """(A, L) -> what the similarity reads, a tuple of (A, E) or (A, L, E)."""
        sentences, words = self.text_tower(ids)
        return (words if self.similarity.reads == 'words' else sentences,)

    def mask(self, ids: Tensor) -> Tensor:
        """Which tokens are a caption's own, (A, L) bool, as the text tower says."""
        return getattr(self.text_tower, 'mask', text_mask)(ids)

    def _encode_states(self, states: Tensor, mask: Tensor) -> dict[str, Tensor]:
        words = states if self.similarity.reads == 'words' else None
        return self.similarity.encode_text(None if words is not None else states, words, mask)

    # ------------------------------------------------------------------- modes

    def forward(
        self, inputs: Tensor, data_samples: Sequence | None = None, mode: str = 'tensor'
    ) -> dict | list | tuple:
        """Run on a preprocessed batch.

        Args:
            inputs: (B, 3, T, H, W), or with one view a video (B, 1, 3, T, H, W).
            data_samples: B samples with ``captions``, a list of strings; for some losses
                ``video_id``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            ``'loss'``: dict of losses, and of scalars for the log. ``'predict'``: the samples,
            with ``video_features`` (one row a tensor) and ``text_features`` (one row a
            caption). ``'tensor'``: text features and video features of the batch; without
            samples those of the videos alone, as `encode_videos` gives them.

        Raises:
            ValueError: for other shapes, NaN features, another number of samples than videos,
                or in training for an item with other than one caption.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor' and data_samples is None:
            return self.encode_videos(inputs)
        if mode == 'tensor':
            captions = [text for sample in data_samples for text in sample.captions]
            return self.encode_captions(captions), self.encode_videos(inputs)
        raise ValueError(f"Retriever: mode must be 'loss', 'predict' or 'tensor', got {mode!r}.")

    def loss(self, inputs: Tensor, data_samples: Sequence) -> dict[str, Tensor]:
        """Losses of matching pairs, caption i with video i, over all processes."""
        self.limit_scale()
        ids = self.tokenize(check_captions(data_samples, len(inputs)))
        states, frames = self._encode_batch(ids, inputs)
        tensors = dict(states=states, frames=frames, mask=self.mask(ids))
        if self.contrast.needs_owners:
            tensors['owners'] = owner_numbers([s.video_id for s in data_samples], ids.device)
        if self.contrast.text_negatives:
            tensors['captions'] = owner_numbers([s.captions[0] for s in data_samples], ids.device)
        rows = gather_rows(list(tensors.values()), self.gather)
        check_numbers(*rows[:2])
        return self._losses(**dict(zip(tensors, rows, strict=True)))

    def _encode_batch(self, ids: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Own captions and videos through the encoders, perhaps in parts."""
        (frames,) = encode_in_parts(self.encode_frames, self.backbone, video, self.micro_batch)
        (states,) = encode_in_parts(self.read_ids, self.text_tower, ids, self.micro_batch)
        return states, frames

    def _losses(
        self,
        states: Tensor,
        frames: Tensor,
        mask: Tensor,
        owners: Tensor | None = None,
        captions: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of the joint batch; ``scale`` and ``batch_r1`` are for the log."""
        text = self._encode_states(states, mask)
        cosines = score(text, self.similarity.encode_video(frames))
        scale = self.logit_scale.float().exp()
        texts = None
        if captions is not None:
            same = captions[:, None] == captions[None, :]
            if owners is not None:  # captions of one video are not negatives
                same = same | (owners[:, None] == owners[None, :])
            texts = (scale * score(text, text)).masked_fill(same, float('-inf'))
        with torch.autocast(cosines.device.type, enabled=False):
            losses = dict(loss_contrast=self.contrast(self.logits(cosines), owners, texts))
            if self.contrast.decorrelation:
                term = self.similarity.decorrelation(states, mask, frames)
                losses['loss_decorrelation'] = self.contrast.decorrelation * term
        best = cosines.detach().argmax(dim=1)
        right = best == torch.arange(len(best), device=best.device)
        return losses | dict(scale=scale.detach(), batch_r1=right.float().mean())

    def predict(self, inputs: Tensor, data_samples: Sequence) -> list:
        """The samples with the features of their video and of all their captions."""
        check_samples(data_samples, len(inputs))
        video = self.encode_videos(inputs)
        captions = [list(sample.captions) for sample in data_samples]
        text = self.encode_captions([text for texts in captions for text in texts])
        check_numbers(*text.values(), *video.values())
        first = 0
        for i, (sample, texts) in enumerate(zip(data_samples, captions, strict=True)):
            last = first + len(texts)
            sample.video_features = _rows(video, i, i + 1)
            sample.text_features = _rows(text, first, last)
            first = last
        return list(data_samples)

    # ------------------------------------------------------------------- scale

    def logits(self, cosines: Tensor) -> Tensor:
        """What the loss reads: exp(logit_scale) · similarity, and the bias where it has one."""
        logits = self.logit_scale.float().exp() * cosines
        return logits + self.logit_bias.float() if self.has_bias else logits

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Cut ``exp(logit_scale)`` back to the loss's largest, 100 of `ContrastiveLoss`."""
        largest = getattr(self.contrast, 'largest_scale', LARGEST_SCALE)
        if largest is not None:
            self.logit_scale.clamp_(max=math.log(largest))

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """What is saved after the last step is cut back, too."""
        self.limit_scale()
        super()._save_to_state_dict(destination, prefix, keep_vars)


def _rows(features: Mapping[str, Tensor], first: int, last: int) -> dict[str, Tensor]:
    """Some items' features."""
    return {name: tensor[first:last] for name, tensor in features.items()}
