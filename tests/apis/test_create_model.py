"""A recipe's model in a notebook: a plain module, its weights, and what makes its input."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

import mmstadapter
from mmstadapter import create_model, shipped
from mmstadapter.engine.tuned_checkpoint import drop_frozen, write_adapter
from mmstadapter.testing import (
    TINY_ARCH,
    fill,
    tiny_text,
    tiny_tokenizer,
    tiny_trunk,
    toy_clips,
    write_clip_file,
)
from mmstadapter.weights import fetch

RECIPE = 'stadapter_vit-b_k400'
CAPTIONED = ('msrvtt', 'msvd', 'vatex', 'didemo', 'captions')
ONE_OF_EACH_METHOD = {
    name.partition('_')[0]: name
    for name in reversed(mmstadapter.list_models())
    if not any(data in name for data in CAPTIONED)
}.values()


@pytest.fixture
def file(tmp_path) -> str:
    """A tiny CLIP's file."""
    return write_clip_file(tmp_path / 'clip.safetensors', seed=4)


@pytest.fixture
def tiny(file):
    """Makes the recipe's model on the tiny trunk."""

    def make(**changes):
        changes = dict(trunk=tiny_trunk(checkpoint=file), bottleneck_dims=8) | changes
        return create_model(RECIPE, **changes)

    return make


@pytest.fixture
def trained(tiny):
    """The same with three classes, as after a training."""
    model = tiny(num_classes=3)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return model


@pytest.fixture
def video(tmp_path) -> Path:
    path, rng = tmp_path / 'a.mp4', np.random.default_rng(0)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for _ in range(30):
            image = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return path


def same(model, other) -> bool:
    return torch.equal(model(toy_clips()), other(toy_clips()))


class TestListModels:
    def test_without_a_pattern_all_recipes_are_named_as_create_model_takes_them(self):
        names = mmstadapter.list_models()
        assert names == sorted(names) and len(names) == len(shipped.configs())
        assert RECIPE in names and not any(name.endswith('.py') for name in names)

    def test_patterns_choose(self):
        found = mmstadapter.list_models('*msrvtt*')
        assert found and all('msrvtt' in name for name in found)
        both = mmstadapter.list_models(['*msvd*', 'side4video_vit-b_k400'])
        assert 'side4video_vit-b_k400' in both and len(both) > 2

    def test_what_fits_nothing_gives_an_empty_list(self):
        assert mmstadapter.list_models('resnet*') == []


