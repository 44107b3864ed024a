"""The leaderboard: what its committed results show, and what its runs and its page are made of."""

import json
import sys
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS, METRICS
from mmengine.config import Config

from mmstadapter import shipped
from mmstadapter.commands.leaderboard import main, parse_args
from mmstadapter.demo import leaderboard, leaderboard_page, leaderboard_runs, results
from mmstadapter.demo.kept_clips import keep_in_memory
from mmstadapter.demo.leaderboard_runs import Plan
from mmstadapter.demo.methods import KINDS, methods
from mmstadapter.demo.tasks import TASKS, draw_clips
from mmstadapter.preparation import tiny_clip, words

pytestmark = pytest.mark.slow

CLONE = Path(__file__).parents[2]
RESULTS = results.read_all(CLONE / 'leaderboard')
KERNELS = ['stadapter-111', 'stadapter-133', 'stadapter', 'stadapter-333']
BLIND = {
    *('linear', 'stadapter-111', 'stadapter-133', 'full', 'partial', 'prompt', 'attnpool'),
    *('bitfit', 'probe', 'clip4clip-frozen', 'zeroshot', 'lora', 'dora'),
}
AWARE = {
    *('stadapter', 'stadapter-333', 'stadapter-plain', 'side4video', 'timesformer', 'xvit'),
    *('temporal', 'aim', 'zeroi2v', 'evl', 'dist', 'lora-stadapter', 'tdsclip', 'tempme'),
}


def scores(task: str, chosen) -> list[float]:
    """All of them on tiny CLIP, of all seeds; timm's trunk knows the digits less well."""
    ours = [r for r in RESULTS if r.task == task and r.trunk == 'clip-tiny']
    return [score for r in ours if r.method in chosen for score in r.scores.values()]


class TestCommittedResults:
    @pytest.mark.parametrize('task', ['motion', 'captions'])
    def test_without_time_nothing_passes_the_bound(self, task):
        found = scores(task, BLIND - {'zeroshot'})
        assert max(found) <= TASKS[task].bound
        assert min(found) >= 40, 'the ground gives the pair of motions away'

    @pytest.mark.parametrize('kernel', ['stadapter', 'stadapter-333'])
    def test_a_kernel_over_time_reads_the_motion(self, kernel):
        assert min(scores('motion', [kernel])) >= 90

    def test_on_digits_linear_probe_and_all_kernels_are_close(self):
        found = scores('digit', ['linear', *KERNELS])
        assert min(found) >= 88
        assert max(found) - min(found) <= 6

    @pytest.mark.parametrize('name', ['stadapter', 'side4video'])
    def test_with_time_search_tells_the_motion_words(self, name):
        assert len(scores('captions', [name])) == 6
        assert min(scores('captions', [name])) >= 75

    def test_they_are_of_the_settings_that_stand_in_the_code(self):
        for result in RESULTS:
            if result.method in methods(TASKS[result.task].kind):
                plan = Plan(result.method, result.trunk, result.task, result.seed)
                assert plan.is_result(result), plan.name

    def test_the_page_is_made_of_them(self):
        assert (CLONE / 'docs/leaderboard.md').read_text() == leaderboard_page.text(RESULTS)


def test_every_tiny_config_is_a_row_by_being_there():
    rows = {method.config for kind in KINDS for method in methods(kind).values()}
    tiny = {n for n in shipped.configs() if 'vit-tiny' in n and not n.endswith('-digit.py')}
    assert rows == {n for n in tiny if not n.startswith('sweep_')}  # which is several methods


def test_labels_are_words_of_the_configs_headers():
    found = methods('motion')
    assert found['aim'].label == 'AIM'
    assert found['side4video'].label == 'Side4Video 4x48'
    assert len({method.label for method in found.values()}) == len(found)


@pytest.fixture
def plan(tmp_path) -> Plan:
    """A run, not started, with a data folder that has what it reads."""
    folder = tmp_path / 'moving_digits'
    folder.mkdir()
    (folder / 'recipe.json').write_text('{"seed": 0}')
    (folder / 'clip_tiny.safetensors').write_bytes(b'weights')
    names = ('results', 'work')
    return Plan(
        'linear', 'clip-tiny', 'motion', 0, str(tmp_path), *(str(tmp_path / n) for n in names)
    )


