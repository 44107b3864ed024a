"""The CLIP trunk: sizes, freezing, weights, other resolutions."""

import pytest
import torch
from mmaction.registry import MODELS

from mmstadapter.models.trunks import base
from mmstadapter.models.trunks.clip_vit import ARCHS, CLIPViT, resample_positions
from mmstadapter.testing import TINY_ARCH, fill, tiny_trunk, write_clip_file

# Parameters of OpenAI's visual towers without the projection.
TRUNK_PARAMETERS = {
    'vit-b-p32': 87_456_000,
    'vit-b-p16': 85_799_424,
    'vit-l-p14': 303_179_776,
    'vit-l-p14-336': 303_507_456,
}


@pytest.fixture
def frames():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('arch', ARCHS)
def test_published_sizes_have_the_published_parameters(arch):
    with torch.device('meta'):
        trunk = CLIPViT(arch)
    assert sum(p.numel() for p in trunk.parameters()) == TRUNK_PARAMETERS[arch]


def test_the_sweep_saw_all_four_sizes():
    assert set(TRUNK_PARAMETERS) == set(ARCHS)


def test_tokens_are_class_token_and_patches(frames):
    assert CLIPViT(TINY_ARCH)(frames).shape == (2, 17, 32)


def test_one_query_gives_the_class_token_of_the_whole_block(frames):
    trunk = fill(CLIPViT(TINY_ARCH))
    x = trunk.embed(frames)
    block = trunk.blocks[0]
    whole = block(x)[:, :1]
    torch.testing.assert_close(block.feed_forward(block.attend(x, num_queries=1)), whole)
    torch.testing.assert_close(block(x, 1), whole)


def test_the_last_block_alone_needs_one_query():
    trunk = CLIPViT(TINY_ARCH)
    assert [trunk.num_queries(i) for i in range(3)] == [None, None, 1]


@pytest.mark.parametrize(
    'tune, tuned',
    [
        ('none', 0),
        ('bias', 3 * (32 * 9 + 2 * 32) + 2 * 32),
        ('norm', 2 * 32 * (2 + 3 * 2)),
        ('after_blocks', 2 * 32),
        ('last_1', 12 * 32 * 32 + 13 * 32 + 2 * 32),
        ('all', None),
    ],
)
def test_tune_trains_what_it_says(tune, tuned):
    trunk = CLIPViT(TINY_ARCH, tune=tune)
    total = sum(p.numel() for p in trunk.parameters())
    trained = sum(p.numel() for p in trunk.parameters() if p.requires_grad)
    assert trained == (total if tuned is None else tuned)


@pytest.mark.parametrize('tune', ['some', 'last_-1', 'last_4', 'last_x'])
def test_an_unknown_tune_is_refused_with_the_choices(tune):
    with pytest.raises(ValueError, match=r'tune must be one of none, bias, norm, last_<n>, all'):
        CLIPViT(TINY_ARCH, tune=tune)


def test_the_old_word_for_after_blocks_is_taken_with_a_note(monkeypatch):
    said = []
    monkeypatch.setattr(base, 'print_log', lambda text, *_: said.append(text))
    assert CLIPViT(TINY_ARCH, tune='last_0').tune == 'after_blocks'
    assert said == ["trunk: tune='last_0' is now called 'after_blocks'."]


def test_after_blocks_trains_the_final_norm_and_the_projection_alone():
    trunk = CLIPViT(TINY_ARCH, tune='after_blocks', with_proj=True)
    tuned = [n for n, p in trunk.named_parameters() if p.requires_grad]
    assert sorted(tuned) == ['ln_post.bias', 'ln_post.weight', 'proj']
    assert not trunk.trains_layers
    assert CLIPViT(TINY_ARCH, tune='last_1').trains_layers


def test_project_is_clips_matrix_and_its_absence_is_said():
    trunk = CLIPViT(TINY_ARCH, with_proj=True)
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(trunk.project(x), x @ trunk.proj)
    assert trunk.joint_dims == 16
    for use in (lambda t: t.project(x), lambda t: t.joint_dims):
        with pytest.raises(TypeError, match='with_proj=True'):
            use(CLIPViT(TINY_ARCH))


def test_frozen_stays_in_eval_and_train_returns_self():
    trunk = CLIPViT(TINY_ARCH)
    assert trunk.train() is trunk
    assert not any(m.training for m in trunk.modules())
    assert CLIPViT(TINY_ARCH, tune='all').train().training