class TestRecognition:
    def test_clips_go_in_and_scores_come_out(self, tiny):
        model = tiny(num_classes=7)
        assert isinstance(model, torch.nn.Module) and not model.training
        assert model(toy_clips(batch=2, num_frames=4)).shape == (2, 7)
        assert model(toy_clips(batch=1, num_frames=9)).shape == (1, 7)

    def test_without_num_classes_it_has_the_recipes(self, tiny):
        assert tiny()(toy_clips()).shape == (2, 400)

    def test_with_no_classes_it_gives_features(self, tiny, trained, tmp_path):
        torch.save(trained.state_dict(), tmp_path / 'whole.pth')
        model = tiny(num_classes=0, checkpoint=tmp_path / 'whole.pth')
        expected = trained.cls_head(model(toy_clips()))
        assert torch.equal(trained(toy_clips()), expected)

    def test_it_trains_what_the_recipe_trains(self, tiny):
        model = tiny(num_classes=7).train()
        model(toy_clips()).sum().backward()
        trained = {name for name, p in model.named_parameters() if p.grad is not None}
        assert trained == {name for name, p in model.named_parameters() if p.requires_grad}
        assert {name.partition('.')[0] for name in trained} == {'backbone', 'cls_head'}
        assert not any('.trunk.' in name for name in trained)

    def test_what_is_no_normalised_clip_is_refused_with_the_way_to_make_one(self, tiny):
        model = tiny()
        for wrong in (toy_clips()[0], toy_clips().byte(), toy_clips().transpose(1, 2)):
            with pytest.raises(ValueError, match=r'\(B, 3, T, H, W\).*model\.transform'):
                model(wrong)

    def test_fields_of_the_backbone_and_other_settings_can_be_changed(self, tiny):
        options = {'model.cls_head.dropout_ratio': 0.2}
        model = tiny(positions=('before_attn',), options=options)
        assert not hasattr(model.backbone, 'after_attn') and model.cls_head.dropout.p == 0.2

    def test_settings_that_nothing_has_are_refused(self, tiny):
        with pytest.raises(TypeError, match="unexpected keyword argument 'bottleneck'"):
            tiny(bottleneck=8)
        with pytest.raises(ValueError, match='the config has no modle.backbone'):
            tiny(options={'modle.backbone': 1})
        with pytest.raises(ValueError, match='Recognizer3D has no text_tower'):
            tiny(text_tower=tiny_text())
        with pytest.raises(FileNotFoundError, match=r'Did you mean stadapter_vit-b_k400\.py'):
            create_model('stadapter_vit-b_k40')
        with pytest.raises(RuntimeError, match='device'):
            tiny(device='cuda:99')

    def test_a_recipe_may_be_a_path_or_a_config(self, tiny, file):
        path = shipped.config(RECIPE)
        changes = dict(trunk=tiny_trunk(checkpoint=file), bottleneck_dims=8)
        for config in (path, str(path), Config.fromfile(path)):
            assert create_model(config, **changes)(toy_clips()).shape == (2, 400)

    @pytest.mark.parametrize('name', ONE_OF_EACH_METHOD)
    def test_every_method_with_classes_has_such_a_model(self, name):
        trunk = tiny_trunk(arch=TINY_ARCH | dict(num_layers=4))
        reads_names = name.startswith(('dist', 'zeroshot', 'text'))
        options = {'model.cls_head.labels': ['walk', 'run']} if reads_names else None
        if name.startswith(('zeroshot', 'text')):  # into the joint space of the text tower
            trunk['arch']['output_dims'], trunk['with_proj'] = 512, True
        model = create_model(name, num_classes=2, trunk=trunk, pretrained=False, options=options)
        clips = model.transform(np.zeros((40, 32, 32, 3), np.uint8))
        assert clips.shape[1:] == (3, model.transform.num_frames, 32, 32)
        scores = model(clips[:1])
        each = scores.values() if name.startswith('sweep') else [scores]
        assert each and all(score.shape == (1, 2) for score in each)

    def test_features_of_a_model_that_reads_class_names_need_none(self):
        trunk = tiny_trunk(arch=TINY_ARCH | dict(num_layers=4))
        model = create_model('dist_vit-b_k400_16f', num_classes=0, trunk=trunk, pretrained=False)
        assert model(toy_clips(num_frames=16)).shape == (2, 512)


class TestTrunk:
    def test_fields_change_the_recipes_trunk(self, file):
        model = create_model(RECIPE, trunk=dict(arch=TINY_ARCH, checkpoint=file))
        assert model.backbone.trunk.source == 'pretrained'
        assert model.backbone.trunk.conv1.weight.dtype == torch.float16  # as the recipe has it
        assert model(toy_clips()).dtype == torch.float32

    def test_a_built_one_is_taken_with_its_weights(self, file):
        trunk = fill(mmstadapter.CLIPViT(TINY_ARCH))
        model = create_model(RECIPE, num_classes=5, trunk=trunk)
        assert model.backbone.trunk is trunk and model.cls_head.in_channels == 32
        assert model(toy_clips()).shape == (2, 5)

    def test_nothing_is_random_unless_it_is_asked_for(self, file, monkeypatch, tmp_path):
        with pytest.raises(ValueError, match='the trunk names no pretrained file.*pretrained=Fal'):
            create_model(RECIPE, trunk=tiny_trunk())
        assert (
            create_model(RECIPE, trunk=tiny_trunk(), pretrained=False)(toy_clips()).isfinite().all()
        )
        with pytest.raises(FileNotFoundError, match='gone.pt.*neither a file nor a known name'):
            create_model(RECIPE, trunk=dict(checkpoint='gone.pt'))
        trunk = dict(arch=TINY_ARCH, checkpoint=file)  # given beside pretrained=False, it is read
        model = create_model(RECIPE, trunk=trunk, pretrained=False)
        assert model.backbone.trunk.source == 'pretrained'

    def test_weights_that_cannot_be_fetched_are_asked_for(self, monkeypatch, tmp_path):
        known = fetch.Known('http://127.0.0.1:9/ViT-B-16.pt', '0' * 64)
        monkeypatch.setitem(fetch.KNOWN, 'openai/ViT-B-16', known)
        monkeypatch.setenv('MMSTADAPTER_CACHE', str(tmp_path))
        with pytest.raises(RuntimeError, match=r'openai/ViT-B-16: fetching .*Put that file at'):
            create_model(RECIPE)


