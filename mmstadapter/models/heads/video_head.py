"""The linear classifier on a clip's feature."""

import torch
from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from torch import Tensor, nn


class CheckedHead(BaseHead):
    """MMAction2's head with labels checked, and scores in float32 from the loss on."""

    def loss_by_feat(self, cls_scores: Tensor, data_samples: SampleList) -> dict:
        """Cross entropy and top-k accuracy of (B, num_classes) scores, in float32.

        Raises:
            ValueError: if a label is outside the classes.
        """
        self._check_labels(data_samples)
        return super().loss_by_feat(cls_scores.float(), data_samples)

    def predict_by_feat(self, cls_scores: Tensor, data_samples: SampleList) -> SampleList:
        """Average the views' scores, in float32, and write them into the samples."""
        return super().predict_by_feat(cls_scores.float(), data_samples)

    def _check_labels(self, data_samples: SampleList) -> None:
        hard = [s.gt_label for s in data_samples if not torch.is_floating_point(s.gt_label)]
        labels = torch.cat(hard).cpu() if hard else torch.empty(0)
        wrong = labels[(labels < 0) | (labels >= self.num_classes)].tolist()
        if wrong and not self.multi_class:
            raise ValueError(
                f'{type(self).__name__}: labels must lie in 0..{self.num_classes - 1}, got '
                f'{wrong}. Set model.cls_head.num_classes to the number of classes of the data '
                'set.'
            )


@MODELS.register_module()
class VideoHead(CheckedHead):
    """Dropout and a linear classifier, as the released ST-Adapter and Side4Video have them.

    Pooling and the norms belong to the backbone.

    Args:
        in_channels: width of the feature.
        num_classes: number of classes.
        dropout_ratio: dropout before the classifier; 0.5 in the released code.
        init_std: standard deviation of the classifier's initial weights, whose bias then
            starts at zero; 0.02 in the released ST-Adapter code. None leaves PyTorch's
            default for both, as in the released Side4Video code.
        average_clips: how the scores of a video's views are averaged in testing:
            ``'prob'`` (mean of softmax, as released), ``'score'`` or ``None``.
        kwargs: further options of MMAction2's ``BaseHead`` (``loss_cls``,
            ``label_smooth_eps``, ``topk``, ...). Smoothing by e is (1 - e) times the cross
            entropy plus e times its mean over all classes; Side4Video has 0.1.
    """

    def __init__(
        self,
        in_channels: int = 768,
        num_classes: int = 400,
        dropout_ratio: float = 0.5,
        init_std: float | None = 0.02,
        average_clips: str | None = 'prob',
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, average_clips=average_clips, **kwargs)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(in_channels, num_classes)
        if init_std is not None:
            nn.init.normal_(self.fc_cls.weight, std=init_std)
            nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: Tensor, **kwargs) -> Tensor:
        """(B, D) -> (B, num_classes) scores."""
        return self.fc_cls(self.dropout(x))
