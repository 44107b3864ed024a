"""A new method passes the sweep by its class alone, as docs/add_a_method.md promises."""

import pytest
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmstadapter.models.backbones.outputs import check_output, join_frames, out_width
from mmstadapter.models.ops.clips import images_of
from mmstadapter.models.parts import built_trunk

from . import test_every_backbone as sweep
from .cases import CASES, registered, with_defaults, write_keys


class Scale(nn.Module):
    """y + g * norm(y), a toy: D gains that start at zero, so that training begins at y."""

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embed_dims)
        nn.init.zeros_(self.norm.weight)

    def forward(self, y: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return y + self.norm(y)


class ScaleViT(BaseModule):
    """A frozen trunk with a scale behind each MLP, averaged over frames."""

    def __init__(self, trunk: dict | nn.Module, output: str = 'clip') -> None:
        super().__init__()
        self.trunk = built_trunk(trunk, 'ScaleViT')
        self.scales = nn.ModuleList(Scale(self.trunk.embed_dims) for _ in self.trunk.blocks)
        self.output = check_output(output, self.trunk, 'ScaleViT')

    @property
    def out_channels(self) -> int:
        """Width of the feature."""
        return out_width(self.trunk, self.output)

    def forward(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, D), for any T."""
        x = self.trunk.embed(images_of(video))
        for block, scale in zip(self.trunk.blocks, self.scales, strict=True):
            x = block.feed_forward(block.attend(x), post=scale)
        return join_frames(self.trunk, self.trunk.readout(x), video.shape[2], self.output)


@pytest.fixture(scope='module', autouse=True)
def keys(tmp_path_factory):
    """The class as if in a file of its own, and the folder with what `make keys` writes."""
    folder = tmp_path_factory.mktemp('keys')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScaleViT, '__module__', 'mmstadapter.models.backbones.scale')
        patch.setitem(MODELS.module_dict, 'ScaleViT', ScaleViT)
        patch.setitem(CASES, 'scale', with_defaults(CASES)['scale'])
        patch.setattr(sweep, 'KEYS', folder)
        write_keys(folder)
        yield folder


@pytest.mark.parametrize('case', ['scale'])
class TestANewMethod(sweep.EveryBackbone):
    pass


def test_a_method_that_is_not_exported_is_told_where_to_be():
    assert registered()['ScaleViT'] == 'scale'
    with pytest.raises(AssertionError, match=r'import .*ScaleViT.* in .*backbones/__init__.py'):
        sweep.test_every_backbone_of_the_folder_is_registered_and_exported()


def test_key_names_that_nobody_reviewed_fail_with_the_remedy(keys, capsys):
    (keys / 'scale.txt').write_text('scales.0.norm.weight\n')
    (keys / 'gone.txt').write_text('')
    with pytest.raises(AssertionError, match='run `make keys`'):
        sweep.EveryBackbone().test_key_names_match_the_contract('scale')
    with pytest.raises(AssertionError, match='run `make keys`'):
        sweep.test_the_key_files_are_those_of_the_cases()
    write_keys(keys)
    assert capsys.readouterr().out == 'removed gone.txt\nwrote scale.txt\n'
    sweep.EveryBackbone().test_key_names_match_the_contract('scale')
    sweep.test_the_key_files_are_those_of_the_cases()
