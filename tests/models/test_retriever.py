"""The model of text-video retrieval: modes, limits, large batches in small parts, refusals."""

import copy
import math
from contextlib import nullcontext

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.optim import OptimWrapper
from torch import nn

import mmstadapter
from mmstadapter import AmpOptimWrapper
from mmstadapter.testing import (
    TINY_ARCH,
    caption_samples,
    fill,
    tiny_retriever,
    tiny_text,
    tiny_trunk,
    toy_clips,
    write_clip_file,
)

BATCH = 6
SIDE = dict(
    type='mmstadapter.Side4VideoViT',
    trunk=tiny_trunk(with_proj=True),
    side_dims=16,
    head_dims=8,
    output='frames',
)
SIMILARITIES = dict(
    mean=dict(type='mmstadapter.MeanPoolSimilarity'),
    sequential=dict(type='mmstadapter.SequentialSimilarity', embed_dims=16, init='normal'),
    token=dict(type='mmstadapter.TokenSimilarity', embed_dims=16),
)


def build(**changes):
    """A retriever in training, whose features differ enough to tell captions apart."""
    model = fill(MODELS.build(tiny_retriever(**changes)), scale=0.4).train()
    nn.init.constant_(model.logit_scale, 3.0)
    return model


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def gradients(model, clips, samples):
    model.zero_grad()
    loss = total(model(clips, samples, mode='loss'))
    loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
    return dict(loss=loss.detach()) | grads


