"""Our models give the numbers of the authors' code; the certificate notices when not."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmstadapter.commands import parity as command
from mmstadapter.models.ops.time_shift import TimeShift
from mmstadapter.parity import zeroi2v
from mmstadapter.parity.case import compare, compare_statistics

ROOT = Path(__file__).parents[1]
REFERENCE = Path(__file__).parent / 'reference/parity'


@pytest.fixture(scope='module')
def tool():
    return command


@pytest.fixture
def parity(tool, capsys):
    """Run the tool with arguments; gives its exit status and what it printed."""

    def run(*arguments):
        status = tool.main(list(map(str, arguments)))
        return status, capsys.readouterr().out

    return run


@pytest.fixture
def case(tmp_path):
    """A copy of one reference case."""
    for suffix in ('.json', '.safetensors'):
        shutil.copy(REFERENCE / f'st_adapter_5_last2_k133{suffix}', tmp_path / f'case{suffix}')
    return tmp_path / 'case.safetensors'


# How many quantities a case compares. Models: weights, trained names, activations, logits, loss,
# batch norm statistics, gradients, their norms, with AIM and ZeroI2V the frozen ones' too and
# what is merged; text towers: the like; tokenizer: vocabulary, pieces, rows, masks.
QUANTITIES = dict(
    B_text_1=97,
    E_tokenizer_1=7,
    F_eva_text_1=56,
    aim_1_one_temporal=228,
    aim_4_imagenet_rectangle=226,
    dist_2_selected_kernel5=362,
    evl_1_all=176,
    evl_2_conv_only_rectangle=215,
    s4v_clip_2_interval=384,
    s4v_eva_2_two_heads_odd_grid=237,
    st_adapter_2_pre_mlp=75,
    st_adapter_4_both_k333=132,
    st_adapter_5_last2_k133=94,
    tdsclip_2_two_heads_odd_grid=493,
    tempme_2_two_heads_three_frames=70,
    vjepa2_2_one_block=51,
    zeroi2v_1_one_head_each_way=208,
    zeroi2v_4_ablation_right=191,
)


def test_every_reference_case_holds(parity):
    status, out = parity(REFERENCE)
    assert status == 0, out
    cases = re.findall(r'^(\w+): .*\n(?:  .*\n)*?  (\d+) of \2 quantities agree', out, re.M)
    assert {name: int(number) for name, number in cases} == QUANTITIES
    assert f'{len(QUANTITIES)} of {len(QUANTITIES)} cases hold' in out
    assert 'eval/grad/transformer.resblocks.2.adapter_pre_attn.conv.weight' in out
    assert 'train/buffer/visual.side_blocks.0.bn_1.running_var' in out
    assert 'grad/text.token_embedding.weight' in out and 'mask32' in out


@pytest.mark.parametrize(
    'tensor',
    ['eval/logits', 'train/loss', 'eval/act/block1', 'eval/grad/fc.bias', 'param/fc.weight'],
)
def test_a_changed_number_fails_the_certificate(parity, case, tensor):
    tensors = load_file(case)
    tensors[tensor].view(-1)[0] += 0.01
    save_file(tensors, case)
    status, out = parity(case)
    assert status == 1 and 'FAIL' in out


def test_a_number_that_nothing_is_compared_with_fails_the_certificate(parity, case):
    save_file(load_file(case) | {'train/new': torch.zeros(1)}, case)
    status, out = parity(case)
    assert status == 1 and '1 stored and not compared: train/new' in out


@pytest.mark.parametrize('change', [dict(heads=2), dict(adapter_layers=3)])
def test_other_constructor_arguments_fail_the_certificate(parity, case, change):
    info = json.loads(case.with_suffix('.json').read_text())
    info['constructor'] |= change
    case.with_suffix('.json').write_text(json.dumps(info))
    status, out = parity(case)
    assert status == 1 and 'FAIL' in out


def test_tolerances_grow_with_what_rounding_grows_with():
    grads = torch.full((64,), 0.01), torch.full((4, 400), 0.5)  # norms 0.08 and 20
    stored = [[g.double().norm().item(), g.double().sum().item()] for g in grads]
    lines = [
        line for g, s in zip(grads, stored, strict=True) for line in compare_statistics('g', g, s)
    ]
    allowed = [2e-5, 2e-5 * 8, 2e-5 * 20, 2e-5 * 20 * 40]
    assert [line.tolerance for line in lines] == pytest.approx(allowed)
    lines = [compare('b', 'buffer', v, v) for v in (torch.tensor(0.5), torch.tensor(8.0))]
    assert [line.tolerance for line in lines] == pytest.approx([1e-6, 8e-6])


@pytest.mark.slow
def test_an_unknown_source_is_reported_and_fails(parity, case):
    info = json.loads(case.with_suffix('.json').read_text())
    case.with_suffix('.json').write_text(json.dumps(info | dict(source='elsewhere')))
    status, out = parity(case, REFERENCE)
    assert status == 1
    assert 'Known: linziyi96/st-adapter A: ST-Adapter; HJYao00/Side4Video B: ' in out
    assert f'{len(QUANTITIES)} of {len(QUANTITIES) + 1} cases hold' in out


@pytest.mark.parametrize('lost', ['param/fc.weight', 'loss_weight'])
@pytest.mark.slow
def test_a_case_that_cannot_be_computed_fails_and_the_others_go_on(parity, case, lost):
    tensors = load_file(case)
    del tensors[lost]
    save_file(tensors, case)
    status, out = parity(case, REFERENCE)
    assert status == 1 and 'case: ' in out
    assert f'{len(QUANTITIES)} of {len(QUANTITIES) + 1} cases hold' in out


def test_a_missing_file_is_named(parity, tmp_path, capsys):
    with pytest.raises(SystemExit):
        parity(tmp_path / 'nothing.safetensors')
    assert 'nothing.safetensors does not exist' in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(parity, case, capsys):
    with pytest.raises(SystemExit):
        parity(case, '--device', 'cuda:99')
    assert "device 'cuda:99' cannot be used" in capsys.readouterr().err


def test_another_task_of_a_known_source_is_no_model_of_it(parity, case):
    info = json.loads(case.with_suffix('.json').read_text())
    case.with_suffix('.json').write_text(json.dumps(info | dict(task='B: training steps')))
    status, out = parity(case)
    assert status == 1
    assert "'B: training steps'. Known: linziyi96/st-adapter A: ST-Adapter" in out


def test_quiet_prints_what_fails_alone(parity, case):
    assert parity(case, '--quiet') == (0, '1 of 1 cases hold\n')
    tensors = load_file(case)
    tensors['eval/logits'] += 0.01
    save_file(tensors, case)
    status, out = parity(case, '--quiet')
    assert status == 1 and 'FAIL eval/logits' in out and '  ok  ' not in out


@pytest.mark.parametrize(
    'options',
    [
        dict(shift_div=4),
        dict(shift_div=3, long_shift_div=7),
        dict(shift_div=2, long_shift_div=4, long_shift_right=True),
        dict(shift_div=4, shift_stride=2, ops_type='tcs'),
        dict(shift_div=4, ops_type='tcs', long_shift_div=16, long_shift_right=True),
        dict(shift_div=4, ops_type='tcs', long_shift_div=4, long_shift_right=True),
        dict(shift_div=4, ops_type='token_shift', long_shift_div=4),
    ],
    ids=str,
)
def test_zeroi2vs_released_options_are_shifts_of_ours(options):
    """Against slices that are written in turn into a copy, 2 heads of 8 channels, 5 frames."""
    frames, heads = 5, 2
    x = torch.randn(frames, 3, heads * 8)  # one clip of three tokens
    ops = options.get('ops_type', 'stdha')
    inside = ops == 'tcs'
    y = x.reshape(frames, 3, heads, 8) if inside else x[:, :, None]
    out, near = y.clone(), options.get('shift_stride', 1)
    fold, tokens = y.shape[-1] // options['shift_div'], slice(0, 1 if ops == 'token_shift' else 3)
    moves = [(-near, 0, fold), (near, fold, 2 * fold)]
    if 'long_shift_div' in options and ops != 'token_shift':
        far = 16 // options['long_shift_div']
        moves += [(-2, 2 * fold, 2 * fold + far)]
        if options.get('long_shift_right'):
            moves += [(2, 2 * fold + far, 2 * fold + 2 * far)]
    for offset, first, last in moves:
        for t in range(frames):
            if 0 <= t + offset < frames:
                out[t, tokens, :, first:last] = y[t + offset, tokens, :, first:last]
    over = zeroi2v.OPS[ops]
    pairs = zeroi2v.shifts_of(options, long=False)
    shift = TimeShift(zeroi2v.in_width(pairs, y.shape[-1], 16), 16, heads, over)
    assert torch.equal(shift(x, frames), out.reshape(x.shape))


class TestTables:
    @pytest.fixture
    def tables(self, tmp_path):
        """A copy of the frames and rates of the comparators' released code."""
        shutil.copy(REFERENCE.parent / 'comparators.json', tmp_path / 'tables.json')
        return tmp_path / 'tables.json'

    def change(self, path, change) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def test_they_hold_in_a_folder_or_named(self, parity, tables):
        (tables.parent / 'other.json').write_text('[1, 2]')  # nobody's table
        for argument in (tables, tables.parent):
            status, out = parity(argument)
            assert status == 0, out
            assert '12 of 12 quantities agree' in out and '1 of 1 cases hold' in out

    @pytest.mark.parametrize(
        'name, change',
        [
            ('aim_frames/test', lambda c: c['aim_frames'][0]['test'].reverse()),
            ('dist_frames/train', lambda c: c['dist_frames'][-1].update(seed_random=1)),
            ('evl_frames/more (not compared)', lambda c: c['evl_frames'][0].update(more=[1])),
            ('zeroi2v_lr/epochs', lambda c: c['zeroi2v_lr']['rate_of_epoch_start'].reverse()),
            ('evl_lr: 100 rates for 101', lambda c: c['evl_lr']['rate_of_step'].append(0.0)),
            ('dist_lr', lambda c: c['dist_lr'].update(warmup=5)),
            ('new: stored and not compared', lambda c: c.update(new=[1])),
        ],
    )
    def test_a_change_fails_them(self, parity, tables, name, change):
        self.change(tables, change)
        status, out = parity(tables)
        assert status == 1 and f'FAIL {name}' in out

    @pytest.mark.parametrize('kind', ['sampled_1_based', 'frames_0_based'])
    def test_a_file_that_is_one_table_is_compared_too(self, parity, tmp_path, kind):
        file = tmp_path / 'frames.json'
        shutil.copy(REFERENCE.parent / 'tds_frames.json', file)
        status, out = parity(tmp_path)
        assert status == 0 and '2 of 2 quantities agree' in out
        self.change(file, lambda content: content['cases'][3][kind].reverse())
        status, out = parity(file)
        assert status == 1 and f'FAIL tds_frames/{kind}: rows of 16' in out

    def test_a_table_that_lacks_something_fails_and_the_others_go_on(self, parity, tables, case):
        self.change(tables, lambda content: content['aim_frames'][0].pop('clip_len'))
        status, out = parity(tables.parent)
        assert status == 1 and "tables: FAIL, not compared: KeyError: 'clip_len'" in out
        assert '1 of 2 cases hold' in out
