"""Class names as the classifier."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.models import TextHead
from mmstadapter.testing import fill, tiny_text, tiny_tokenizer, toy_samples, write_clip_file

NAMES = ['a cat', 'a dog', 'the cat jumps', 'the dog falls', 'a cat sleeps']


def build(**options) -> TextHead:
    init_default_scope('mmaction')
    tower = tiny_text(tune='none') | options.pop('text_tower', {})
    head = dict(in_channels=16, num_classes=5, tokenizer=tiny_tokenizer(), labels=NAMES) | options
    return fill(TextHead(text_tower=tower, **head))


def test_scores_are_scaled_cosines_with_the_texts_of_the_classes():
    head, x = build(logit_scale=1.5), torch.randn(3, 16)
    texts = head.text_tower(head.tokenizer(NAMES))[0]
    expected = 2.718281828**1.5 * F.cosine_similarity(x[:, None], texts[None], dim=-1)
    torch.testing.assert_close(head(x), expected)


def test_the_prompt_is_read_around_the_name():
    head = build(prompt='the {} jumps')
    expected = head.tokenizer([f'the {name} jumps' for name in NAMES])
    (tokens,) = head.tokens()
    assert torch.equal(tokens, expected)


def test_names_are_read_from_a_file_of_one_a_line(tmp_path):
    path = tmp_path / 'label_map.txt'
    path.write_text('\n'.join(NAMES) + '\n')
    assert build(labels=str(path)).names() == NAMES


def test_of_several_prompts_a_class_has_the_mean_of_the_unit_vectors():
    head, x = build(prompt=['the {} jumps', '{}'], logit_scale=0.0), torch.randn(2, 16)
    vectors = [head.text_tower(ids)[0] for ids in head.tokens()]
    mean = (F.normalize(vectors[0], dim=-1) + F.normalize(vectors[1], dim=-1)) / 2
    expected = F.cosine_similarity(x[:, None], mean[None], dim=-1)
    torch.testing.assert_close(head(x), expected)


def test_of_frames_the_mean_is_compared():
    head, x = build(), torch.randn(3, 4, 16)
    torch.testing.assert_close(head(x), head(x.mean(dim=1)))


def test_names_of_folders_are_read_as_words():
    labels = ['a_cat', 'theDog', 'a dog', 'the_cat_jumps', 'the']
    assert build(labels=labels, split_words=True).names()[:2] == ['a cat', 'the Dog']


def test_low_rank_maps_in_the_tower_learn_the_classes():
    pytest.importorskip('peft', reason='peft is not installed')
    head = build(text_tower=dict(lora=dict(r=2, targets=('q', 'v'))))
    head.loss(torch.randn(2, 16), toy_samples())['loss_cls'].backward()
    trained = {n: p.grad for n, p in head.named_parameters() if p.requires_grad}
    assert len(trained) == 8 and all('.lora_' in n and g.any() for n, g in trained.items())


def test_names_that_cannot_be_told_apart_or_are_cut_are_refused():
    with pytest.raises(ValueError, match="'a cat' and 'A  cat' are read alike"):
        build(labels=['a cat', 'a dog', 'A  cat', 'the dog', 'the cat']).init_weights()
    with pytest.raises(ValueError, match=r"prompt must have \{\} where .* got \['a', 'b \{\}'\]"):
        build(prompt=['a', 'b {}'])
    tokenizer = dict(type='mmstadapter.CLIPTokenizer', context_length=6)
    names = ['one', 'two', 'three', 'a dog that jumps into water', 'five']
    with pytest.raises(ValueError, match='1 class names are too long .* 6 pieces where 4 have'):
        build(labels=names, tokenizer=tokenizer).init_weights()


def test_a_frozen_tower_reads_the_names_once_a_mode():
    head, read = build(), []
    head.text_tower.register_forward_hook(lambda *_: read.append(1))
    for _ in range(3):
        head(torch.randn(2, 16))
    assert len(read) == 1
    head.eval()(torch.randn(2, 16))
    assert len(read) == 2
    before = head(torch.ones(1, 16))
    fill(head.text_tower, seed=7)
    head.load_state_dict(head.state_dict())
    assert not torch.allclose(head(torch.ones(1, 16)), before)


def test_a_tower_that_is_trained_gets_gradients_and_the_scale_none():
    head = build(text_tower=dict(tune='all'))
    head.loss(torch.randn(2, 16), toy_samples())['loss_cls'].backward()
    grads = {n: p.grad for n, p in head.text_tower.named_parameters()}
    assert all(g is not None for g in grads.values()) and grads['text_projection'].any()
    assert 'logit_scale' not in dict(head.named_parameters())
    frozen = build()
    x = torch.randn(2, 16, requires_grad=True)
    frozen.loss(x, toy_samples())['loss_cls'].backward()
    assert x.grad.any() and not any(p.requires_grad for p in frozen.parameters())


def test_tower_and_scale_come_from_the_pretrained_file_and_the_tower_is_in_no_checkpoint(tmp_path):
    file = write_clip_file(tmp_path / 'clip.safetensors')
    head = build(text_tower=dict(checkpoint=file))
    head.init_weights()
    assert head.logit_scale.exp().item() == pytest.approx(100)
    kept = drop_frozen(head, head.state_dict())
    assert set(kept) == {'logit_scale', 'text_tower.fingerprint'}
    again = build(text_tower=dict(checkpoint=file)).eval()
    again.load_state_dict(kept)
    x = torch.randn(2, 16)
    assert torch.equal(again(x), head.eval()(x))


def test_under_autocast_scores_are_those_of_float32():
    head, x = build(), torch.randn(2, 16)
    scores = head(x)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(head(x), scores)


def test_clips_that_were_mixed_are_learnt_from():
    """Of soft labels, smoothed: the mean of the classes' losses by their shares."""
    head, x = build(label_smooth_eps=0.1), torch.randn(1, 16)
    (sample,) = toy_samples(1)
    share = torch.tensor([0.7, 0.0, 0.3, 0.0, 0.0])
    sample.set_gt_label(share)
    expected = -(0.9 * share + 0.1 / 5) @ head(x)[0].log_softmax(-1)
    torch.testing.assert_close(head.loss(x, [sample])['loss_cls'], expected)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match='gives vectors of 16, the feature has in_channels=8'):
        build(in_channels=8)
    with pytest.raises(ValueError, match='labels must be num_classes=5 names, got 2'):
        build(labels=['a', 'b']).init_weights()
    with pytest.raises(FileNotFoundError, match='labels .*none.txt does not exist'):
        build(labels=str(tmp_path / 'none.txt')).init_weights()
    with pytest.raises(ValueError, match='TextHead: labels must lie in 0..4, got .7.'):
        samples = toy_samples(1)
        samples[0].set_gt_label(7)
        build().loss(torch.randn(1, 16), samples)


def test_novel_classes_play_no_part_in_training_and_do_in_testing():
    head, x = build(base_classes='half', logit_scale=2.0), torch.randn(2, 16)
    samples = toy_samples(2)
    for sample, label in zip(samples, (0, 2), strict=True):
        sample.set_gt_label(label)
    loss = head.loss(x, samples)['loss_cls']
    scores = head.eval()(x)
    assert scores.shape == (2, 5)
    torch.testing.assert_close(loss, F.cross_entropy(scores[:, :3], torch.tensor([0, 2])))
    samples[0].set_gt_label(4)
    with pytest.raises(ValueError, match=r'labels must be of base classes, got \[4\]'):
        head.loss(x, samples)
    with pytest.raises(ValueError, match='label_smooth_eps is for all classes'):
        build(base_classes='half', label_smooth_eps=0.1)
