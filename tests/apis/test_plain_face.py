"""A classifier as the library transformers has them: pixel_values and labels, loss and logits."""

import pytest
import torch
from torch.testing import assert_close

import mmstadapter
from mmstadapter.testing import fill, tiny_trunk, toy_clips, toy_samples, write_clip_file


@pytest.fixture
def model(tmp_path):
    return make(write_clip_file(tmp_path / 'clip.safetensors', seed=4))


def make(file: str, **changes):
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=3, dropout_ratio=0.0)
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=tiny_trunk(checkpoint=file))
    model = dict(type='Recognizer3D', backbone=backbone | dict(bottleneck_dims=8), cls_head=head)
    made = mmstadapter.create_model(dict(model=model), **changes)
    if made.cls_head is not None and 'checkpoint' not in changes:
        fill(made.cls_head, seed=2)
    return made


def test_frames_come_before_channels(model):
    clips = toy_clips(num_frames=3)  # as many as channels
    found = model(pixel_values=clips.transpose(1, 2))
    assert found.keys() == {'logits'} and torch.equal(found['logits'], model(clips))


def test_the_loss_is_that_of_mmaction2s_training(model):
    clips, labels = toy_clips(), torch.tensor([0, 1])
    model.cls_head.label_smooth_eps = 0.1
    found = model(pixel_values=clips.transpose(1, 2), labels=labels)
    expected = model.cls_head.loss(model.backbone(clips), toy_samples(2))
    assert torch.equal(found['loss'], expected['loss_cls'])
    smooth = torch.nn.functional.cross_entropy(model(clips), labels, label_smoothing=0.1)
    assert_close(found['loss'], smooth)


def test_labels_may_be_shares(model):
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    found = model(pixel_values=toy_clips().transpose(1, 2), labels=shares)
    assert_close(found['loss'], torch.nn.functional.cross_entropy(found['logits'], shares))


def test_what_it_cannot_read_is_said(model):
    clips = toy_clips()
    for wrong, said in (
        (dict(pixel_values=clips), r'pixel_values must be \(B, T, 3, H, W\)'),
        (dict(pixel_values=clips.transpose(1, 2).byte()), 'needs normalised clips'),
        (dict(), 'needs one of video'),
        (dict(labels=torch.tensor([0, 1])), 'needs one of video'),
        (dict(video=clips, labels=torch.tensor([0, 1])), 'labels go with pixel_values'),
        (dict(video=clips, pixel_values=clips.transpose(1, 2)), 'needs one of video'),
        (dict(pixel_values=clips.transpose(1, 2), labels=torch.tensor([0])), '1 labels for 2'),
        (dict(pixel_values=clips.transpose(1, 2), labels=torch.tensor([0, 3])), r'lie in 0\.\.2'),
    ):
        with pytest.raises(ValueError, match=said):
            model(**wrong)


def test_a_model_of_features_has_no_loss(tmp_path):
    made = make(write_clip_file(tmp_path / 'clip.safetensors'), num_classes=0)
    pixels = toy_clips().transpose(1, 2)
    assert made(pixel_values=pixels)['logits'].shape == (2, 32)
    with pytest.raises(ValueError, match='labels are for a model with one classifier'):
        made(pixel_values=pixels, labels=torch.tensor([0, 1]))


@pytest.mark.slow
class TestTrainer:
    """Three kinds of clips, a constant picture each, learnt in a few steps."""

    @pytest.fixture
    def trainer(self, model, tmp_path):
        transformers = pytest.importorskip('transformers')
        pytest.importorskip('accelerate')
        clips = toy_clips(batch=9, num_frames=4).transpose(1, 2) * 0.1
        data = [dict(pixel_values=clip + 2 * (i % 3), labels=i % 3) for i, clip in enumerate(clips)]
        args = transformers.TrainingArguments(
            output_dir=str(tmp_path / 'out'), max_steps=12, per_device_train_batch_size=9,
            learning_rate=0.03, logging_steps=1, save_steps=12, report_to=[], use_cpu=True,
            disable_tqdm=True,
        )  # fmt: skip
        return transformers.Trainer(model, args, train_dataset=data, eval_dataset=data)

    def test_it_trains_what_the_recipe_trains_and_predicts_as_we_do(self, trainer, model, tmp_path):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        trainer.train()
        losses = [entry['loss'] for entry in trainer.state.log_history if 'loss' in entry]
        assert len(losses) == 12 and losses[-1] < 0.5 * losses[0]
        tuned = {name for name, p in model.named_parameters() if p.requires_grad}
        after = model.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed and changed <= tuned

        found = trainer.predict(trainer.eval_dataset)
        pixels = torch.stack([item['pixel_values'] for item in trainer.eval_dataset])
        with torch.no_grad():
            ours = model.eval()(pixels.transpose(1, 2))
        assert_close(torch.from_numpy(found.predictions), ours, rtol=0, atol=1e-5)
        assert found.metrics['test_loss'] == pytest.approx(
            model(pixel_values=pixels, labels=torch.arange(9) % 3)['loss'].item(), abs=1e-5
        )

        saved = tmp_path / 'out/checkpoint-12/model.safetensors'
        again = make(model.backbone.trunk.checkpoint, checkpoint=saved)
        assert torch.equal(again(toy_clips()), model(toy_clips()))
