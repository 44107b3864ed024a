"""A card says what is known and leaves to be filled in what is not; the hub can read it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from mmstadapter import from_pretrained, save_pretrained
from mmstadapter.apis.adapter_model import read_model
from mmstadapter.apis.results import interval
from mmstadapter.sharing.card import AT_THE_HUB, card_of, plain
from mmstadapter.sharing.certificates import CERTIFICATES, certificate_of
from mmstadapter.sharing.figures import Figure, figures_of
from mmstadapter.weights import KNOWN

REFERENCE = Path(__file__).parents[1] / 'reference/parity'
FIT = dict(top1=75.0, top1_interval=[40.93, 92.85], videos=8, chance=50.0, undecodable=1)


@pytest.fixture
def saved(adapter, tmp_path):
    """A function: the card of the model saved with some options, and its metadata."""

    def save(given=adapter, **options):
        folder = save_pretrained(given, tmp_path / 'out', include_trunk=True, **options)
        text = (folder / 'README.md').read_text()
        _, head, body = text.split('---\n', 2)
        return body, yaml.safe_load(head)

    return save


class TestWhatItSays:
    def test_method_trunk_parameters_protocol_and_classes(self, saved, model):
        body, _ = saved(name='me/toy')
        tuned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        mark = bytes(model.backbone.trunk.fingerprint.tolist()).hex()
        assert '# me/toy' in body and f'| tuned parameters | {tuned:,} of ' in body
        assert 'STAdapterViT: Frozen trunk with ST-Adapters' in body and mark in body
        assert '8 frames a clip (`SampleStride`, every 2 frames), 32x32 pixels, 1 view' in body
        assert r'climbing, day light, falls \<b\>\|' in body  # no markup out of a file

    def test_what_is_not_known_is_to_be_filled_in(self, saved):
        body, head = saved()
        assert body.count('[to be filled in]') == 4 and head['license'] == 'unknown'
        assert 'None were given.' in body and 'model-index' not in head

    def test_and_what_is_given_is_not(self, saved):
        body, head = saved(license='mit', data='400 clips of our garden')
        assert '* adapter (this repository): mit' in body and '400 clips of our garden' in body
        assert head['license'] == 'mit' and body.count('[to be filled in]') == 2

    def test_its_five_lines_run(self, adapter, tmp_path, hub, capsys, monkeypatch):
        import mmstadapter

        folder = save_pretrained(adapter, tmp_path / 'out', name='me/toy', include_trunk=True)
        hub('me/toy', folder)
        (lines,) = re.findall(r'```python\n(.*?)```', (folder / 'README.md').read_text(), re.S)
        assert len(list(filter(None, lines.splitlines()))) == 5

        def made(*args, **options):
            model = from_pretrained(*args, **options)
            clips = model.transform.preprocessor.mean.new_zeros(1, 3, 8, 32, 32)
            model.transform = lambda file: clips
            return model

        monkeypatch.setattr(mmstadapter, 'from_pretrained', made)
        exec(lines, {})
        assert capsys.readouterr().out.strip().split('\n')[-1] in from_pretrained(folder).labels

    def test_a_retrievers_lines_are_its_own(self, retriever, saved):
        body, head = saved(retriever)
        assert 'encode_captions' in body and 'softmax' not in body
        assert head['pipeline_tag'] == 'feature-extraction'
        assert 'text-video-retrieval' in head['tags']


class TestFigures:
    def test_those_of_a_fit_lie_beside_its_adapter(self, adapter, saved, tmp_path):
        home = tmp_path / 'fit'
        home.mkdir()
        (home / 'adapter.safetensors').write_bytes(adapter.read_bytes())
        labels = read_model(adapter).header['labels']
        (home / 'confusion.json').write_text(json.dumps(FIT | dict(labels=labels)))
        body, head = saved(home, data='Own')
        assert '| top-1 accuracy | 75.0 % | 40.93 to 92.85 | 8 |' in body
        assert 'right in 50.0 %' in body and '1 videos could not be decoded' in body
        (found,) = head['model-index'][0]['results']
        assert found['metrics'] == [dict(type='accuracy', value=75.0, name='top-1 accuracy')]

    def test_those_of_other_classes_are_not_its_own(self, adapter, saved, tmp_path):
        home = tmp_path / 'fit'
        home.mkdir()
        (home / 'adapter.safetensors').write_bytes(adapter.read_bytes())
        (home / 'confusion.json').write_text(json.dumps(FIT | dict(labels=['a', 'b'])))
        assert 'None were given.' in saved(home)[0]

    def test_those_of_mim_test_have_an_interval_where_their_number_is_known(self):
        found = figures_of({'acc/top1': 0.812, 'acc/mean1': 0.8, 'videos': 400, 'time': 3.0})
        assert found == [
            Figure('top-1 accuracy', 81.2, *interval(325, 400), 400),
            Figure('mean class accuracy', 80.0, among=400),
        ]
        (alone,) = figures_of({'acc/top1': 0.812})
        assert (alone.low, alone.high, alone.among) == (None, None, None)

    def test_those_of_retrieval(self):
        results = {
            'retrieval/t2v/R1': 47.2, 'retrieval/t2v/MdR': 2.0, 'retrieval/t2v/queries': 1000,
            'retrieval/v2t/R1': 45.0, 'retrieval/v2t/R1_low': 41.0, 'retrieval/v2t/R1_high': 48.0,
        }  # fmt: skip
        assert figures_of(results) == [
            Figure('text to video R@1', 47.2, *interval(472, 1000), 1000),
            Figure('text to video MdR', 2.0, among=1000),
            Figure('video to text R@1', 45.0, 41.0, 48.0),
        ]

    @pytest.mark.parametrize(
        'results, said',
        [
            ({}, 'none of no entries is a figure'),
            (dict(loss=0.3), 'none of loss is a figure'),
            ({'acc/top1': 81.2}, '8120 per cent, more than all'),
            (dict(top1='good'), "top1 must be a number from 0 on, got 'good'"),
            (dict(top1=float('nan')), 'must be a number'),
        ],
    )
    def test_what_is_none_is_refused(self, results, said):
        with pytest.raises(ValueError, match=said):
            figures_of(results)

    def test_a_file_that_holds_none_is_refused(self, saved, tmp_path):
        (tmp_path / 'x.json').write_text('[1]')
        with pytest.raises(ValueError, match='must hold names and figures'):
            saved(results=tmp_path / 'x.json')


class TestTheHub:
    def test_reads_the_metadata(self, adapter, tmp_path):
        hub = pytest.importorskip('huggingface_hub')
        folder = save_pretrained(adapter, tmp_path / 'out', include_trunk=True, results=FIT)
        data = hub.ModelCard.load(folder / 'README.md').data
        assert (data.library_name, data.pipeline_tag) == ('mmstadapter', 'video-classification')
        (result,) = data.eval_results
        assert (result.metric_type, result.metric_value) == ('accuracy', 75.0)

    @pytest.mark.parametrize('stored', ['openai/ViT-B-16', 'hf:laion/x@main/open_clip.safetensors'])
    def test_links_the_pretrained_model(self, adapter, stored):
        read = read_model(adapter)
        header = read.header | dict(trunk=read.header['trunk'] | dict(checkpoint=stored))
        head = yaml.safe_load(card_of(read._replace(header=header), 'me/toy').split('---\n')[1])
        assert head['base_model'] == AT_THE_HUB.get(stored, 'laion/x')
        assert head['base_model_relation'] == 'adapter'

    def test_has_every_known_file(self):
        assert AT_THE_HUB.keys() == KNOWN.keys()


class TestCertificates:
    def test_they_name_the_code_that_the_cases_came_from(self):
        cases = {path.stem: json.loads(path.read_text()) for path in REFERENCE.glob('*.json')}
        for name, found in CERTIFICATES.items():
            own = [c for stem, c in cases.items() if stem.startswith(found.cases)]
            assert own, name
            assert all(c['source'].startswith(f'{found.repository} {found.commit}') for c in own)

    def test_a_method_without_released_code_has_none(self):
        assert certificate_of('FrameMeanViT').startswith('None: ')


def test_text_from_elsewhere_is_one_line_without_markup():
    assert plain('a\n# b [x](http://y) `c`') == r'a\\n\# b \[x\]\(http://y\) \`c\`'
