"""A recogniser as a module of PyTorch alone: clips in, class scores out."""

from collections.abc import Sequence

from einops import rearrange
from mmaction.models.recognizers import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch import Tensor, nn

from .clips import ClipTransform


class VideoClassifier(nn.Module):
    """Backbone and classifier; what `create_model` gives for recognition.

    Its state dict has the names of MMAction2's recogniser, so that checkpoints of either load
    into the other. ``model(video)`` gives scores. ``model(pixel_values=..., labels=...)`` gives a
    dict of loss and logits, as models of the library transformers do, so that its ``Trainer``
    trains it; these clips lie as its video processors make them, frames before channels.

    Args:
        recognizer: a built recogniser.
        transform: what makes its input of videos; None if the config has no test pipeline.
        features: leave the classifier out: `forward` gives what it would read.

    Attributes:
        transform: see :class:`ClipTransform`; it holds the number of frames, their size, mean
            and standard deviation.
        recipe: the config that builds the model; None if it was built without one.
        labels: names of the classes, where they are known.
    """

    def __init__(
        self,
        recognizer: BaseRecognizer,
        transform: ClipTransform | None = None,
        features: bool = False,
    ) -> None:
        super().__init__()
        if recognizer.with_neck:
            raise ValueError(
                'VideoClassifier: a recogniser with a neck needs labels in training; train it '
                'with `mmstadapter train`, or remove model.neck.'
            )
        self.backbone = recognizer.backbone
        self.cls_head = None if features else recognizer.cls_head
        self.transform = transform
        self.recipe: Config | None = None
        self.labels: Sequence[str] | None = None

    def forward(
        self,
        video: Tensor | None = None,
        *,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """Class scores (logits) of clips.

        Args:
            video: (B, 3, T, H, W), normalised RGB: (pixels of 0..255 - mean) / std with the
                values of ``transform``, which makes such clips; T and size are the recipe's,
                and backbones take any T.
            pixel_values: (B, T, 3, H, W), the same clips in transformers' order, instead.
            labels: (B,) numbers of the classes, or (B, num_classes) shares of each.

        Returns:
            (B, num_classes), before the softmax; without a classifier the features (B, D). Of
            ``pixel_values`` a dict with these as ``logits``, and with ``labels`` the recipe's
            ``loss``, as `mmstadapter train` computes it.

        Raises:
            ValueError: for another shape, or whole numbers, which are not normalised; labels
                without classes, or that are none.
        """
        if pixel_values is None and labels is None and video is not None:
            return self._scores(video)
        if pixel_values is None or video is not None:
            raise ValueError(
                'VideoClassifier: needs one of video, clips (B, 3, T, H, W), and pixel_values, '
                'clips (B, T, 3, H, W); labels go with pixel_values.'
            )
        if pixel_values.ndim != 5 or pixel_values.shape[2] != 3:
            raise ValueError(
                'VideoClassifier: pixel_values must be (B, T, 3, H, W), as video processors make '
                f'them, got {tuple(pixel_values.shape)}. Clips of model.transform, '
                '(B, 3, T, H, W), go without a name: model(clips).'
            )
        logits = self._scores(rearrange(pixel_values, 'b t c h w -> b c t h w'))
        return dict(logits=logits) if labels is None else self._loss(logits, labels)

    def _loss(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if self.cls_head is None or not hasattr(self.cls_head, 'loss_by_feat'):
            raise ValueError(
                'VideoClassifier: labels are for a model with one classifier; without '
                '(num_classes=0) or with one for each of several tasks leave them out.'
            )
        if len(labels) != len(logits):
            raise ValueError(f'VideoClassifier: {len(labels)} labels for {len(logits)} clips.')
        samples = [ActionDataSample().set_gt_label(label) for label in labels]
        terms = self.cls_head.loss_by_feat(logits, samples)
        loss = sum(value for name, value in terms.items() if 'loss' in name)
        return dict(loss=loss, logits=logits)

    def _scores(self, video: Tensor) -> Tensor:
        if video.ndim != 5 or video.shape[1] != 3 or not video.is_floating_point():
            raise ValueError(
                'VideoClassifier: needs normalised clips (B, 3, T, H, W) of floating point, got '
                f'{video.dtype} {tuple(video.shape)}. model.transform(FILE OR FRAMES) makes them.'
            )
        features = self.backbone(video)
        return features if self.cls_head is None else self.cls_head(features)