class TestCheckpoint:
    @pytest.mark.parametrize('kind', ['whole', 'tuned', 'adapter'])
    def test_every_kind_gives_the_trained_model(self, tiny, trained, kind, file, tmp_path):
        path = tmp_path / 'trained'
        if kind == 'adapter':
            config = Config.fromfile(shipped.config(RECIPE))
            config.model.backbone.trunk = tiny_trunk(checkpoint=file)
            write_adapter(path, trained, config)
        else:
            state = trained.state_dict()
            torch.save(drop_frozen(trained, state) if kind == 'tuned' else state, path)
        model = tiny(num_classes=3, checkpoint=path)
        assert same(model, trained) and not model.training

    def test_its_names_are_those_of_the_recogniser(self, trained, file):
        config = Config.fromfile(shipped.config(RECIPE)).model.to_dict()
        config['backbone'] |= dict(trunk=tiny_trunk(checkpoint=file), bottleneck_dims=8)
        config['cls_head'] |= dict(num_classes=3, in_channels=32)
        MODELS.build(config).load_state_dict(trained.state_dict(), strict=True)

    def test_another_number_of_classes_is_refused_unless_a_new_head_is_wanted(
        self, tiny, trained, tmp_path
    ):
        torch.save(drop_frozen(trained, trained.state_dict()), tmp_path / 'tuned.pth')
        with pytest.raises(RuntimeError, match=r'cls_head(.|\n)*num_classes .*new_head=True'):
            tiny(num_classes=7, checkpoint=tmp_path / 'tuned.pth')
        model = tiny(num_classes=7, checkpoint=tmp_path / 'tuned.pth', new_head=True)
        assert model(toy_clips()).shape == (2, 7)
        kept = model.backbone.state_dict()
        assert all(torch.equal(t, kept[n]) for n, t in trained.backbone.state_dict().items())

    def test_weights_of_another_model_are_refused(self, tiny, trained, tmp_path):
        torch.save(trained.state_dict(), tmp_path / 'whole.pth')
        with pytest.raises(RuntimeError, match=r'whole\.pth does not belong to this model'):
            tiny(num_classes=3, bottleneck_dims=4, checkpoint=tmp_path / 'whole.pth')
        with pytest.raises(FileNotFoundError, match='gone.pth'):
            tiny(checkpoint=tmp_path / 'gone.pth')

    def test_a_clip_alone_is_the_trunks_file(self, file, trained, tmp_path):
        trunk = tiny_trunk(checkpoint='gone.safetensors')
        model = create_model(RECIPE, num_classes=7, trunk=trunk, checkpoint=file)
        assert model.backbone.trunk.source == 'pretrained'
        expected = trained.backbone.trunk.state_dict()
        assert all(
            torch.equal(t, expected[n]) for n, t in model.backbone.trunk.state_dict().items()
        )

    def test_neither_a_model_nor_a_clip_is_refused(self, tiny, tmp_path):
        torch.save({'conv1.weight': torch.zeros(3)}, tmp_path / 'other.pth')
        with pytest.raises((KeyError, RuntimeError, ValueError), match=r'other\.pth'):
            tiny(checkpoint=tmp_path / 'other.pth')