def result_of(plan: Plan, **changes) -> results.Result:
    changes = dict(scores=dict(top1=50.0), trunk='clip-tiny', sees_order=True) | changes
    own = dict(method=plan.method, label=plan.row.label, task=plan.task, seed=plan.seed)
    own |= dict(config=plan.row.config, options=json.loads(json.dumps(plan.options())))
    return replace(RESULTS[0], **own, **changes)


@pytest.mark.parametrize('kind, name', [(kind, name) for kind in KINDS for name in methods(kind)])
def test_whether_a_row_looks_at_order_is_found_out(kind, name, plan):
    row = replace(plan, method=name, task=kind)
    assert leaderboard_runs.sees_order(leaderboard_runs.read_config(row)) == (name not in BLIND)


@pytest.mark.parametrize(
    'task, classes, frames', [('motion', 8, 8), ('digit', 10, 8), ('counting', 6, 16)]
)
@pytest.mark.parametrize('method', ['stadapter', 'aim', 'dist'])
def test_a_run_has_lists_classes_and_frames_of_its_task(task, classes, frames, method, plan):
    cfg = leaderboard_runs.read_config(replace(plan, method=method, task=task, seed=2))
    assert cfg.model.cls_head.num_classes == cfg.train_dataloader.dataset.num_classes == classes
    assert cfg.test_dataloader.dataset.ann_file == f'val_{task}.txt'
    assert cfg.test_dataloader.dataset.data_root.endswith(TASKS[task].data)
    assert cfg.randomness.seed == 2
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        (step,) = (s for s in loader.dataset.pipeline if s['type'] == 'SampleFrames')
        assert step['clip_len'] == frames
    assert cfg.model.backbone.get('num_frames', frames) == frames


def test_a_few_shot_run_draws_its_seeds_own_clips(small_set, plan):
    task = TASKS['motion-4']
    first, second = (draw_clips(task, small_set, seed) for seed in (0, 1))
    cfg = leaderboard_runs.read_config(replace(plan, task='motion-4'), first)
    lines = {}
    for drawn in (first, second):
        (name,) = drawn.values()
        lines[name] = (small_set / name).read_text().splitlines()
    assert [len(found) for found in lines.values()] == [32, 32]
    assert cfg.train_dataloader.dataset.ann_file in lines
    assert cfg.test_dataloader.dataset.ann_file == 'val_motion.txt'
    assert draw_clips(TASKS['motion'], small_set, 0) == {}


def test_all_frames_of_a_counting_clip_are_taken_in_order(blinking_set, plan):
    cfg = leaderboard_runs.read_config(replace(plan, task='counting'))
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(blinking_set)
        dataset = DATASETS.build(loader.dataset)
        dataset.pipeline.transforms.pop()
        for i in (0, 5):
            assert dataset[i]['frame_inds'].ravel().tolist() == list(range(16))


def test_a_search_reads_captions_and_both_towers_from_one_file(plan):
    cfg = leaderboard_runs.read_config(replace(plan, method='side4video', task='captions'))
    assert cfg.train_dataloader.dataset.ann_file == 'train_captions.json'
    assert cfg.test_dataloader.dataset.data_root == str(plan.root)
    assert cfg.model.text_tower.checkpoint == cfg.model.backbone.trunk.checkpoint


def test_another_trunk_comes_with_its_normalisation_and_keeps_what_is_tuned(plan):
    cfg = leaderboard_runs.read_config(replace(plan, trunk='timm-tiny', method='bitfit'))
    assert cfg.model.backbone.trunk.type == 'mmstadapter.TimmViT'
    assert cfg.model.backbone.trunk.tune == 'bias'
    assert cfg.model.backbone.trunk.checkpoint.endswith('moving_digits/timm_tiny.safetensors')
    assert cfg.model.data_preprocessor.mean[0] == 123.675


