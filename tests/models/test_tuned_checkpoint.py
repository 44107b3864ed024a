"""Tuned-only checkpoints: what they hold, where they load, what they refuse."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmaction.apis import init_recognizer
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import load_checkpoint, save_checkpoint
from safetensors import safe_open

from mmstadapter.engine.tuned_checkpoint import (
    TunedCheckpointHook,
    drop_frozen,
    read_adapter,
    write_adapter,
)
from mmstadapter.testing import (
    caption_samples,
    fill,
    tiny_retriever,
    tiny_text,
    tiny_trunk,
    toy_clips,
    write_clip_file,
)


def config(checkpoint: str | None, **trunk) -> Config:
    return Config(
        dict(
            default_scope='mmaction',
            model=dict(
                type='Recognizer3D',
                data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCTHW'),
                backbone=dict(
                    type='mmstadapter.STAdapterViT',
                    trunk=tiny_trunk(checkpoint=checkpoint, **trunk),
                    bottleneck_dims=8,
                ),
                cls_head=dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=5),
            ),
        )
    )


@pytest.fixture
def trunk_file(tmp_path):
    return write_clip_file(tmp_path / 'clip.safetensors', seed=1)


@pytest.fixture
def trained(trunk_file):
    """A model on its trunk whose tuned part is not at its initial values."""
    model = MODELS.build(config(trunk_file).model)
    model.init_weights()
    for name in ('after_attn',):
        fill(getattr(model.backbone, name), seed=2)
    return model.eval()


def scores(model) -> torch.Tensor:
    return model.eval().cls_head(model.backbone(toy_clips()))


def saved(model, path) -> str:
    save_checkpoint(dict(state_dict=drop_frozen(model, model.state_dict())), str(path))
    return str(path)


def test_the_state_dict_of_the_model_stays_whole(trained):
    assert sum(k.startswith('backbone.trunk.') for k in trained.state_dict()) == 43


def test_the_file_holds_the_tuned_part_and_a_fingerprint(trained):
    kept = drop_frozen(trained, trained.state_dict())
    tuned = {n for n, p in trained.named_parameters() if p.requires_grad}
    assert kept.keys() == tuned | {'backbone.trunk.fingerprint'}
    assert kept['backbone.trunk.fingerprint'].shape == (32,)


def test_a_random_trunk_is_saved_whole_since_nothing_could_supply_it():
    model = MODELS.build(config(None).model)
    assert drop_frozen(model, model.state_dict()).keys() == model.state_dict().keys()


def test_a_trunk_tuned_whole_is_saved_whole_and_tested_without_its_pretrained_file(trunk_file):
    model = MODELS.build(config(trunk_file, tune='all').model)
    model.init_weights()
    kept = drop_frozen(model, model.state_dict())
    assert kept.keys() == model.state_dict().keys()
    tested = MODELS.build(config(trunk_file, tune='all').model)  # as Runner.test has it
    tested.load_state_dict(kept)
    assert torch.equal(scores(tested), scores(model))


def test_a_classifier_alone_does_not_pass_for_the_weights_of_a_tuned_trunk(trunk_file):
    model = MODELS.build(config(trunk_file, tune='all').model)
    head = {k: v for k, v in model.state_dict().items() if k.startswith('cls_head')}
    model.load_state_dict(head, strict=False)
    with pytest.raises(RuntimeError, match='have not been read'):
        scores(model)


def test_a_trunk_loaded_from_elsewhere_is_saved_whole(trained, trunk_file):
    other = MODELS.build(config(trunk_file).model)
    whole = fill(MODELS.build(config(None).model), seed=9).state_dict()
    other.load_state_dict(whole)
    assert drop_frozen(other, other.state_dict()).keys() == other.state_dict().keys()


def test_resuming_from_a_whole_file_of_the_same_trunk_saves_tuned_only_again(trained, trunk_file):
    other = MODELS.build(config(trunk_file).model)
    other.init_weights()
    other.load_state_dict(trained.state_dict())
    assert len(drop_frozen(other, other.state_dict())) == 21


def test_a_bare_load_state_dict_takes_it_strictly(trained, trunk_file, tmp_path):
    state = torch.load(saved(trained, tmp_path / 'a.pth'), weights_only=True)['state_dict']
    model = MODELS.build(config(trunk_file).model)
    model.load_state_dict(state, strict=True)
    assert torch.equal(scores(model), scores(trained))


def test_init_recognizer_takes_it(trained, trunk_file, tmp_path):
    path = saved(trained, tmp_path / 'a.pth')
    model = init_recognizer(config(trunk_file), path, device='cpu')
    assert torch.equal(scores(model), scores(trained))


def test_the_hosts_load_checkpoint_takes_the_safetensors_form(trained, trunk_file, tmp_path):
    write_adapter(tmp_path / 'a.safetensors', trained, config(trunk_file), labels=list('abcde'))
    model = MODELS.build(config(trunk_file).model)
    load_checkpoint(model, str(tmp_path / 'a.safetensors'), strict=True)
    assert torch.equal(scores(model), scores(trained))


@pytest.mark.parametrize('tune', ['all', 'none'])
def test_a_retriever_travels_in_the_safetensors_form(trunk_file, tmp_path, tune):
    made = Config(
        dict(model=tiny_retriever(text_tower=tiny_text(checkpoint=trunk_file, tune=tune)))
    )
    made.model.backbone.trunk.checkpoint = trunk_file
    one, other = (MODELS.build(made.model).eval() for _ in range(2))
    one.init_weights()
    fill(one.backbone.after_attn, seed=2)
    fill(one.similarity, seed=3)
    write_adapter(tmp_path / 'adapter.safetensors', one, made)
    load_checkpoint(other, str(tmp_path / 'adapter.safetensors'), strict=True)
    for ours, theirs in zip(
        *(model(toy_clips(), caption_samples()) for model in (one, other)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    tensors, _ = read_adapter(tmp_path / 'adapter.safetensors')
    assert ('text_tower.ln_final.weight' in tensors) == (tune == 'all')


def test_another_trunk_is_refused(trained, tmp_path):
    path = saved(trained, tmp_path / 'a.pth')
    other = write_clip_file(tmp_path / 'other.safetensors', seed=7)
    with pytest.raises(RuntimeError, match='trained on another trunk'):
        init_recognizer(config(other), path, device='cpu')


def test_a_trunk_without_a_file_is_refused_with_the_remedy(trained, tmp_path):
    path = saved(trained, tmp_path / 'a.pth')
    with pytest.raises(RuntimeError, match=r'supply its 43 frozen tensors. Set model.backbone'):
        init_recognizer(config(None), path, device='cpu')


def test_a_checkpoint_of_another_kind_of_trunk_is_refused(trained, trunk_file, tmp_path):
    state = {k.replace('resblocks', 'blocks'): v for k, v in trained.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    model = MODELS.build(config(trunk_file).model)
    with pytest.raises(RuntimeError, match='another trunk than this CLIPViT, which has no trans'):
        load_checkpoint(model, str(tmp_path / 'a.pth'))
    with pytest.raises(RuntimeError, match='^CLIPViT: this checkpoint is of another trunk'):
        model.backbone.trunk.load_state_dict({'blocks.0.norm1.weight': torch.ones(32)})


def test_half_a_trunk_is_refused_with_the_missing_names(trained, trunk_file):
    state = trained.state_dict()
    del state['backbone.trunk.ln_post.weight']
    with pytest.raises(RuntimeError, match='lacks 1: ln_post.weight'):
        MODELS.build(config(trunk_file).model).load_state_dict(state, strict=False)


def test_the_same_weights_stored_in_16_bit_are_the_same_trunk(trained, trunk_file, tmp_path):
    path = saved(trained, tmp_path / 'a.pth')
    model = init_recognizer(config(trunk_file, dtype='float16'), path, device='cpu')
    torch.testing.assert_close(scores(model), scores(trained), atol=1e-2, rtol=1e-2)


def test_another_input_size_is_the_same_trunk(trained, trunk_file, tmp_path):
    path = saved(trained, tmp_path / 'a.pth')
    model = init_recognizer(config(trunk_file, img_size=48), path, device='cpu')
    assert model.backbone(toy_clips(size=48)).shape == (2, 32)


def test_the_adapter_file_says_what_it_is(trained, trunk_file, tmp_path):
    path = tmp_path / 'a.safetensors'
    write_adapter(path, trained, config(trunk_file), labels=list('abcde'))
    tensors, header = read_adapter(path)
    assert header['method'] == 'mmstadapter.STAdapterViT'
    assert header['labels'] == list('abcde')
    assert header['trunk']['checkpoint'] == trunk_file
    assert header['trunk_fingerprint'] == [bytes(trained.backbone.trunk.fingerprint.tolist()).hex()]
    assert header['preprocessing']['format_shape'] == 'NCTHW'
    rebuilt = MODELS.build(Config(header['config']).model)
    rebuilt.load_state_dict(tensors)
    assert torch.equal(scores(rebuilt), scores(trained))
    assert not list(tmp_path.glob('*.part'))


def test_every_entry_of_the_metadata_is_plain_text(trained, trunk_file, tmp_path):
    path = tmp_path / 'a.safetensors'
    write_adapter(path, trained, config(trunk_file))
    with safe_open(str(path), framework='pt') as file:
        metadata = file.metadata()
    assert json.loads(metadata['config'])['model']['type'] == 'Recognizer3D'


def test_an_adapter_of_a_random_trunk_is_not_written(tmp_path):
    model = MODELS.build(config(None).model)
    with pytest.raises(ValueError, match='could not be used elsewhere'):
        write_adapter(tmp_path / 'a.safetensors', model, config(None))
    assert not list(tmp_path.iterdir())


def test_a_foreign_safetensors_file_is_not_an_adapter(trunk_file):
    with pytest.raises(ValueError, match='not an adapter file'):
        read_adapter(trunk_file)


def test_an_averaged_model_is_saved_tuned_only_and_loads_again(trained, trunk_file):
    averaged = ExponentialMovingAverage(trained)
    checkpoint = dict(state_dict=trained.state_dict(), ema_state_dict=averaged.state_dict())
    TunedCheckpointHook().before_save_checkpoint(SimpleNamespace(model=trained), checkpoint)
    kept = checkpoint['ema_state_dict']
    assert 'module.backbone.trunk.fingerprint' in kept
    assert not [k for k in kept if k.startswith('module.backbone.trunk.transformer')]
    again = MODELS.build(config(trunk_file).model)
    again.init_weights()
    again = ExponentialMovingAverage(again)
    again.load_state_dict(kept, strict=True)
    assert torch.equal(scores(again.module), scores(trained))