def test_storage_dtype_applies_to_frozen_parameters_only(frames):
    trunk = fill(CLIPViT(TINY_ARCH, tune='last_1', dtype='bfloat16'))
    dtypes = {p.requires_grad: p.dtype for p in trunk.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    reference = CLIPViT(TINY_ARCH, tune='last_1')
    reference.load_state_dict({k: v.float() for k, v in trunk.state_dict().items()})
    assert torch.equal(trunk(frames), reference(frames))


def test_an_unknown_storage_dtype_is_refused():
    with pytest.raises(ValueError, match='dtype must be'):
        CLIPViT(TINY_ARCH, dtype='int8')


def test_under_autocast_the_tokens_are_16_bit(frames):
    trunk = fill(CLIPViT(TINY_ARCH, dtype='bfloat16'))
    with torch.autocast('cpu', torch.bfloat16):
        assert trunk(frames).dtype == torch.bfloat16


def test_pretrained_weights_are_read_by_init_weights_and_not_before(tmp_path, frames):
    path = write_clip_file(tmp_path / 'clip.safetensors')
    trunk = MODELS.build(tiny_trunk(checkpoint=path))
    with pytest.raises(RuntimeError, match='have not been read'):
        trunk(frames)
    trunk.init_weights()
    expected = fill(CLIPViT(TINY_ARCH, with_proj=True))
    assert torch.equal(trunk(frames), expected(frames))


def test_a_file_of_another_size_is_refused_with_the_shapes(tmp_path):
    path = write_clip_file(tmp_path / 'wide.safetensors', TINY_ARCH | dict(embed_dims=64))
    trunk = MODELS.build(tiny_trunk(checkpoint=path))
    with pytest.raises(RuntimeError, match=r'other sizes .* Check that arch and checkpoint'):
        trunk.init_weights()


def test_a_file_with_more_layers_is_refused_with_the_names(tmp_path):
    path = write_clip_file(tmp_path / 'deep.safetensors', TINY_ARCH | dict(num_layers=4))
    trunk = MODELS.build(tiny_trunk(checkpoint=path))
    with pytest.raises(RuntimeError, match='resblocks.3'):
        trunk.init_weights()


@pytest.mark.parametrize('img_size, tokens', [(48, 37), ((32, 48), 25), (36, 17)])
def test_other_input_sizes_take_a_resampled_position_table(tmp_path, img_size, tokens):
    path = write_clip_file(tmp_path / 'clip.safetensors')
    trunk = MODELS.build(tiny_trunk(checkpoint=path, img_size=img_size))
    trunk.init_weights()
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    assert trunk(torch.randn(1, 3, *size)).shape == (1, tokens, 32)


def test_frames_of_another_size_are_refused_with_the_remedy(frames):
    with pytest.raises(ValueError, match=r'must be \(48, 48\) pixels .* got \(32, 32\)'):
        CLIPViT(TINY_ARCH, img_size=48)(frames)


def test_resampling_keeps_the_class_row_and_constants():
    table = torch.cat([torch.zeros(1, 4), torch.ones(16, 4)])
    out = resample_positions(table, (6, 5))
    assert out.shape == (31, 4)
    torch.testing.assert_close(out, torch.cat([torch.zeros(1, 4), torch.ones(30, 4)]))


def test_resampling_to_the_same_grid_changes_nothing():
    table = torch.randn(17, 4)
    assert resample_positions(table, (4, 4)) is table


@pytest.mark.parametrize(
    'arch, message',
    [
        ('vit-b-p8', 'unknown arch'),
        (dict(img_size=32), 'missing'),
        (TINY_ARCH | dict(depth=3), "unknown .'depth'."),
        (TINY_ARCH | dict(num_heads=5), 'multiple of num_heads'),
        (TINY_ARCH | dict(img_size=4), 'at least one patch'),
    ],
)
def test_bad_sizes_are_refused(arch, message):
    with pytest.raises(ValueError, match=message):
        CLIPViT(arch)


def test_gelu_changes_the_features_and_no_name(frames):
    quick, exact = fill(CLIPViT(TINY_ARCH)), fill(CLIPViT(TINY_ARCH, activation='gelu'))
    assert quick.state_dict().keys() == exact.state_dict().keys()
    assert not torch.allclose(quick(frames), exact(frames), atol=1e-4)
    with pytest.raises(ValueError, match='activation must be one of quick_gelu, gelu'):
        CLIPViT(TINY_ARCH, activation='relu')
