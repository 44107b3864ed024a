"""The tiny CLIP: words, training, and the file it leaves."""

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import load_file

from mmstadapter import shipped
from mmstadapter.preparation import scenes, tiny_clip, words


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A model of three steps."""
    path = tmp_path_factory.mktemp('model') / 'clip_tiny.safetensors'
    tiny_clip.prepare(path, steps=3, batch_size=4)
    return path


class TestWords:
    def test_every_caption_can_be_written(self):
        ids = words.tokenizer()(list(scenes.every_caption()))
        assert ids.shape == (80, words.CONTEXT_LENGTH)
        assert len(ids.unique(dim=0)) == 80

    def test_the_end_has_the_largest_id(self):
        caption = 'a photo of the digit seven on a purple background'
        ids = words.tokenizer()([caption])[0]
        assert ids.argmax() == 11
        assert ids.max() == words.TEXT_ARCH['vocab_size'] - 1

    @pytest.mark.parametrize('caption', ['a photo of a cat', 'the digit ' * 6])
    def test_what_cannot_be_written_is_refused(self, caption):
        with pytest.raises(ValueError, match='at most 10 words'):
            words.tokenizer()([caption])


class TestTraining:
    def test_sizes_are_those_of_the_benchmark(self):
        model = tiny_clip.TinyCLIP()
        counts = [
            sum(p.numel() for p in tower.parameters()) for tower in (model.visual, model.text)
        ]
        assert counts == [474_048, 107_648]

    def test_stills_without_jitter_differ_in_noise_and_handwriting_alone(self):
        glyph, rng = np.zeros((8, 8), np.float32), np.random.default_rng(0)
        still = scenes.photograph(glyph, 'red', 'checks', rng, jitter=0.0)
        back = scenes.ground('red', 'checks')
        assert np.abs(still - back).mean() < 1.1 * scenes.NOISE

    def test_equal_captions_are_positives(self):
        model = tiny_clip.TinyCLIP()
        images = torch.nn.functional.normalize(torch.ones(2, 64), dim=-1)
        with torch.no_grad():
            same = tiny_clip.contrast(model, images, ['the digit one grows'] * 2)
        assert same.item() == pytest.approx(np.log(2), abs=1e-5)

    @pytest.mark.slow
    def test_a_few_steps_lower_the_loss(self, capsys):
        torch.manual_seed(0)
        tiny_clip.train(tiny_clip.TinyCLIP(), steps=30, batch_size=16, seed=0)
        lines = capsys.readouterr().out.splitlines()
        losses = [float(line.split('loss ')[1].split()[0]) for line in lines]
        assert losses[-1] < losses[0]

    def test_the_rate_rises_then_falls_to_zero(self):
        rates = [tiny_clip.rate(step, 100) for step in range(101)]
        assert rates[9] == max(rates) == 1
        assert rates[100] == pytest.approx(0)


class TestFile:
    def test_it_holds_both_towers_under_openai_names_in_16_bit(self, made):
        tensors = load_file(made)
        assert {t.dtype for t in tensors.values()} == {torch.float16}
        assert tensors['visual.proj'].shape == (96, 64)
        assert tensors['text_projection'].shape == (64, 64)
        assert {'visual.conv1.weight', 'token_embedding.weight', 'logit_scale'} < tensors.keys()
        assert made.stat().st_size < 1.3e6
        assert not list(made.parent.glob('*.part'))

    def test_the_trunk_of_the_configs_reads_it(self, made):
        config = Config.fromfile(shipped.config('stadapter_vit-tiny_demo-motion.py'))
        model = MODELS.build(
            config.model.backbone.trunk.to_dict() | dict(checkpoint=str(made), with_proj=True)
        )
        model.init_weights()
        stored = load_file(made)['visual.transformer.resblocks.3.mlp.c_fc.weight']
        torch.testing.assert_close(model.blocks[3].mlp.c_fc.weight, stored.float())

    def test_timms_tower_is_trained_likewise_and_written_under_its_names(self, tmp_path):
        pytest.importorskip('timm')
        path = tmp_path / 'timm_tiny.safetensors'
        tiny_clip.prepare(path, steps=2, batch_size=4, tower='timm')
        config = Config.fromfile(shipped.config('_base_/trunks/timm_vit-tiny.py'))
        model = MODELS.build(config.trunk.to_dict() | dict(checkpoint=str(path)))
        model.init_weights()
        stored = load_file(path)
        assert stored.keys() == model.vit.state_dict().keys()
        torch.testing.assert_close(model.vit.norm.weight, stored['norm.weight'].float())

    def test_a_file_that_is_there_is_kept(self, made, capsys):
        before = made.stat().st_mtime_ns
        tiny_clip.prepare(made, steps=3, batch_size=4)
        assert made.stat().st_mtime_ns == before
        assert 'there already' in capsys.readouterr().out
