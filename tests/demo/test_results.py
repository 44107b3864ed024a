"""A result of the leaderboard: what is refused, by which words, and that no half is counted."""

import json
from dataclasses import asdict, replace

import pytest

from mmstadapter.demo import results
from mmstadapter.demo.results import Result, ResultError
from mmstadapter.demo.tasks import TASKS

RESULT = Result(
    method='mine',
    label='Mine',
    trunk='clip-tiny',
    task='counting',
    seed=0,
    scores=dict(top1=60.0),
    sees_order=True,
    tuned=1000,
    gmac=0.1,
    peak_mb=20.5,
    step_ms=None,
    epochs=20,
    config='https://example.org/mine.py',
    options={},
    machine='my laptop',
    versions=dict(torch='2.13.0'),
    date='2026-11-26',
    inputs={},
)


def put(folder, name='a', **changes):
    """A file as somebody may write it; a field given as ... is left out."""
    values = {k: v for k, v in (asdict(RESULT) | changes).items() if v is not ...}
    file = folder / name / 'mine.json'
    file.parent.mkdir()
    file.write_text(json.dumps(values))
    return file


def test_what_is_written_is_read(tmp_path):
    results.write(RESULT, tmp_path)
    assert results.read_all(tmp_path) == [RESULT]
    assert (tmp_path / 'mine_clip-tiny_counting_0/result.json').is_file()


def test_a_folder_of_any_name_with_one_file_is_a_row(tmp_path):
    put(tmp_path, 'from a friend')
    assert results.read_all(tmp_path) == [RESULT]


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(accuracy=60), 'unknown field accuracy'),
        (dict(tuned=...), 'missing field tuned'),
        (dict(tuned='1,000'), "field tuned must be int, got '1,000'"),
        (dict(tuned=True), 'field tuned must be int, got True'),
        (dict(tuned=-1), 'field tuned must be a finite number from 0'),
        (dict(gmac=None), 'field gmac must be float, got None'),
        (dict(gmac=float('nan')), 'NaN is no number of a result'),
        (dict(step_ms=float('inf')), 'Infinity is no number'),
        (dict(step_ms='fast'), 'field step_ms must be float or null'),
        (dict(sees_order=1), 'field sees_order must be bool'),
        (dict(seed=0.5), 'field seed must be int'),
        (dict(trunk='vit-b'), 'field trunk must be one of clip-tiny, timm-tiny'),
        (dict(task='count'), 'field task must be one of motion, digit, counting'),
        (dict(scores=dict(top5=60.0)), 'field scores must hold top1 for counting'),
        (dict(scores=dict(top1=float('nan'))), 'NaN is no number'),
        (dict(scores=dict(top1=None)), 'field scores.top1 must be float, got None'),
        (dict(scores=dict(top1=101)), 'must be per cent, 0 to 100'),
        (dict(sees_order=False), 'reaches at most 16.7 on counting'),
        (dict(label='A | B'), 'field label must be a line of text'),
        (dict(label='a\nb'), 'field label must be a line of text'),
        (dict(method='../mine'), 'field method must be of letters'),
        (dict(versions={}), 'field versions must name torch'),
        (dict(date='yesterday'), 'yesterday'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, dict) else '',
)
def test_a_wrong_field_is_named_with_its_file(changes, words, tmp_path):
    file = put(tmp_path, **changes)
    with pytest.raises(ResultError) as error:
        results.read_all(tmp_path)
    assert str(error.value).startswith(f'{file}: ')
    assert words in str(error.value)


@pytest.mark.parametrize('text', ['', '[]', '{"method": "a", "method": "b"}', '{"seed": 1e999}'])
def test_what_is_no_object_of_fields_is_refused(text, tmp_path):
    file = put(tmp_path)
    file.write_text(text)
    with pytest.raises(ResultError, match='mine.json: '):
        results.read_all(tmp_path)


def test_two_results_of_one_run_are_refused_with_both_names(tmp_path):
    put(tmp_path, 'a'), put(tmp_path, 'b', scores=dict(top1=61.0))
    with pytest.raises(ResultError, match=r'b/mine.json: duplicate: .*a/mine.json holds'):
        results.read_all(tmp_path)


def test_a_row_with_two_labels_is_refused(tmp_path):
    put(tmp_path, 'a'), put(tmp_path, 'b', seed=1, label='Yours')
    with pytest.raises(ResultError, match='Give both one label'):
        results.read_all(tmp_path)


def test_a_half_written_file_is_no_result(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.os, 'replace', stop)
    with pytest.raises(KeyboardInterrupt):
        results.write(RESULT, tmp_path)
    assert results.read_all(tmp_path) == []


def test_the_bound_itself_is_no_fault_of_rounding(tmp_path):
    put(tmp_path, sees_order=False, scores=dict(top1=16.6667))
    assert results.read_all(tmp_path)[0].scores['top1'] == 16.6667


def test_captions_have_two_scores(tmp_path):
    scores = dict.fromkeys(TASKS['captions'].scores, 90.0)
    results.write(replace(RESULT, task='captions', scores=scores), tmp_path)
    assert results.read_all(tmp_path)[0].scores == dict(t2v=90.0, v2t=90.0)
