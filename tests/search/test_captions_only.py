"""A query needs the text side of a model alone: no more is built, read or compared."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import save_file

import mmstadapter
from mmstadapter.search.building import build
from mmstadapter.testing import write_clip_file

from .conftest import MEAN_POOL, TOKENS, write_config

CAPTIONS = ['a dark video', 'a bright video jumps']


def trained(config, seed: int = 0) -> dict:
    """A whole state dict of the config's model on its pretrained files."""
    torch.manual_seed(seed)
    network = MODELS.build(Config.fromfile(config).model)
    network.init_weights()
    for name, parameter in network.named_parameters():
        if name.startswith('similarity.'):
            parameter.data.normal_()
    return network.state_dict()


@pytest.fixture(params=['pth', 'safetensors'])
def both(request, tmp_path):
    """A token-wise model whole and for captions alone, from one checkpoint; and its path."""
    config, path = write_config(tmp_path, TOKENS), tmp_path / f'trained.{request.param}'
    if request.param == 'pth':
        torch.save(dict(state_dict=trained(config)), path)
    else:
        save_file(trained(config), path)
    models = [
        mmstadapter.SearchModel(config, path, 'cpu', captions_only=only) for only in (False, True)
    ]
    return *models, path


class TestCaptionsOnly:
    def test_captions_have_the_same_features_without_a_backbone(self, both):
        whole, text, _ = both
        assert text.model.backbone is None
        found, expected = text.encode_captions(CAPTIONS), whole.encode_captions(CAPTIONS)
        assert found.keys() == expected.keys() == {'tokens', 'weights'}
        for name in found:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)

    def test_padding_that_a_query_leaves_out_changes_no_score(self, both):
        whole, text, _ = both
        with torch.inference_mode():
            padded = whole.model.encode_captions(CAPTIONS)
        found = text.encode_captions(CAPTIONS)
        assert found['tokens'].shape[1] < padded['tokens'].shape[1]
        expected = mmstadapter.score(padded, padded)
        torch.testing.assert_close(mmstadapter.score(found, padded), expected)

    def test_a_search_builds_no_more(self, both, tmp_path):
        whole, _, path = both
        index = tmp_path / 'index'
        with mmstadapter.search.writer.writing(index, whole.describe(), '/videos', 2.0) as out:
            out.commit()
        search = mmstadapter.VideoSearch(index, device='cpu')
        assert search.model.model.backbone is None
        assert not search.model.steps and search.model.checkpoint == str(path)
        assert search.warm()('a dark video') == []

    def test_what_a_checkpoint_has_of_the_backbone_is_not_looked_at(self, both, tmp_path):
        *_, path = both
        tensors = mmstadapter.weights.read_tensors(path) | {'backbone.surplus': torch.zeros(2)}
        torch.save(dict(state_dict=tensors), tmp_path / 'other.pth')
        arguments = (path.with_name('model.py'), tmp_path / 'other.pth', 'cpu')
        mmstadapter.SearchModel(*arguments, captions_only=True)
        with pytest.raises(RuntimeError, match=r'unexpected key.*backbone\.surplus'):
            mmstadapter.SearchModel(*arguments)

    @pytest.mark.parametrize(
        'part', ['text_tower.ln_final.weight', 'similarity.text_weight.0.bias']
    )
    def test_other_weights_of_the_text_side_are_refused(self, both, part, tmp_path):
        whole, _, path = both
        tensors = dict(mmstadapter.weights.read_tensors(path))
        tensors[part] = tensors[part] + 1e-3
        torch.save(dict(state_dict=tensors), tmp_path / 'other.pth')
        with pytest.raises(
            ValueError, match=f'another model(.|\n)*weights of {part.split(".")[0]}'
        ):
            mmstadapter.SearchModel.of_index(
                whole.describe(), tmp_path / 'other.pth', 'cpu', captions_only=True
            )

    def test_another_config_is_refused_even_in_the_part_that_is_not_built(self, both):
        whole, *_ = both
        with pytest.raises(ValueError, match=r'model\.num_frames: None in the index, 7 here'):
            mmstadapter.SearchModel.of_index(
                whole.describe(), None, 'cpu', {'model.num_frames': 7}, captions_only=True
            )

    def test_surplus_weights_are_refused_as_ever(self, both, tmp_path):
        *_, path = both
        tensors = mmstadapter.weights.read_tensors(path) | {'cls_head.bias': torch.zeros(2)}
        torch.save(dict(state_dict=tensors), tmp_path / 'more.pth')
        with pytest.raises(RuntimeError, match=r'unexpected key.*cls_head\.bias'):
            mmstadapter.SearchModel(
                path.with_name('model.py'), tmp_path / 'more.pth', 'cpu', captions_only=True
            )

    def test_videos_are_refused_with_the_reason(self, both, tmp_path):
        _, text, _ = both
        (tmp_path / 'a.mp4').write_bytes(b'')
        calls = [
            lambda: text.encode_clips([torch.zeros(3, 4, 32, 32)]),
            lambda: text.segments('a.mp4', 4),
            text.describe,
            lambda: mmstadapter.index_videos(tmp_path, tmp_path / 'index', text),
        ]
        for call in calls:
            with pytest.raises(RuntimeError, match='captions alone'):
                call()
        assert not (tmp_path / 'index').exists()
        with pytest.raises(RuntimeError, match='backbone=None'):
            text.model.encode_videos(torch.zeros(1, 3, 4, 32, 32))


