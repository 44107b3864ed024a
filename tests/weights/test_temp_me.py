"""Official TempMe checkpoints: there and back, onto our models, and what is refused."""

from pathlib import Path

import pytest
import torch

from mmstadapter.commands.convert import main
from mmstadapter.parity import read_case
from mmstadapter.weights import read_tensors, to_ours

CASE = Path(__file__).parents[1] / 'reference/parity/tempme_2_two_heads_three_frames.safetensors'


def official() -> dict[str, torch.Tensor]:
    """The official state dict of the parity case, in float32."""
    tensors = read_tensors(CASE)
    return {k[6:]: v.float() for k, v in tensors.items() if k.startswith('param/')}


def convert(*arguments) -> None:
    origin, target, src, dst = map(str, arguments)
    main(['--from', origin, '--to', target, src, dst])


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    given = official()
    src, ours, back = (tmp_path / f'{name}.pth' for name in ('official', 'ours', 'back'))
    torch.save(given, src)  # as released, a state dict alone
    convert('tempme', 'mmstadapter', src, ours)
    state = torch.load(ours, weights_only=True)['state_dict']
    assert state['backbone.clip_embed.1'].shape == (6, 64) and len(state) == len(given)
    read_case(CASE).model.load_state_dict(state, strict=True)
    convert('mmstadapter', 'tempme', ours, back)
    again = read_tensors(back)
    assert again.keys() == given.keys()
    assert all(torch.equal(again[name], given[name]) for name in given)


def test_a_name_of_another_model_is_refused():
    with pytest.raises(KeyError, match=r"tempme: no rule for 'clip.visual.TVPt_new'"):
        to_ours('tempme', official() | {'clip.visual.TVPt_new': torch.zeros(1)})


@pytest.mark.parametrize('shape', [(6, 64), (1, 6, 2, 64)])
def test_positions_of_another_shape_are_refused(shape):
    name = 'clip.visual.transformer.resblocks.1.TVPt_Video_Positional_embedding'
    with pytest.raises(ValueError, match=r'must be \(1, clips, 1, width\), got'):
        to_ours('tempme', official() | {name: torch.zeros(shape)})
