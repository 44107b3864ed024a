"""torch.export makes graphs of our modules that hold for any number of clips and sentences."""

import pytest
import torch
from mmaction.registry import MODELS
from torch.export import Dim, export

from mmstadapter.testing import fill, tiny_text, tiny_trunk, toy_clips


def exported(module, x):
    batch = ({0: Dim('batch')},)
    return export(module, (x,), dynamic_shapes=batch).module()


class TestAGraph:
    @pytest.mark.slow
    def test_takes_other_batches_of_clips_than_it_was_made_with(self):
        trunk = dict(trunk=tiny_trunk(), frames_per_pass=3)
        options = dict(side_dims=16, head_dims=8, recompute='block')
        model = MODELS.build(dict(type='mmstadapter.Side4VideoViT') | trunk | options)
        graph = exported(fill(model).eval(), toy_clips(2))
        clips = toy_clips(5, seed=1)
        torch.testing.assert_close(graph(clips), model(clips))

    def test_takes_other_batches_of_sentences(self):
        tower = fill(MODELS.build(tiny_text())).eval()
        graph = exported(tower, torch.arange(16).view(2, 8) % 14)
        ids = torch.arange(40).view(5, 8) % 13
        torch.testing.assert_close(graph(ids), tower(ids))


def test_a_trunk_without_projection_has_no_joint_width_to_those_who_ask():
    bare, joint = (MODELS.build(tiny_trunk(with_proj=p)) for p in (False, True))
    assert not hasattr(bare, 'joint_dims') and getattr(bare, 'joint_dims', None) is None
    assert joint.joint_dims == 16