class TestFrozenTextTower:
    """Neither the trunk nor the text tower is in a tuned-only checkpoint."""

    @pytest.fixture
    def tuned(self, tmp_path):
        """A model with a frozen text tower, a tuned-only checkpoint of it, and options."""
        config = write_config(tmp_path, MEAN_POOL)
        options = {'model.text_tower.tune': 'none'}
        model = mmstadapter.SearchModel(config, None, 'cpu', options)
        state = model.model.state_dict()
        for part, name in ((model.model.backbone.trunk, 'backbone.trunk'), (
            model.model.text_tower, 'text_tower')):  # fmt: skip
            for key in part.frozen_keys():
                del state[f'{name}.{key}']
            state[f'{name}.fingerprint'] = part.fingerprint
        torch.save(dict(state_dict=state), tmp_path / 'tuned.pth')
        return mmstadapter.SearchModel(config, tmp_path / 'tuned.pth', 'cpu', options), tmp_path

    def test_the_text_tower_comes_from_its_pretrained_file_alone(self, tuned):
        whole, folder = tuned
        gone = {'model.backbone.trunk.checkpoint': str(folder / 'nowhere.safetensors')}
        text = mmstadapter.SearchModel.of_index(
            whole.describe(), None, 'cpu', gone, captions_only=True
        )
        found, expected = text.encode_captions(CAPTIONS), whole.encode_captions(CAPTIONS)
        torch.testing.assert_close(found['vector'], expected['vector'], rtol=0, atol=0)

    def test_another_pretrained_text_tower_is_refused(self, tuned):
        whole, folder = tuned
        write_clip_file(folder / 'other.safetensors', seed=9)
        other = {'model.text_tower.checkpoint': str(folder / 'other.safetensors')}
        with pytest.raises(RuntimeError, match='trained on another text tower'):
            mmstadapter.SearchModel.of_index(
                whole.describe(), None, 'cpu', other, captions_only=True
            )


def test_a_model_of_another_class_is_built_whole(tmp_path):
    config = Config.fromfile(write_config(tmp_path)).model
    with pytest.raises(ValueError, match='no retrieval model'):
        build(dict(config.backbone), None, 'x', captions_only=True)


def test_an_index_that_says_nothing_of_its_model_is_refused():
    with pytest.raises(ValueError, match='does not say the checkpoint, config, weights'):
        mmstadapter.SearchModel.of_index(dict(name='none'))
