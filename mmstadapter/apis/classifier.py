"""A recogniser as a module of PyTorch alone: clips in, class scores out."""

from mmaction.models.recognizers import BaseRecognizer
from torch import Tensor, nn

from .clips import ClipTransform


class VideoClassifier(nn.Module):
    """Backbone and classifier; what `create_model` gives for recognition.

    Its state dict has the names of MMAction2's recogniser, so that checkpoints of either load
    into the other.

    Args:
        recognizer: a built recogniser.
        transform: what makes its input of videos; None if the config has no test pipeline.
        features: leave the classifier out: `forward` gives what it would read.

    Attributes:
        transform: see :class:`ClipTransform`; it holds the number of frames, their size, mean
            and standard deviation.
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

    def forward(self, video: Tensor) -> Tensor:
        """Class scores (logits) of clips.

        Args:
            video: (B, 3, T, H, W), normalised RGB: (pixels of 0..255 - mean) / std with the
                values of ``transform``, which makes such clips; T and size are the recipe's,
                and backbones take any T.

        Returns:
            (B, num_classes), before the softmax; without a classifier the features (B, D).

        Raises:
            ValueError: for another shape, or whole numbers, which are not normalised.
        """
        if video.ndim != 5 or video.shape[1] != 3 or not video.is_floating_point():
            raise ValueError(
                'VideoClassifier: needs normalised clips (B, 3, T, H, W) of floating point, got '
                f'{video.dtype} {tuple(video.shape)}. model.transform(FILE OR FRAMES) makes them.'
            )
        features = self.backbone(video)
        return features if self.cls_head is None else self.cls_head(features)