def test_without_timm_its_trunk_is_left_out_with_the_reason(plan, monkeypatch, capsys):
    find = leaderboard_runs.importlib.util.find_spec
    monkeypatch.setattr(
        leaderboard_runs.importlib.util, 'find_spec', lambda n: None if n == 'timm' else find(n)
    )
    assert leaderboard.possible([replace(plan, trunk='timm-tiny'), plan]) == [plan]
    assert 'linear timm-tiny motion: timm is not installed: pip install' in capsys.readouterr().out


def test_a_row_that_needs_a_library_which_is_not_there_is_left_out(plan, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'peft', None)
    lora = replace(plan, method='lora')
    assert leaderboard.possible([lora, plan]) == [plan]
    assert 'left out: lora clip-tiny motion: ' in capsys.readouterr().out


@pytest.mark.parametrize('name', methods('motion'))
def test_timms_trunk_takes_every_row(name, plan):
    pytest.importorskip('timm')
    row = replace(plan, trunk='timm-tiny', method=name)
    assert leaderboard_runs.reason_against(row) is None
    on_clip = leaderboard_runs.costs(leaderboard_runs.read_config(replace(plan, method=name)), True)
    on_timm = leaderboard_runs.costs(leaderboard_runs.read_config(row), True)
    assert on_timm['gmac'] == pytest.approx(on_clip['gmac'], rel=0.3)
    assert on_timm['peak_mb'] == pytest.approx(on_clip['peak_mb'], rel=0.6)


@pytest.mark.parametrize('name', methods('captions'))
def test_timms_trunk_has_no_joint_space_for_captions(name, plan):
    pytest.importorskip('timm')
    search = replace(plan, trunk='timm-tiny', method=name, task='captions')
    assert 'no projection' in leaderboard_runs.reason_against(search)


def test_what_a_row_takes_is_counted_without_weights(plan):
    cfg = leaderboard_runs.read_config(replace(plan, method='stadapter'))
    few = leaderboard_runs.costs(cfg, is_trained=True)
    many = leaderboard_runs.costs(
        leaderboard_runs.read_config(replace(plan, method='stadapter', task='counting')), True
    )
    assert many['gmac'] == pytest.approx(2 * few['gmac'], rel=0.01)
    assert 1.5 * few['peak_mb'] < many['peak_mb'] < 2.5 * few['peak_mb']


def test_the_configs_words_are_those_of_the_data_and_its_text_tower():
    cfg = Config.fromfile(shipped.config('stadapter_vit-tiny_demo-captions.py'))
    assert tuple(cfg.tokenizer.words) == words.WORDS
    arch = dict(cfg.text_tower.arch)
    assert arch == words.TEXT_ARCH | dict(output_dims=cfg.trunk.arch.output_dims)


def test_a_batch_of_captions_differs_in_digit_or_motion_and_repeats_none(small_set):
    cfg = Config.fromfile(shipped.config('stadapter_vit-tiny_demo-captions.py'))
    cfg.train_dataloader.dataset.data_root = str(small_set)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sampler = DATA_SAMPLERS.build(cfg.train_dataloader.sampler, default_args=dict(dataset=dataset))
    order = [dataset.get_data_info(i)['captions'][0] for i in sampler]
    for batch in (order[i : i + 16] for i in range(0, len(order), 16)):
        assert len(set(batch)) == 16
        assert len({caption.split()[2] for caption in batch}) == 2


def test_a_gallery_is_a_colour(small_set):
    cfg = Config.fromfile(shipped.config('_base_/datasets/demo_captions.py'))
    metric = METRICS.build(cfg.test_evaluator)
    names = [f'val/three_{colour}_{m}.mp4' for colour in ('red', 'grey') for m in ('up', 'fade')]
    assert [metric.galleries.search(n)[1] for n in names] == ['red', 'red', 'grey', 'grey']


def test_clips_in_memory_are_those_of_the_files(plan, small_set):
    cfg = leaderboard_runs.read_config(plan)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(small_set)
    from_file = DATASETS.build(cfg.test_dataloader.dataset)[3]['inputs']
    keep_in_memory(cfg)
    assert cfg.train_dataloader.dataset.pipeline[0].type == 'KeptVideoInit'
    from_memory = DATASETS.build(cfg.test_dataloader.dataset)[3]['inputs']
    assert torch.equal(from_file, from_memory)


