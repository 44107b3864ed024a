"""A head a task, for the features of one backbone pass."""

from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmaction.utils import SampleList
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class MultiTaskHead(BaseModule):
    """The heads of several tasks, as ``cls_head`` beside `SharedTrunkViT`.

    A video's labels are those of a data set with ``multi_class=True``, in one numbering: the
    first task's classes come first, then the second's, ... A video may lack a label for
    some tasks, which then do not learn from it.

    Args:
        heads: task -> config of its head, each with its own ``num_classes``; the tasks are
            the branches' names.
    """

    def __init__(self, heads: dict[str, dict]) -> None:
        super().__init__()
        if not heads:
            raise ValueError('MultiTaskHead: needs one head or more.')
        misread = [name for name in heads if 'loss' in name]
        if misread:
            raise ValueError(
                f'MultiTaskHead: MMEngine adds up whatever is called a loss, accuracies of '
                f'{misread[0]!r} too. Give the task a name without "loss".'
            )
        self.heads = nn.ModuleDict({name: MODELS.build(head) for name, head in heads.items()})

    @property
    def num_classes(self) -> int:
        """Of all tasks together, as the data set's ``num_classes``."""
        return sum(head.num_classes for head in self.heads.values())

    def forward(self, feats: dict[str, Tensor], **kwargs) -> dict[str, Tensor]:
        """Features (B, C) a task -> scores (B, classes) a task."""
        return {name: head(feats[name], **kwargs) for name, head in self.heads.items()}

    def loss(
        self, feats: dict[str, Tensor], data_samples: SampleList, **kwargs
    ) -> dict[str, Tensor]:
        """Every task's losses and accuracies, named ``<task>.<name>``."""
        self._check(feats)
        losses: dict[str, Tensor] = {}
        for name, samples in self.split(data_samples).items():
            kept = [i for i, sample in enumerate(samples) if sample.gt_label.item() >= 0]
            head = self.heads[name]
            if kept:
                found = head.loss(feats[name][kept], [samples[i] for i in kept], **kwargs)
            else:  # distributed training waits for a gradient of every parameter
                found = dict(loss_cls=0.0 * head(feats[name]).sum())
            losses |= {f'{name}.{key}': value for key, value in found.items()}
        return losses

    def predict(self, feats: dict[str, Tensor], data_samples: SampleList, **kwargs) -> SampleList:
        """Write ``tasks``, task -> sample with label and scores, into the samples."""
        self._check(feats)
        split = self.split(data_samples)
        tasks = {
            name: head.predict(feats[name], split[name], **kwargs)
            for name, head in self.heads.items()
        }
        for i, sample in enumerate(data_samples):
            sample.set_data(dict(tasks={name: samples[i] for name, samples in tasks.items()}))
        return data_samples

    def split(self, data_samples: SampleList) -> dict[str, SampleList]:
        """Task -> samples with that task's label alone, counted from 0; -1 where there is none."""
        first, split = 0, {}
        for name, head in self.heads.items():
            split[name] = [self._sample(s, first, first + head.num_classes) for s in data_samples]
            first += head.num_classes
        return split

    def _sample(self, sample: ActionDataSample, first: int, end: int) -> ActionDataSample:
        own = ActionDataSample(metainfo=sample.metainfo)
        own.set_gt_label(self._label(sample.gt_label, first, end))
        if 'lost_label' in sample:  # what a video has that could not be read
            own.set_metainfo(dict(lost_label=self._label(sample.lost_label, first, end)))
        return own

    def _label(self, labels: Tensor, first: int, end: int) -> int:
        """The label among classes first to end - 1, counted from 0; -1 where there is none."""
        if labels.numel() != self.num_classes:
            raise ValueError(
                f'MultiTaskHead: labels must be {self.num_classes} zeros and ones, one a class of '
                f'all tasks, got {tuple(labels.shape)}. Set multi_class=True and num_classes='
                f'{self.num_classes} in the data set.'
            )
        own = labels[first:end]
        if own.sum() > 1:
            raise ValueError(
                f'MultiTaskHead: a video has {int(own.sum())} labels among the classes {first} to '
                f'{end - 1}, which are one task; at most one is possible.'
            )
        return int(own.argmax()) if own.any() else -1

    def _check(self, feats: dict[str, Tensor]) -> None:
        if not isinstance(feats, dict) or feats.keys() != set(self.heads):
            given = list(feats) if isinstance(feats, dict) else type(feats).__name__
            raise ValueError(
                f'MultiTaskHead: the backbone must give a feature for each of '
                f'{list(self.heads)}, got {given}. Use SharedTrunkViT with these branches.'
            )
