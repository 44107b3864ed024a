"""The command converts files there and back and never harms one."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from mmstadapter.commands.convert import NAMES, main
from mmstadapter.testing import write_clip_file
from mmstadapter.weights import SOURCES, from_ours, load_text, load_visual, read_tensors, to_ours

REFERENCE = Path(__file__).parents[1] / 'reference' / 'parity'


@pytest.fixture
def convert(capsys):
    """Run the command; gives what it printed."""

    def run(origin, target, src, dst, *options, fails=''):
        argv = ['--from', origin, '--to', target, src, dst, *options]
        with pytest.raises(SystemExit) if fails else nullcontext():
            main(list(map(str, argv)))
        printed = capsys.readouterr()
        assert fails in printed.err
        return printed.out

    return run


def test_its_help_knows_every_source():
    assert NAMES == ('mmstadapter', *SOURCES), 'write them into commands/convert.py'


def same(actual, expected):
    assert_close(dict(sorted(actual.items())), dict(sorted(expected.items())), rtol=0, atol=0)


def training_state():
    """What the official code saves beside the model."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    scaler = dict(scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000)
    return dict(
        optimizer=optimizer.state_dict(),
        lr_sched=schedule.state_dict(),
        loss_scaler=scaler,
        next_epoch=12,
    )


@pytest.mark.parametrize('official_adapters', [(True, True)], indirect=True)
def test_official_st_adapter_there_and_back(convert, official_adapters, tmp_path):
    src, ours, back = tmp_path / 'official.pth', tmp_path / 'ours.pth', tmp_path / 'back.pth'
    wrapped = {f'module.{name}': tensor for name, tensor in official_adapters.items()}
    torch.save({'model': wrapped, **training_state()}, src)
    out = convert('st-adapter', 'mmstadapter', src, ours)
    assert f'{len(wrapped)} tensors read, {len(wrapped)} written' in out
    checkpoint = torch.load(ours, weights_only=True)
    same(checkpoint['state_dict'], to_ours('st-adapter', official_adapters))
    convert('mmstadapter', 'st-adapter', ours, back)
    same(torch.load(back, weights_only=True)['model'], official_adapters)


def official_side4video(case):
    """The official state dict of a parity case, in float32."""
    tensors = read_tensors(REFERENCE / f'{case}.safetensors')
    state = {
        k.split('/', 1)[1]: v for k, v in tensors.items() if k.startswith(('param/', 'buffer/'))
    }
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def test_official_side4video_with_eva_there_and_back(convert, tmp_path):
    official = official_side4video('s4v_eva_2_two_heads_odd_grid')
    src, ours, back = tmp_path / 'official.pt', tmp_path / 'ours.pth', tmp_path / 'back.safetensors'
    torch.save(dict(epoch=29, model_state_dict=official), src)
    convert('side4video-eva', 'mmstadapter', src, ours)
    convert('mmstadapter', 'side4video-eva', ours, back)
    same(read_tensors(back), official)


def test_of_official_side4video_with_clip_the_tuned_part_is_kept(convert, tmp_path):
    official = official_side4video('s4v_clip_2_interval')
    src, ours, back = tmp_path / 'official.pt', tmp_path / 'ours.pth', tmp_path / 'back.safetensors'
    torch.save(dict(epoch=29, model_state_dict=official), src)
    assert 'left out: the trunk' in convert('side4video-clip', 'mmstadapter', src, ours)
    assert not [n for n in read_tensors(ours) if n.startswith('backbone.trunk.')]
    convert('mmstadapter', 'side4video-clip', ours, back)
    tuned = {n: t for n, t in official.items() if 'side' in n or n.startswith('fc.')}
    same(read_tensors(back), tuned)


def test_clip_between_names_gives_the_same_tower(convert, trunk, tmp_path):
    src, ours, hf = (tmp_path / f'{n}.safetensors' for n in ('openai', 'ours', 'hf'))
    text = {'ln_final.weight': torch.ones(2), 'logit_scale': torch.ones(1)}
    save_file(from_ours('openai-clip', trunk) | text, src)
    assert 'ignored 1: ln_final.*' in convert('openai-clip', 'mmstadapter', src, ours)
    same(load_visual(ours), trunk)
    convert('mmstadapter', 'hf-clip', ours, hf)
    same(read_tensors(hf), from_ours('hf-clip', trunk))
    same(load_visual(hf), trunk)