def test_a_finished_run_is_not_done_again_and_one_with_other_settings_is(plan):
    found = result_of(plan)
    assert leaderboard.missing([plan], [found]) == []
    assert leaderboard.missing([plan], []) == [plan]
    assert leaderboard.missing([replace(plan, seed=1)], [found]) == [replace(plan, seed=1)]
    assert leaderboard.missing([plan], [replace(found, options={'a': 1})]) == [plan]
    assert leaderboard.missing([plan], [replace(found, config='other.py')]) == [plan]


def test_a_worker_ends_when_its_parent_has_gone(monkeypatch):
    steps = []
    monkeypatch.setattr(leaderboard_runs.os, '_exit', lambda status: steps.append(status))
    leaderboard_runs.leave_with(SimpleNamespace(join=lambda: steps.append('gone')))
    assert steps == ['gone', 1]


def test_every_row_is_asked_for_on_every_task_and_trunk_and_every_seed_in_turn():
    plans = leaderboard.plan_runs(parse_args([]))
    rows = sum(len(methods(task.kind)) for task in TASKS.values())
    assert len(plans) == rows * 2 * 3
    assert [plan.seed for plan in plans] == sorted(plan.seed for plan in plans)


def test_an_unknown_method_is_named_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        parse_args(['--methods', 'aim', 'aimm'])
    assert 'no method aimm; there are aim, ' in capsys.readouterr().err


class TestPage:
    def rows(self, plan: Plan, *top1: float, **changes) -> list[results.Result]:
        return [
            result_of(
                replace(plan, method='stadapter', seed=seed), scores=dict(top1=value), **changes
            )
            for seed, value in enumerate(top1)
        ]

    def test_a_row_has_mean_standard_error_and_interval(self, plan):
        page = leaderboard_page.text(self.rows(plan, 98.0, 99.0, 100.0, tuned=38984, step_ms=20.0))
        # t(0.975, 2) = 4.303; 1 / sqrt(3) = 0.577
        assert '| 38,984 |' in page and '| 20.0 | 99.0 ± 0.6, 96.5 to 100.0 (3) |' in page

    def test_one_seed_has_no_interval_and_what_was_not_measured_no_figure(self, plan):
        page = leaderboard_page.text(self.rows(plan, 98.0, step_ms=None))
        assert '| – | 98.0 (1 seed: no interval) |' in page

    def test_the_best_row_stands_first(self, plan):
        worse = result_of(replace(plan, method='aim'), scores=dict(top1=70.0))
        page = leaderboard_page.text([worse, *self.rows(plan, 98.0)])
        assert page.index('| ST-Adapter') < page.index('| AIM')

    def test_rows_whose_standard_error_is_large_are_named(self, plan):
        assert 'Standard error above' not in leaderboard_page.text(self.rows(plan, 99.0, 99.5))
        page = leaderboard_page.text(self.rows(plan, 75.0, 99.0))
        assert 'Standard error above 3: ST-Adapter, kernel 3 x 1 x 1 (12.0).' in page

    def test_searches_show_both_directions_and_both_bounds(self, plan):
        search = replace(plan, method='stadapter', task='captions')
        page = leaderboard_page.text([result_of(search, scores=dict(t2v=91.0, v2t=85.0))])
        assert '| 91.0 (1 seed: no interval) | 85.0 (1 seed: no interval) |' in page
        assert '| 50.0 | 50.0 |' in page

    def test_a_strangers_folder_adds_a_row(self, plan, tmp_path):
        folder, page = tmp_path / 'results', tmp_path / 'docs' / 'page.md'
        arguments = ['--report', '--results', str(folder), '--page', str(page)]
        results.write(result_of(plan), folder)
        main(arguments)
        before = page.read_text()
        own = replace(result_of(plan), method='hers', label='Her method', sees_order=True)
        (folder / 'hers').mkdir()
        (folder / 'hers' / 'hers.json').write_text(json.dumps(asdict(own)))
        main(arguments)
        assert 'Her method' not in before and '| Her method | yes |' in page.read_text()
        assert page.with_suffix('.png').stat().st_size > 10_000

    def test_a_wrong_file_stops_before_anything_runs(self, plan, tmp_path, monkeypatch):
        monkeypatch.setattr(leaderboard, 'run_all', lambda *args: pytest.fail('ran'))
        (tmp_path / 'results' / 'a').mkdir(parents=True)
        (tmp_path / 'results' / 'a' / 'b.json').write_text('{}')
        with pytest.raises(results.ResultError, match='missing field method'):
            main(['--results', str(tmp_path / 'results'), '--data-root', plan.data])

    def test_a_run_that_fails_stops_no_other_and_is_named_at_the_end(
        self, plan, tmp_path, monkeypatch, capsys
    ):
        future: Future = Future()
        future.set_exception(ValueError('no such thing\nmore'))
        assert leaderboard.outcome(future) == 'FAILED: ValueError: no such thing'
        results.write(result_of(plan), Path(plan.folder))
        monkeypatch.setattr(leaderboard, 'make_data', lambda *args: None)
        monkeypatch.setattr(leaderboard, 'run_all', lambda *args: {'linear_x': ValueError()})
        page = tmp_path / 'page.md'
        arguments = ['--results', plan.folder, '--page', str(page), '--work-dir', plan.work_dir]
        with pytest.raises(SystemExit, match='1 of 1 runs failed: linear_x'):
            main(
                [*arguments, *'--methods linear --tasks digit --trunks clip-tiny --seeds 0'.split()]
            )
        assert page.is_file()

    def test_an_empty_folder_makes_no_page(self, tmp_path):
        with pytest.raises(SystemExit, match='no results'):
            main(['--report', '--results', str(tmp_path), '--page', str(tmp_path / 'page.md')])
        assert not (tmp_path / 'page.md').exists()