class TestTransform:
    def test_it_says_what_the_input_is(self, tiny):
        transform = tiny().transform
        assert (transform.num_frames, transform.size) == (8, (32, 32))
        assert transform.mean == (122.7709383, 116.7460125, 104.09373615)
        assert '8 frames of 32x32' in repr(transform)

    def test_the_recipes_fields_change_it(self, tiny, video):
        transform = tiny(options=dict(clip_len=16, num_views=1)).transform
        assert transform.num_frames == 16 and transform(video).shape == (1, 3, 16, 32, 32)

    def test_a_file_gives_the_views_that_the_predictor_averages(
        self, trained, file, video, tmp_path
    ):
        config = Config.fromfile(shipped.config(RECIPE))
        config.model.backbone.trunk = tiny_trunk(checkpoint=file)
        changes = {'backbone.bottleneck_dims': 8, 'cls_head.num_classes': 3}
        config.merge_from_dict({f'model.{name}': value for name, value in changes.items()})
        config.model.cls_head.in_channels = 32
        for step in config.test_dataloader.dataset.pipeline:
            if 'size' in step:
                step.size = 32
        write_adapter(tmp_path / 'adapter.safetensors', trained, config)
        (found,) = mmstadapter.Predictor(tmp_path / 'adapter.safetensors', device='cpu')(video)
        with torch.no_grad():
            scores = trained(trained.transform(video)).softmax(-1).mean(0)
        assert found['scores'] == pytest.approx(scores.sort(descending=True)[0].tolist(), abs=1e-5)

    def test_frames_in_memory_give_what_their_file_gives(self, tiny, video):
        transform = tiny().transform
        reader = mmstadapter.datasets.readers.open_video(str(video))
        frames = np.stack(reader.read(range(len(reader))))
        expected = transform(str(video))
        assert expected.shape == (3, 3, 8, 32, 32) and expected.dtype == torch.float32
        assert torch.equal(transform(frames), expected)
        assert torch.equal(transform(torch.from_numpy(frames)), expected)

    def test_a_pixel_becomes_its_distance_from_the_mean(self, tiny):
        transform = tiny().transform
        clip = transform(np.full((20, 40, 40, 3), 100, np.uint8))
        expected = (100 - np.array(transform.mean)) / np.array(transform.std)
        np.testing.assert_allclose(clip[0, :, 0, 0, 0], expected, rtol=1e-5)

    @pytest.mark.parametrize('shape', [(8, 3, 32, 32), (8, 32, 32), (0, 32, 32, 3)])
    def test_frames_of_another_shape_or_type_are_refused(self, tiny, shape):
        with pytest.raises(ValueError, match=r'frames must be uint8 RGB \(L, H, W, 3\)'):
            tiny().transform(np.zeros(shape, np.uint8))
        with pytest.raises(ValueError, match='got float32'):
            tiny().transform(torch.zeros(8, 32, 32, 3))

    def test_a_config_without_a_test_pipeline_has_none(self):
        model = dict(
            type='Recognizer3D',
            backbone=dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk()),
            cls_head=dict(type='mmstadapter.VideoHead', num_classes=2),
        )
        assert create_model(dict(model=model), pretrained=False).transform is None


class TestRetrieval:
    @pytest.fixture
    def model(self, file):
        return create_model(
            'zeroshot_vit-b32_msrvtt',
            trunk=dict(arch=TINY_ARCH, checkpoint=file),
            text_tower=tiny_text(checkpoint=file),
            options={'model.tokenizer': dict(tiny_tokenizer(), _delete_=True)},
        )

    def test_videos_and_captions_are_encoded_and_compared(self, model):
        assert isinstance(model, mmstadapter.Retriever) and not model.training
        clips = model.transform(np.zeros((20, 40, 40, 3), np.uint8))
        assert clips.shape == (1, 3, 12, 32, 32)
        texts = model.encode_captions(['a dog jumps', 'the cat sleeps'])
        assert mmstadapter.score(texts, model.encode_videos(clips)).shape == (2, 1)

    def test_called_with_clips_alone_it_encodes_them(self, model):
        clips = toy_clips(num_frames=12)
        found, expected = model(clips), model.encode_videos(clips)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)

    def test_both_encoders_may_be_built(self, model, file):
        trunk, tower = model.backbone.trunk, model.text_tower
        options = {'model.tokenizer': dict(tiny_tokenizer(), _delete_=True)}
        again = create_model(
            'zeroshot_vit-b32_msrvtt', trunk=trunk, text_tower=tower, options=options
        )
        assert again.backbone.trunk is trunk and again.text_tower is tower
        found, expected = (m.encode_captions(['a dog jumps']) for m in (again, model))
        assert torch.equal(found['vector'], expected['vector'])

    def test_options_of_classifiers_are_refused(self):
        with pytest.raises(ValueError, match='num_classes and new_head are for classifiers'):
            create_model('zeroshot_vit-b32_msrvtt', num_classes=3, pretrained=False)
