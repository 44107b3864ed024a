"""`mmstadapter plan`, in words and as data."""

import json

import pytest

from mmstadapter.commands.plan import main

pytestmark = pytest.mark.slow

TINY = 'stadapter_vit-tiny_demo-digit.py'


def test_it_says_peak_time_batch_and_settings(capsys):
    main([TINY, '--gpu', '4090', '--gpus', '2', '--batch-size', '4'])
    said = capsys.readouterr().out
    for words in (
        '4 clips of 8 frames of ',
        'optimiser states',
        'gradient bucket',
        'GeForce RTX 4090: at least ',
        'largest batch_size in 24 GB: ',
        'model.backbone.recompute=nothing',
        'model.backbone.recompute=block',
        "memory='auto' with 24 GB free takes recompute='nothing'",
        '--amp',
        'batch_size=2, accumulative_counts=2',
        '16 frames a clip',
        'A lower bound, not a measurement',
    ):
        assert words in said


def test_tools_get_all_of_it(capsys):
    main([TINY, '--json', '--gpu-memory', '0.1'])
    found = json.loads(capsys.readouterr().out)
    assert found['peak'] == sum(found['categories'].values())
    assert found['categories']['kept for backward'] >= max(found['kept'].values()) > 0
    assert found['gpu_memory'] == 0.1e9 and found['largest_batch_size'] > found['batch_size']
    by_name = {setting['name']: setting for setting in found['settings']}
    assert by_name['model.backbone.recompute=block']['peak'] < found['peak']
    assert by_name['16 frames a clip']['seconds_a_clip'] > found['seconds'] / found['clips']


def test_what_does_not_fit_at_all_says_what_to_change(capsys):
    with pytest.raises(SystemExit, match='not even one video fits 0.002 GB.* of them weights'):
        main([TINY, '--gpu-memory', '0.002'])
    said = capsys.readouterr().out
    assert 'not even batch_size=1 fits' in said and 'free finds that none fits' in said


@pytest.mark.parametrize(
    'words, message',
    [
        ([TINY, '--gpu', 'voodoo'], "unknown card 'voodoo'. Known: "),
        ([TINY, '--cfg-options', 'train_dataloader=None'], 'has no train_dataloader'),
    ],
)
def test_a_mistake_is_told_in_a_sentence(words, message):
    with pytest.raises(SystemExit, match=message):
        main(words)


def test_numbers_below_one_are_refused(capsys):
    with pytest.raises(SystemExit):
        main([TINY, '--batch-size', '0'])
    assert '--batch-size 0: must be more than 0' in capsys.readouterr().err


def test_a_model_that_mixes_clips_and_reads_class_names_is_planned():
    from mmengine.config import Config

    from mmstadapter import shipped
    from mmstadapter.planning import TrainingStep

    account = TrainingStep(Config.fromfile(shipped.config('dist_vit-b_k400_16f.py'))).account(2)
    assert account.peak < 2e9 and account.operations > 320e9  # of two clips, forward alone


@pytest.mark.parametrize('name', ['side4video_vit-e_k400.py', 'side4video_vit-b_msrvtt.py'])
def test_large_models_need_no_memory_and_no_file(name, capsys):
    from mmengine.config import Config

    from mmstadapter import shipped
    from mmstadapter.planning import TrainingStep

    step = TrainingStep(Config.fromfile(shipped.config(name)))
    account = step.account(2)
    if 'vit-e' in name:
        assert 8.6e9 < account.frozen < 8.8e9  # 4.4 B parameters in 16 bit
    assert account.peak > account.frozen + account.tuned + account.states
