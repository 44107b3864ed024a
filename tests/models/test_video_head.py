"""The classifier: its start, its smoothed loss, and what it refuses."""

import pytest
import torch
from mmaction.structures import ActionDataSample
from torch.nn import functional

from mmstadapter.models import VideoHead


def samples(*labels: int) -> list[ActionDataSample]:
    return [ActionDataSample().set_gt_label(label) for label in labels]


@pytest.mark.parametrize('labels', [(0, 6, 2), (3,)])
@pytest.mark.parametrize('eps', [0.1, 0.0])
def test_smoothing_is_a_mean_of_the_cross_entropy_over_classes(eps, labels):
    scores = 3 * torch.randn(len(labels), 7, generator=torch.Generator().manual_seed(0))
    head = VideoHead(in_channels=4, num_classes=7, label_smooth_eps=eps)
    minus_log = -functional.log_softmax(scores, dim=1)
    nll = minus_log[range(len(labels)), list(labels)]
    expected = ((1 - eps) * nll + eps * minus_log.mean(dim=1)).mean()
    torch.testing.assert_close(head.loss_by_feat(scores, samples(*labels))['loss_cls'], expected)


def test_smoothing_is_that_of_pytorch():
    scores = torch.randn(5, 7)
    head = VideoHead(in_channels=4, num_classes=7, label_smooth_eps=0.1)
    expected = functional.cross_entropy(scores, torch.arange(5), label_smoothing=0.1)
    torch.testing.assert_close(head.loss_by_feat(scores, samples(*range(5)))['loss_cls'], expected)


def test_it_starts_small_as_st_adapter_has_it():
    head = VideoHead(in_channels=400, num_classes=100)
    assert head.fc_cls.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not head.fc_cls.bias.any()


def test_it_starts_as_pytorch_has_it_where_no_deviation_is_given():
    torch.manual_seed(3)
    expected = torch.nn.Linear(16, 5)
    torch.manual_seed(3)
    head = VideoHead(in_channels=16, num_classes=5, init_std=None)
    head.init_weights()  # the runner calls it and changes nothing
    assert torch.equal(head.fc_cls.weight, expected.weight)
    assert torch.equal(head.fc_cls.bias, expected.bias)


def test_a_label_outside_the_classes_is_refused():
    head = VideoHead(in_channels=4, num_classes=5)
    with pytest.raises(ValueError, match='num_classes'):
        head.loss_by_feat(torch.randn(1, 5), samples(5))