def assert_same(actual, expected):
    """Equal up to 1e-5 of a tensor's largest value, the noise of sums in another order."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        noise = 1e-5 * value.abs().max().item() + 1e-7
        torch.testing.assert_close(
            actual[name], value, rtol=1e-4, atol=noise, msg=lambda text, n=name: f'{n}: {text}'
        )


class TestModes:
    def test_loss_is_that_of_all_pairs_of_the_batch(self):
        model, clips, samples = build(), toy_clips(BATCH), caption_samples(BATCH)
        text = model.encode_captions([sample.captions[0] for sample in samples])
        logits = model.logit_scale.exp() * mmstadapter.score(text, model.encode_videos(clips))
        losses = model(clips, samples, mode='loss')
        expected = mmstadapter.ContrastiveLoss()(logits)
        torch.testing.assert_close(losses['loss_contrast'], expected)
        assert losses['scale'] == model.logit_scale.exp()

    def test_predict_gives_each_sample_its_video_and_all_its_captions(self):
        model = build().eval()
        samples = caption_samples(2)
        samples[1].set_metainfo(dict(captions=['the dog sleeps', 'a dog falls', 'the cat']))
        with torch.no_grad():
            found = model(toy_clips(2), samples, mode='predict')
            assert [len(s.text_features['tokens']) for s in found] == [1, 3]
            assert [len(s.video_features['tokens']) for s in found] == [1, 1]
            alone = model.encode_captions(['a dog falls'])
            for name in alone:
                row = found[1].text_features[name][1:2]
                torch.testing.assert_close(row, alone[name], msg=name)

    def test_tensor_gives_text_and_video_features(self):
        model = build(similarity=SIMILARITIES['mean'])
        text, video = model(toy_clips(3), caption_samples(3))
        assert text['vector'].shape == video['vector'].shape == (3, 16)

    @pytest.mark.parametrize('name', SIMILARITIES)
    def test_what_it_makes_is_on_the_device_of_the_videos(self, name, monkeypatch):
        # Meta tensors refuse those of others, as a GPU does; they have no autocast, no values.
        monkeypatch.setattr('torch.autocast', lambda *_, **__: nullcontext())
        monkeypatch.setattr('mmstadapter.models.retrieval.retriever.check_numbers', lambda *_: None)
        model = build(similarity=SIMILARITIES[name]).to('meta')
        with torch.no_grad():
            losses = model(toy_clips(BATCH).to('meta'), caption_samples(BATCH), mode='loss')
            (sample,) = model(toy_clips(1).to('meta'), caption_samples(1), mode='predict')
        made = [*losses.values(), *sample.text_features.values(), *sample.video_features.values()]
        assert {tensor.device.type for tensor in made} == {'meta'}

    def test_parts_that_are_built_are_taken_as_they_are(self):
        model = build().eval()
        parts = dict(text_tower=model.text_tower, tokenizer=model.tokenizer, loss=model.contrast)
        again = mmstadapter.Retriever(model.backbone, similarity=model.similarity, **parts).eval()
        again.logit_scale = model.logit_scale
        assert again.backbone is model.backbone and again.tokenizer is model.tokenizer
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        assert again(clips, samples, mode='loss') == model(clips, samples, mode='loss')

    def test_one_view_a_video_is_taken_as_the_pipeline_packs_it(self):
        model, clips = build().eval(), toy_clips(2)
        for one, two in zip(
            model.encode_videos(clips).values(),
            model.encode_videos(clips.unsqueeze(1)).values(),
            strict=True,
        ):
            assert torch.equal(one, two)

    def test_a_training_step_through_mmengine_lowers_the_loss(self):
        model = build(data_preprocessor=dict(type='BaseDataPreprocessor'))
        optim_wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=1e-2))
        data = dict(inputs=toy_clips(BATCH), data_samples=caption_samples(BATCH))
        losses = [model.train_step(data, optim_wrapper)['loss'].item() for _ in range(6)]
        assert losses[-1] < losses[0] - 0.1

    def test_decorrelation_is_added_with_its_weight(self):
        loss = dict(type='mmstadapter.ContrastiveLoss', decorrelation=0.5)
        plain, model = build(), build(loss=loss)
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        losses = model(clips, samples, mode='loss')
        expected = plain(clips, samples, mode='loss')['loss_contrast']
        torch.testing.assert_close(losses['loss_contrast'], expected)
        assert losses['loss_decorrelation'] > 0

    def test_captions_of_one_video_need_not_be_negatives(self):
        loss = dict(type='mmstadapter.ContrastiveLoss', positives='skip')
        clips, samples = toy_clips(3)[[0, 1, 0]], caption_samples(3)
        samples[2].set_metainfo(dict(video_id='0'))
        plain, model = (build(**c)(clips, samples, mode='loss') for c in ({}, dict(loss=loss)))
        assert model['loss_contrast'] < plain['loss_contrast']

    @pytest.mark.parametrize('name', ['mean', 'token'])
    def test_captions_may_be_negatives_of_each_other_unless_they_are_the_same(self, name):
        loss = dict(type='mmstadapter.ContrastiveLoss', text_negatives=1.0)
        changes = (dict(similarity=SIMILARITIES[name]) | c for c in ({}, dict(loss=loss)))
        plain, model = (build(**c) for c in changes)
        clips, samples = toy_clips(3), caption_samples(3)
        with_others = model(clips, samples, mode='loss')['loss_contrast']
        assert with_others > plain(clips, samples, mode='loss')['loss_contrast']
        for sample in samples:
            sample.set_metainfo(dict(captions=samples[0].captions))
        torch.testing.assert_close(
            model(clips, samples, mode='loss')['loss_contrast'],
            plain(clips, samples, mode='loss')['loss_contrast'],
        )

    @pytest.mark.parametrize('positives', ['skip', 'all'])
    def test_captions_of_one_video_are_then_no_negatives_of_each_other_either(self, positives):
        losses = [
            dict(type='mmstadapter.ContrastiveLoss', positives=positives, text_negatives=w)
            for w in (0.0, 1.0)
        ]
        clips, samples = toy_clips(1)[[0, 0, 0]], caption_samples(3)
        for sample in samples:
            sample.set_metainfo(dict(video_id='0'))
        plain, model = (build(loss=loss)(clips, samples, mode='loss') for loss in losses)
        torch.testing.assert_close(model['loss_contrast'], plain['loss_contrast'])


class TestLogitScale:
    def test_it_never_exceeds_100(self):
        model = build()
        nn.init.constant_(model.logit_scale, 6.0)
        losses = model(toy_clips(2), caption_samples(2), mode='loss')
        torch.testing.assert_close(losses['scale'].item(), 100.0, rtol=1e-5, atol=0)

    def test_what_is_saved_after_the_last_step_does_not_either(self):
        model = build()
        nn.init.constant_(model.logit_scale, 6.0)
        saved = model.state_dict()['logit_scale'].item()
        torch.testing.assert_close(saved, math.log(100.0))

    def test_it_starts_where_the_pretrained_file_says(self, tmp_path):
        path = write_clip_file(tmp_path / 'clip.safetensors')
        random, given, read = (
            MODELS.build(tiny_retriever(**changes))
            for changes in (
                {},
                dict(logit_scale=1.5),
                dict(text_tower=tiny_text(checkpoint=path)),
            )
        )
        for model in (random, given, read):
            model.init_weights()
        starts = [model.logit_scale.item() for model in (random, given, read)]
        assert starts == pytest.approx([math.log(1 / 0.07), 1.5, math.log(100.0)])
        nn.init.constant_(read.logit_scale, 2.0)  # trained meanwhile
        read.init_weights()
        assert read.logit_scale.item() == 2.0


def test_the_sequential_header_starts_from_the_text_tower():
    arch = tiny_text()['arch'] | dict(embed_dims=16, num_heads=2)
    similarity = dict(type='mmstadapter.SequentialSimilarity', embed_dims=16, num_layers=2)
    model = MODELS.build(tiny_retriever(text_tower=tiny_text(arch=arch), similarity=similarity))
    model.init_weights()
    theirs = model.text_tower.transformer.resblocks[1].mlp.c_fc.weight
    assert torch.equal(model.similarity.header.blocks[1].mlp.c_fc.weight, theirs)


def test_key_names_match_the_contract():
    kinds = ('weight', 'bias')
    mlps = [f'similarity.{side}_weight.{i}' for side in ('text', 'video') for i in (0, 2)]
    layers = [f'similarity.header.blocks.3.{n}' for n in ('ln_1', 'attn.out_proj', 'ln_2')]
    layers += [f'similarity.header.blocks.3.mlp.{n}' for n in ('c_fc', 'c_proj')]
    expected = {f'{layer}.{kind}' for layer in mlps + layers for kind in kinds}
    expected |= {f'similarity.header.blocks.3.attn.in_proj_{kind}' for kind in kinds}
    expected |= {'similarity.header.positions', 'logit_scale'}

    similarity = SIMILARITIES['token'] | dict(header=dict())
    state = MODELS.build(tiny_retriever(similarity=similarity)).state_dict()
    parts = ('backbone.', 'text_tower.', *(f'similarity.header.blocks.{i}.' for i in range(3)))
    assert {name for name in state if not name.startswith(parts)} == expected


class TestLargeBatchesInSmallParts:
    @pytest.mark.parametrize('name', SIMILARITIES)
    @pytest.mark.parametrize('size', [1, 4, 6])
    def test_gradients_are_those_of_the_whole_batch(self, name, size):
        model = build(similarity=SIMILARITIES[name])
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        whole = gradients(model, clips, samples)
        model.micro_batch = size
        assert_same(gradients(model, clips, samples), whole)

    def test_random_numbers_are_those_of_the_first_pass(self):
        """Dropout of another pattern in the second pass would give another gradient."""
        model = build()
        model.backbone = WithDropout(model.backbone)
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        model.micro_batch = 2
        torch.manual_seed(0)
        parts = gradients(model, clips, samples)

        torch.manual_seed(0)  # the same patterns, part by part, without a second pass
        with torch.no_grad():
            ids = model.tokenize([sample.captions[0] for sample in samples])
        frames = torch.cat([model.encode_frames(part)[0] for part in clips.split(2)])
        model.zero_grad()
        losses = model._losses(model.read_ids(ids)[0], frames, mmstadapter.text_mask(ids))
        total(losses).backward()
        expected = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        assert_same(parts, dict(loss=total(losses).detach()) | expected)

    @pytest.mark.parametrize('name', ['mean', 'token'])
    @pytest.mark.parametrize('dtype', [None, 'bfloat16'])
    def test_a_step_of_the_amp_wrapper_is_that_of_the_whole_batch(self, name, dtype):
        first = build(
            similarity=SIMILARITIES[name], data_preprocessor=dict(type='BaseDataPreprocessor')
        )
        data = dict(inputs=toy_clips(BATCH), data_samples=caption_samples(BATCH))
        found = []
        for size in (None, 2):
            model = copy.deepcopy(first)
            model.micro_batch = size
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            wrapper = AmpOptimWrapper(optimizer=optimizer, dtype=dtype, clip_grad=dict(max_norm=1))
            model.train_step(data, wrapper)
            steps = zip(first.named_parameters(), model.parameters(), strict=True)
            found.append({name: after - before for (name, before), after in steps})
        if dtype is None:
            assert_same(*found)
        else:  # 16-bit rounding, of sums in another order
            whole, parts = (torch.cat([d.flatten() for d in f.values()]) for f in found)
            assert (parts - whole).norm() < 0.02 * whole.norm()

    def test_less_is_kept_for_the_backward_pass(self):
        model, clips, samples = build(), toy_clips(BATCH), caption_samples(BATCH)
        kept = []
        for size in (None, 1):
            model.micro_batch, sizes = size, []
            with torch.autograd.graph.saved_tensors_hooks(
                lambda x, sizes=sizes: (sizes.append(x.numel()), x)[1], lambda x: x
            ):
                model(clips, samples, mode='loss')
            kept.append(sum(sizes))
        assert kept[1] < 0.25 * kept[0]

    def test_batch_norms_see_parts_and_count_each_once(self):
        """Statistics of a part of two; one update of the running ones a part, not two."""
        model = build(backbone=SIDE)
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        parts, whole = copy.deepcopy(model), copy.deepcopy(model)
        parts.micro_batch = 2
        gradients(parts, clips, samples)
        for part in clips.split(2):
            whole.encode_frames(part)
        for (name, ours), theirs in zip(parts.named_buffers(), whole.buffers(), strict=True):
            torch.testing.assert_close(ours, theirs, msg=name)
        assert parts.backbone.side.norm.num_batches_tracked == 3

    def test_in_eval_mode_batch_norms_make_no_difference(self):
        model = build(backbone=SIDE).eval()
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        whole = gradients(model, clips, samples)
        model.micro_batch = 4
        assert_same(gradients(model, clips, samples), whole)

    def test_blocks_may_be_recomputed_within_a_part(self):
        backbone = tiny_retriever()['backbone'] | dict(with_cp=True)
        clips, samples = toy_clips(BATCH), caption_samples(BATCH)
        whole = gradients(build(), clips, samples)
        assert_same(gradients(build(backbone=backbone, micro_batch=4), clips, samples), whole)

    def test_a_frozen_text_tower_gets_no_gradient(self):
        model = build(text_tower=tiny_text(tune='none'), micro_batch=2)
        found = gradients(model, toy_clips(BATCH), caption_samples(BATCH))
        assert found and not any(name.startswith('text_tower') for name in found)


class WithDropout(nn.Module):
    """A backbone with dropout on its frames."""

    output = 'frames'

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.dropout = backbone, nn.Dropout(0.5)

    def forward(self, video):
        return self.dropout(self.backbone(video))


class TestRefusals:
    def test_a_backbone_with_one_vector_a_clip(self):
        backbone = dict(type='mmstadapter.FrameMeanViT', trunk=tiny_trunk())
        with pytest.raises(ValueError, match="FrameMeanViT has output='clip'.*output='frames'"):
            MODELS.build(tiny_retriever(backbone=backbone))

    def test_parts_of_different_joint_widths(self):
        trunk = tiny_trunk(arch=TINY_ARCH | dict(output_dims=24), with_proj=True)
        backbone = dict(type='mmstadapter.FrameMeanViT', trunk=trunk, output='frames')
        with pytest.raises(ValueError, match='backbone 24, text_tower 16, similarity 16'):
            MODELS.build(tiny_retriever(backbone=backbone))

    def test_a_tokenizer_with_longer_rows_than_the_text_tower_takes(self):
        tokenizer = tiny_retriever()['tokenizer'] | dict(context_length=9)
        with pytest.raises(ValueError, match='rows of 9 tokens.*at most 8'):
            MODELS.build(tiny_retriever(tokenizer=tokenizer))

    @pytest.mark.parametrize('wrong', [dict(gather='sum'), dict(micro_batch=0)], ids=str)
    def test_unknown_options(self, wrong):
        with pytest.raises(ValueError, match='Retriever: '):
            MODELS.build(tiny_retriever(**wrong))

    @pytest.mark.parametrize('captions', [[], ['a cat', 'a dog'], 'a cat', None])
    def test_a_training_item_with_other_than_one_caption(self, captions):
        samples = [ActionDataSample(metainfo=dict(video_id='v7', captions=captions))]
        with pytest.raises(ValueError, match="a list of one caption.*of video 'v7'"):
            build()(toy_clips(1), samples, mode='loss')

    @pytest.mark.parametrize('mode', ['loss', 'predict'])
    @pytest.mark.parametrize('number', [0, 1, 3])
    def test_another_number_of_samples_than_videos(self, mode, number):
        samples = caption_samples(number) if number else None
        with pytest.raises(ValueError, match=f'got {number} samples and 2 videos'):
            build()(toy_clips(2), samples, mode=mode)

    def test_one_string_is_not_taken_for_a_list_of_letters(self):
        with pytest.raises(TypeError, match=r"give a list of captions, .*\['a dog'\]"):
            build().encode_captions('a dog')

    def test_videos_without_a_frame(self):
        with pytest.raises(ValueError, match=r'got \(2, 3, 0, 32, 32\)'):
            build().encode_videos(torch.zeros(2, 3, 0, 32, 32))

    @pytest.mark.parametrize('mode', ['loss', 'predict'])
    def test_features_that_are_not_numbers(self, mode):
        clips = toy_clips(3)
        clips[1, 0, 0] = float('nan')
        with pytest.raises(ValueError, match=r'NaN or infinite ones for .*1 of 3'):
            build()(clips, caption_samples(3), mode=mode)

    def test_several_views_a_video(self):
        with pytest.raises(ValueError, match=r'one view a video, got \(2, 3, 3, 4, 32, 32\)'):
            build().encode_videos(toy_clips(6).unflatten(0, (2, 3)))

    def test_other_frame_counts_than_asked_for(self):
        with pytest.raises(ValueError, match='num_frames = 8 frames, as in training, got 4'):
            build(num_frames=8).encode_videos(toy_clips(2))

    def test_an_unknown_mode(self):
        with pytest.raises(ValueError, match="got 'test'"):
            build()(toy_clips(2), mode='test')