@pytest.fixture(scope='module')
def data(small_set, blinking_set, tmp_path_factory) -> Path:
    """The small sets side by side with an image model that has learnt nothing."""
    tiny_clip.prepare(small_set / 'clip_tiny.safetensors', steps=2)
    root = tmp_path_factory.mktemp('data')
    (root / 'moving_digits').symlink_to(small_set)
    (root / 'blinking_digits').symlink_to(blinking_set)
    return root


@pytest.mark.processes
@pytest.mark.minutes
class TestRuns:
    def plan(self, data: Path, folder: Path, method: str, task: str) -> Plan:
        names = (str(data), str(folder / 'results'), str(folder / 'work'))
        plan = Plan(method, 'clip-tiny', task, 0, *names, epochs=2)
        if reason := leaderboard_runs.reason_against(plan):  # an optional library
            pytest.skip(reason)
        return plan

    @pytest.mark.parametrize('name', methods('motion'))
    def test_every_row_trains(self, name, data, tmp_path):
        result = leaderboard_runs.complete(self.plan(data, tmp_path, name, 'digit'))
        assert result.tuned > 0 and result.step_ms > 0 and result.peak_mb > 0
        assert results.read_all(tmp_path / 'results') == [result]

    @pytest.mark.parametrize('name', methods('captions'))
    def test_every_row_of_search_trains(self, name, data, tmp_path):
        result = leaderboard_runs.complete(self.plan(data, tmp_path, name, 'captions'))
        assert (result.tuned > 0) == (name != 'zeroshot') == (result.step_ms is not None)

    @pytest.mark.parametrize('name', ['counting', 'motion-4'])
    def test_every_harder_task_trains_and_the_linear_probe_stays_at_its_bound(
        self, name, data, tmp_path
    ):
        result = leaderboard_runs.complete(self.plan(data, tmp_path, 'linear', name))
        assert result.scores['top1'] <= TASKS[name].bound + 0.01

    def test_a_run_in_a_process_of_its_own_leaves_its_result(self, data, tmp_path):
        plan = self.plan(data, tmp_path, 'stadapter', 'motion')
        leaderboard.run_all([plan], 1, tmp_path)
        (result,) = results.read_all(tmp_path / 'results')
        assert result.tuned == 38_984
        assert leaderboard.missing([plan], [result]) == []
