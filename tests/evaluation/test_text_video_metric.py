"""The metric takes what a retriever predicts and says what is wrong with it."""

import pytest
import torch
from mmaction.registry import METRICS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator
from torch.nn.functional import normalize

from mmstadapter import RetrievalFeatures, TextVideoMetric, feature_metrics, retrieval_metrics

COUNTS = (2, 1, 3, 1, 1)


def vector(seed: int, items: int = 1) -> dict:
    draw = torch.Generator().manual_seed(seed)
    return dict(vector=normalize(torch.randn(items, 8, generator=draw), dim=-1))


def samples() -> list[ActionDataSample]:
    """Five videos with one to three captions, as a retriever leaves them."""
    found = []
    for index, count in enumerate(COUNTS):
        captions = [f'caption {i} of v{index}' for i in range(count)]
        sample = ActionDataSample(metainfo=dict(video_id=f'v{index}', captions=captions))
        sample.video_features = vector(index)
        sample.text_features = vector(50 + index, count)
        found.append(sample)
    return found


def evaluate(data_samples: list, size: int | None = None, **options) -> dict:
    """What MMEngine's evaluator gives for the samples, two at a time."""
    evaluator = Evaluator(dict(type='mmstadapter.TextVideoMetric', **options))
    for start in range(0, len(data_samples), 2):
        evaluator.process(data_samples[start : start + 2])
    return evaluator.evaluate(size or len(data_samples))


def test_it_gives_the_figures_of_the_plain_function():
    sim = (
        torch.cat([vector(50 + i, n)['vector'] for i, n in enumerate(COUNTS)])
        @ torch.cat([vector(i)['vector'] for i in range(5)]).T
    )
    owner = torch.arange(5).repeat_interleave(torch.tensor(COUNTS))
    expected = retrieval_metrics(sim, owner, bootstrap=20)
    found = evaluate(samples(), bootstrap=20)
    assert found == pytest.approx({f'retrieval/{k}': v for k, v in expected.items()})


def test_a_row_of_a_batch_does_not_keep_the_batch():
    batch, metric = torch.randn(16, 8), TextVideoMetric()
    row = dict(vector=batch[3:4])
    sample = dict(video_id='v', captions=['c'], video_features=row, text_features=row)
    metric.process(None, [sample])
    ((_, _, *features, _),) = metric.results
    assert [f['vector'].untyped_storage().nbytes() for f in features] == [32, 32]


def test_options_reach_the_functions():
    found = evaluate(samples(), ties='optimistic', gallery='captions', cutoffs=(2,), prefix='x')
    assert {'x/t2v/R2', 'x/v2t/MnR'} <= set(found) and 'x/t2v/R1' not in found


def test_galleries_are_ranked_apart_and_averaged():
    parts = samples()[:2], samples()[2:]
    for sample in parts[1]:
        sample.set_metainfo(dict(video_id=f'other/{sample.video_id}'))
    expected = [evaluate(part) for part in parts]
    found = evaluate([*parts[0], *parts[1]], galleries='^other')
    assert found['retrieval/v2t/queries'] == 5
    counts = {key for key in found if key.endswith(('queries', 'tied'))}
    for key in found:
        both = expected[0][key] + expected[1][key]
        assert found[key] == (both if key in counts else both / 2)
    assert found != evaluate(samples())


def test_a_count_of_one_gallery_stays_a_whole_number():
    assert isinstance(evaluate(samples())['retrieval/t2v/queries'], int)


def test_intervals_of_several_galleries_are_refused():
    with pytest.raises(ValueError, match='intervals are of one gallery'):
        TextVideoMetric(galleries='^other', bootstrap=10)


def test_the_metric_of_mmaction_keeps_its_name():
    assert METRICS.get('mmstadapter.TextVideoMetric') is TextVideoMetric
    assert METRICS.get('RetrievalMetric').__module__.startswith('mmaction.')


def test_a_second_evaluation_starts_anew():
    metric = TextVideoMetric()
    for _ in range(2):
        metric.process(None, [sample.to_dict() for sample in samples()])
        assert metric.evaluate(5)['retrieval/v2t/queries'] == 5


def test_padding_of_a_sampler_counts_once():
    assert evaluate(samples() + samples()[:1], size=5) == evaluate(samples())


def test_saved_features_give_the_same_figures(tmp_path):
    found = evaluate(samples(), save=str(tmp_path / 'new' / 'features.safetensors'))
    features = RetrievalFeatures.load(tmp_path / 'new' / 'features.safetensors')
    again = feature_metrics(features)
    assert found == pytest.approx({f'retrieval/{k}': v for k, v in again.items()})
    assert features.video_ids == [f'v{i}' for i in range(5)]
    assert features.captions[2] == 'caption 0 of v1' and features.owner[2] == 1


def test_a_lost_video_is_never_found_and_finds_nothing():
    whole, lost = samples(), samples()
    for index, sample in enumerate(whole + lost):  # every video is its captions' best match
        sample.text_features = dict(
            vector=sample.video_features['vector'].repeat(COUNTS[index % 5], 1)
        )
    lost[2].set_metainfo(dict(lost=True))
    found = evaluate(lost, dsl=True)
    assert evaluate(whole)['retrieval/t2v/R1'] == 100
    for extra in ('', 'dsl_with_all_queries/'):
        assert found[f'retrieval/{extra}t2v/R1'] == pytest.approx(100 * 5 / 8)
        assert found[f'retrieval/{extra}v2t/R1'] == pytest.approx(100 * 4 / 5)


def change(index: int, **changes) -> list:
    """The samples, one of them changed."""
    found = samples()
    for name, value in changes.items():
        if name in ('video_id', 'captions'):
            found[index].set_metainfo({name: value})
        else:
            setattr(found[index], name, value)
    return found


def nan_features() -> dict:
    features = vector(1)
    features['vector'][0, 3] = torch.nan
    return features


@pytest.mark.parametrize(
    'broken, message',
    [
        (change(1, video_id='v0'), "4 different video ids for a data set of 5.*once: 'v0'"),
        (samples()[:4], '4 different video ids for a data set of 5 items. Give'),
        (change(3, captions=[]), "videos without a caption: 'v3'"),
        (change(0, captions=['a']), "'v0' with 1 captions needs 1 row.* got \\{1\\} and \\{2\\}"),
        (change(1, video_features=nan_features()), "NaN or infinite for 'v1'"),
        (change(1, text_features=nan_features()), "NaN or infinite for 'caption 0 of v1'"),
        (change(1, video_features=dict(vector=torch.ones(1, 9))), 'one kind and size'),
    ],
)
def test_what_cannot_be_evaluated_is_named(broken, message):
    with pytest.raises(ValueError, match=message):
        evaluate(broken, size=5)


@pytest.mark.parametrize('lacking', ['video_features', 'text_features'])
def test_a_model_that_gives_no_features_is_told_so(lacking):
    broken = samples()
    delattr(broken[0], lacking)
    with pytest.raises(ValueError, match=f"'v0' lacks {lacking}"):
        evaluate(broken)


def test_unknown_options_are_refused_before_testing():
    with pytest.raises(ValueError, match='ties must be one of'):
        TextVideoMetric(ties='none')
