"""The benchmark: what its committed results show, and what its runs are made of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS, METRICS
from mmengine.config import Config

from mmstadapter import shipped
from mmstadapter.commands.benchmark import main, parse_args
from mmstadapter.demo import benchmark, benchmark_page, benchmark_runs
from mmstadapter.demo.benchmark_runs import CAPTIONS, METHODS, RETRIEVERS, TASKS, Plan, methods_of
from mmstadapter.preparation import tiny_clip, words

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / 'docs'
RESULTS = json.loads((DOCS / 'benchmark.json').read_text())
KERNELS = ['stadapter-111', 'stadapter-133', 'stadapter-311', 'stadapter-333']


def accuracies(task: str, methods) -> list[float]:
    return [r['top1'] for r in RESULTS if r['task'] == task and r['method'] in methods]


def recalls(methods) -> list[float]:
    """R@1 of all seeds in both directions."""
    found = [r for r in RESULTS if r['task'] == CAPTIONS and r['method'] in methods]
    return [r[way] for r in found for way in benchmark_page.WAYS]


class TestCommittedResults:
    def test_without_time_nothing_passes_the_bound(self):
        blind = [name for name, method in METHODS.items() if not method.sees_order]
        found = accuracies('motion', blind)
        assert max(found) <= benchmark_page.BOUND
        assert min(found) >= 45, 'the ground gives the pair of motions away'

    @pytest.mark.parametrize('kernel', ['stadapter-311', 'stadapter-333'])
    def test_a_kernel_over_time_reads_the_motion(self, kernel):
        assert min(accuracies('motion', [kernel])) >= 90

    def test_on_digits_linear_probe_and_all_kernels_are_close(self):
        found = accuracies('digit', ['linear', *KERNELS])
        assert min(found) >= 88
        assert max(found) - min(found) <= 6

    def test_every_kernel_and_the_linear_probe_have_both_tasks(self):
        done = {(r['method'], r['task']) for r in RESULTS}
        assert {(m, t) for m in ('linear', *KERNELS) for t in TASKS} <= done

    def test_without_time_no_search_passes_the_bound(self):
        blind = [name for name, method in RETRIEVERS.items() if not method.sees_order]
        assert max(recalls(blind)) <= benchmark_page.BOUND
        assert min(recalls(['clip4clip'])) >= 40, 'digits and pairs of motions can be told'

    @pytest.mark.parametrize('name', ['stadapter', 'side4video'])
    def test_with_time_search_tells_the_motion_words(self, name):
        assert len(recalls([name])) == 6
        assert min(recalls([name])) >= 75

    def test_they_are_of_the_settings_that_stand_in_the_code(self):
        for result in RESULTS:
            method = methods_of(result['task'])[result['method']]
            assert result['inputs']['config'] == method.config()
            assert result['inputs']['options'] == json.loads(json.dumps(method.options))

    def test_the_page_is_made_of_them(self):
        assert (DOCS / 'benchmark.md').read_text() == benchmark_page.page(RESULTS)


@pytest.fixture
def plan(tmp_path) -> Plan:
    """A run, not started, with a data folder that has what it reads."""
    (tmp_path / 'recipe.json').write_text('{"seed": 0}')
    (tmp_path / 'clip_tiny.safetensors').write_bytes(b'weights')
    return Plan('linear', 'motion', 0, str(tmp_path), str(tmp_path / 'work'))


def finish(plan: Plan, **changes) -> None:
    plan.result_file().parent.mkdir(parents=True, exist_ok=True)
    result = dict(RESULTS[0], method=plan.method, task=plan.task, seed=plan.seed, **changes)
    plan.result_file().write_text(json.dumps(result | dict(inputs=plan.inputs())))


@pytest.mark.parametrize(
    'name, task', [(m, 'motion') for m in METHODS] + [(m, CAPTIONS) for m in RETRIEVERS]
)
def test_a_row_says_rightly_whether_it_looks_at_order(name, task, plan):
    from mmaction.registry import MODELS

    cfg = benchmark_runs.read_config(replace(plan, method=name, task=task))
    torch.manual_seed(0)
    cfg.model.backbone.trunk.checkpoint = None
    backbone = MODELS.build(cfg.model.backbone).eval()
    for parameter in backbone.parameters():  # many of them start at zero
        torch.nn.init.normal_(parameter.data, std=0.3)
    video = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        forwards, backwards = backbone(video), backbone(video.flip(2))
    if task == CAPTIONS:  # (1, T, E)
        forwards, backwards = forwards.mean(dim=1), backwards.mean(dim=1)
    same = torch.allclose(forwards, backwards, atol=1e-4)
    assert same != methods_of(task)[name].sees_order


@pytest.mark.parametrize('task', TASKS)
def test_a_run_reads_the_lists_and_classes_of_its_task(task, plan):
    cfg = benchmark_runs.read_config(replace(plan, task=task, seed=2))
    assert cfg.model.cls_head.num_classes == TASKS[task]
    assert cfg.test_dataloader.dataset.ann_file == f'val_{task}.txt'
    assert cfg.train_dataloader.dataset.num_classes == TASKS[task]
    assert cfg.randomness.seed == 2


def test_a_search_reads_captions_and_both_towers_from_one_file(plan):
    cfg = benchmark_runs.read_config(replace(plan, method='side4video', task=CAPTIONS))
    assert cfg.train_dataloader.dataset.ann_file == 'train_captions.json'
    assert cfg.test_dataloader.dataset.data_root == plan.data_root
    assert cfg.model.text_tower.checkpoint == cfg.model.backbone.trunk.checkpoint


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
    from mmaction.registry import DATASETS

    cfg = benchmark_runs.read_config(replace(plan, data_root=str(small_set)))
    from_file = DATASETS.build(cfg.test_dataloader.dataset)[3]['inputs']
    benchmark_runs.keep_in_memory(cfg)
    assert cfg.train_dataloader.dataset.pipeline[0].type == 'KeptVideoInit'
    from_memory = DATASETS.build(cfg.test_dataloader.dataset)[3]['inputs']
    assert torch.equal(from_file, from_memory)


def test_a_finished_run_is_taken_and_one_with_other_inputs_is_not(plan):
    assert plan.result() is None
    finish(plan, top1=49.5)
    assert plan.result()['top1'] == 49.5
    assert replace(plan, epochs=2).result() is None
    (Path(plan.data_root) / 'clip_tiny.safetensors').write_bytes(b'others')
    assert plan.result() is None


def test_the_most_telling_runs_come_first_and_all_fit_an_hour():
    plans = benchmark.plan_runs(parse_args([]))
    assert len(plans) == (len(METHODS) * len(TASKS) + len(RETRIEVERS)) * 3
    first = ('linear', 'side4video', *KERNELS)
    assert {(p.method, p.task) for p in plans[:18]} == {(m, 'motion') for m in first}
    assert benchmark.estimate(plans, jobs=2) <= 60


def test_the_table_names_seeds_spread_and_missing_rows():
    results = [
        dict(RESULTS[0], method='stadapter-311', task='motion', seed=seed, top1=top1, tuned=38984)
        for seed, top1 in enumerate((98.0, 99.0, 100.0))
    ]
    page = benchmark_page.page(results)
    assert '| ST-Adapter, kernel 3 x 1 x 1 | yes | 38,984 | 99.0 ± 1.0 (3) |  |' in page
    assert 'Not run yet: Linear probe;' in page
    assert 'Search by caption' not in page


def test_the_table_of_searches_shows_both_directions():
    first = next(r for r in RESULTS if r['task'] == CAPTIONS)
    results = [dict(first, method='stadapter', seed=s, t2v=90.0 + s, v2t=85.0) for s in range(3)]
    page = benchmark_page.page(results)
    assert '| 91.0 ± 1.0 (3) | 85.0 ± 0.0 (3) |' in page
    assert 'Side4Video on captions' in page


def test_the_page_names_seeds_that_lie_far_apart():
    base = dict(RESULTS[0], method='stadapter-333', task='motion')
    close, far = dict(base, top1=99.0), dict(base, top1=75.0)
    assert 'Seeds more than' not in benchmark_page.page([close, close])
    assert 'kernel 3 x 3 x 3 on motion (75.0 to 99.0)' in benchmark_page.page([close, far])


def test_the_report_is_written_from_what_is_finished(plan, tmp_path):
    finish(plan, top1=50.0)
    folder = tmp_path / 'docs'
    arguments = ['--report', '--data-root', plan.data_root, '--work-dir', plan.work_dir]
    main([*arguments, '--docs', str(folder)])
    assert len(json.loads((folder / 'benchmark.json').read_text())) == 1
    assert (folder / 'benchmark.png').stat().st_size > 10_000


@pytest.fixture(scope='module')
def data_root(small_set) -> Path:
    """The small set with an image model that has learnt nothing."""
    tiny_clip.prepare(small_set / 'clip_tiny.safetensors', steps=2)
    return small_set


@pytest.mark.processes
@pytest.mark.minutes
class TestRuns:
    @pytest.mark.parametrize('name', METHODS)
    def test_every_row_trains(self, name, data_root, tmp_path):
        plan = Plan(name, 'digit', 0, str(data_root), str(tmp_path), epochs=2)
        result = benchmark_runs.complete(plan)
        assert 0 <= result['top1'] <= 100
        width = dict(side4video=48, dist=64).get(name, 96)
        assert result['tuned'] >= result['classifier'] == (width + 1) * 10

    @pytest.mark.parametrize('name', RETRIEVERS)
    def test_every_row_of_search_trains(self, name, data_root, tmp_path):
        plan = Plan(name, CAPTIONS, 0, str(data_root), str(tmp_path), epochs=2)
        result = benchmark_runs.complete(plan)
        assert 0 <= result['t2v'] <= 100 and 0 <= result['v2t'] <= 100
        assert (result['tuned'] > 0) == RETRIEVERS[name].is_trained

    def test_a_run_in_a_process_of_its_own_leaves_its_result(self, data_root, tmp_path):
        plan = Plan('stadapter-311', 'motion', 0, str(data_root), str(tmp_path), epochs=2)
        benchmark.run_all([plan], 1, tmp_path)
        assert plan.result()['tuned'] == 38_984