def test_the_text_tower_of_the_same_file(convert, tmp_path):
    src = write_clip_file(tmp_path / 'clip.safetensors')
    ours, hf = tmp_path / 'ours.safetensors', tmp_path / 'hf.safetensors'
    assert 'ignored 44: visual.*' in convert('openai-clip-text', 'mmstadapter', src, ours)
    convert('openai-clip-text', 'hf-clip-text', src, hf)
    same(dict(load_text(ours)), dict(load_text(src)))
    same(dict(load_text(hf)), dict(load_text(src)))
    convert(
        'openai-clip-text', 'hf-clip', src, hf, '--force', fails='a text tower, hf-clip an image'
    )


def test_errors_are_one_line_and_leave_no_file(convert, trunk, tmp_path):
    src, dst = tmp_path / 'src.safetensors', tmp_path / 'dst.safetensors'
    save_file(from_ours('openai-clip', trunk), src)
    convert('hf-clip', 'mmstadapter', src, dst, fails="hf-clip: no rule for 'visual.")
    convert(
        'openai-clip',
        'st-adapter',
        src,
        dst,
        fails='openai-clip an image tower, st-adapter a whole',
    )
    convert('openai-clip', 'mmstadapter', src, tmp_path / 'x.bin', fails='must end in .safetensors')
    assert list(tmp_path.iterdir()) == [src]
    dst.write_bytes(b'precious')
    convert('openai-clip', 'mmstadapter', src, dst, fails='use --force')
    assert dst.read_bytes() == b'precious'
    convert('openai-clip', 'mmstadapter', src, dst, '--force')
    same(read_tensors(dst), trunk)


def test_what_fails_while_writing_is_one_line_too(convert, trunk, tmp_path):
    src, dst = tmp_path / 'src.safetensors', tmp_path / 'dst.safetensors'
    layer = 'vision_model.encoder.layers.3.self_attn'
    theirs = from_ours('hf-clip', trunk)
    save_file(theirs | {f'{layer}.k_proj.weight': torch.ones(6, 5)}, src)
    convert('hf-clip', 'mmstadapter', src, dst, fails='Sizes of tensors must match')
    save_file(theirs, src)
    (tmp_path / 'a file').touch()
    convert('hf-clip', 'mmstadapter', src, tmp_path / 'a file/x.pth', fails='a file')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a file', 'src.safetensors']


def test_a_pth_file_holds_parts_and_not_what_they_are_parts_of(convert, tmp_path):
    whole = torch.arange(1000.0)
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save({'cls_head.fc_cls.bias': whole[:3], 'cls_head.fc_cls.weight': whole[3:9:2]}, src)
    assert src.stat().st_size > 4000
    convert('mmstadapter', 'st-adapter', src, dst)
    assert dst.stat().st_size < 3000
    expected = {'fc.bias': whole[:3], 'fc.weight': whole[3:9:2]}
    same(torch.load(dst, weights_only=True)['model'], expected)


@pytest.mark.parametrize('name', ['ln_pre.bias', 'transformer.resblocks.3.mlp.c_fc.weight'])
@pytest.mark.parametrize('target', ['mmstadapter', 'hf-clip'])
def test_a_tower_that_lacks_a_tensor_is_not_written(convert, trunk, tmp_path, name, target):
    src, dst = tmp_path / 'openai.safetensors', tmp_path / 'out.safetensors'
    tensors = from_ours('openai-clip', trunk)
    del tensors[f'visual.{name}']
    save_file(tensors, src)
    convert(
        'openai-clip',
        target,
        src,
        dst,
        fails=f'not whole: of an image tower it lacks 1 tensors, {name}',
    )
    assert not dst.exists()


def test_a_tower_without_its_projection_is_whole(convert, trunk, tmp_path):
    src, dst = tmp_path / 'openai.safetensors', tmp_path / 'out.safetensors'
    save_file(from_ours('openai-clip', {n: t for n, t in trunk.items() if n != 'proj'}), src)
    convert('openai-clip', 'mmstadapter', src, dst)
    assert 'proj' not in read_tensors(dst)


def test_weights_that_are_not_numbers_are_not_written(convert, trunk, tmp_path):
    src, dst = tmp_path / 'openai.safetensors', tmp_path / 'out.safetensors'
    trunk['ln_pre.bias'][0] = float('nan')
    save_file(from_ours('openai-clip', trunk), src)
    convert('openai-clip', 'mmstadapter', src, dst, fails='visual.ln_pre.bias')
    assert not dst.exists()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04' + bytes(99), b'\x80\x02' + bytes(99)])
def test_a_damaged_file_is_named_without_advice_to_trust_it(convert, tmp_path, content):
    (tmp_path / 'bad.pth').write_bytes(content)
    convert('openai-clip', 'mmstadapter', tmp_path / 'bad.pth', tmp_path / 'o.pth', fails='bad.pth')
