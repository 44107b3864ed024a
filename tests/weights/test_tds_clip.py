"""Official TDS-CLIP checkpoints: there and back, and onto our model."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.runner import load_checkpoint

from mmstadapter.commands.convert import main
from mmstadapter.weights import SOURCES, from_ours, read_tensors, to_ours

CASE = Path(__file__).parents[1] / 'reference/parity/tdsclip_2_two_heads_odd_grid.safetensors'


def official() -> dict[str, torch.Tensor]:
    """The state dict as the authors save it, in float32."""
    given = read_tensors(CASE)
    parameters = {k[6:]: v.float() for k, v in given.items() if k.startswith('param/')}
    return parameters | {k[7:]: v for k, v in given.items() if k.startswith('buffer/')}


def tuned(name: str) -> bool:
    return 'side' in name or name.startswith('fc.')


def test_what_is_tuned_comes_back_as_it_was(tmp_path):
    src, ours, back = (tmp_path / f'{name}.pth' for name in ('official', 'ours', 'back'))
    given = official()
    torch.save({'model_state_dict': {f'module.{k}': v for k, v in given.items()}}, src)
    main(['--from', 'tds-clip', '--to', 'mmstadapter', str(src), str(ours)])
    main(['--from', 'mmstadapter', '--to', 'tds-clip', str(ours), str(back)])
    again = read_tensors(back)
    assert again.keys() == set(filter(tuned, given))
    assert all(torch.equal(again[name], given[name]) for name in again)


def test_an_official_file_loads_onto_our_model_with_clips_trunk(tmp_path):
    given, stored, clip = official(), read_tensors(CASE), str(tmp_path / 'clip.pt')
    src, ours = (str(tmp_path / f'{name}.pth') for name in ('official', 'ours'))
    torch.save(given, src)
    main(['--from', 'tds-clip', '--to', 'mmstadapter', src, ours])
    ln_post = {f'visual.ln_post.{kind}': torch.ones(24) for kind in ('weight', 'bias')}
    torch.save({k: v for k, v in given.items() if not tuned(k)} | ln_post, clip)
    arch = dict(img_size=9, patch_size=3, embed_dims=24, num_layers=2, num_heads=2)
    trunk = dict(type='mmstadapter.CLIPViT', arch=arch, checkpoint=clip)
    backbone = dict(type='mmstadapter.TDSCLIPViT', trunk=trunk, side_dims=128)
    head = dict(type='mmstadapter.VideoHead', in_channels=128, num_classes=5)
    model = MODELS.build(dict(type='Recognizer3D', backbone=backbone, cls_head=head)).eval()
    load_checkpoint(model, ours, strict=True)
    video = stored['input'].float().permute(0, 3, 1, 2, 4, 5).flatten(2, 3)
    logits = model.cls_head(model.backbone(video))
    torch.testing.assert_close(logits, stored['eval/logits'], atol=1e-5, rtol=0)


def test_side4videos_files_and_its_are_told_apart():
    stems = [name for name in official() if 'c5' in name or '.mse.' in name]
    assert len(stems) > 20
    for name in stems:
        with pytest.raises(KeyError, match='side4video-clip: no rule for'):
            to_ours('side4video-clip', {name: torch.zeros(1)})
    gate = {'backbone.side.blocks.0.gate.down.weight': torch.zeros(1, 16)}
    assert from_ours('tds-clip', gate).popitem()[1].shape == (1, 16, 1, 1)
    with pytest.raises(KeyError, match='side4video-clip, from ours: no rule'):
        SOURCES['side4video-clip'].from_ours(gate)
