"""SigLIP 2 and PE-Core give the numbers of open_clip and of transformers, on random weights."""

import json
from functools import partial

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from mmstadapter import CLIPTokenizer, SigLIPTokenizer
from mmstadapter.models.retrieval import score
from mmstadapter.testing import fill, toy_clips

open_clip = pytest.importorskip('open_clip')
timm = pytest.importorskip('timm')
transformers = pytest.importorskip('transformers')
tokenizers = pytest.importorskip('tokenizers')

E, WORDS, LENGTH = 32, 60, 10
VISION = dict(embed_dim=E, depth=2, num_heads=2, img_size=32, patch_size=8)
TEXT = dict(vocab_size=WORDS, context_length=LENGTH, embed_dims=24, num_layers=2, num_heads=2)
# what open_clip's own configs of these models say, sizes apart
SIGLIP_TEXT = dict(
    no_causal_mask=True,
    proj_bias=True,
    pool_type='last',
    norm_kwargs=dict(eps=1e-6),
    act_kwargs=dict(approximate='tanh'),
)
MODEL = dict(siglip='vit_base_patch16_siglip_224.v2_webli', pe='vit_pe_core_base_patch16_224.fb')
TOWER = dict(siglip='SigLIPText', pe='PEText')
IDS = torch.tensor([[8, 3, 59, 0, 0, 0, 0, 0, 0, 0], [8, 4, 5, 6, 7, 1, 2, 9, 10, 59]])
KINDS = ('siglip', 'pe')


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def configs(kind: str) -> dict:
    """The released config of ViT-B/16, which open_clip builds, with small numbers in it."""
    name = dict(siglip='ViT-B-16-SigLIP2', pe='PE-Core-B-16')[kind]
    config = json.loads(json.dumps(open_clip.get_model_config(name)))
    text = dict(vocab_size=WORDS, context_length=LENGTH, width=24, heads=2, layers=2)
    config['text_cfg'] |= text
    config.pop('custom_text')
    return config | dict(embed_dim=E)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def official(kind, monkeypatch) -> nn.Module:
    """open_clip's model, whose image tower timm makes small."""
    small = partial(timm.create_model, **VISION)
    monkeypatch.setattr(open_clip.timm_model.timm, 'create_model', small)
    return fill(open_clip.CustomTextCLIP(**configs(kind))).eval()


def write(tensors: dict[str, Tensor], path) -> str:
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, str(path))
    return str(path)


def ours(kind: str, checkpoint: str, vision: dict | None = None, **arch) -> nn.Module:
    """The retriever of a recipe, of the same small sizes."""
    options = VISION | dict(num_classes=dict(siglip=0, pe=E)[kind]) | (vision or {})
    trunk = dict(model=MODEL[kind], options=options, checkpoint=checkpoint, with_proj=True)
    tower = dict(arch=TEXT | dict(output_dims=E) | arch, checkpoint=checkpoint)
    loss = dict(siglip='SigmoidLoss', pe='ContrastiveLoss')[kind]
    model = MODELS.build(
        dict(
            type='mmstadapter.Retriever',
            backbone=dict(
                type='mmstadapter.FrameMeanViT',
                trunk=dict(type='mmstadapter.TimmViT', **trunk),
                output='frames',
            ),
            text_tower=dict(type=f'mmstadapter.{TOWER[kind]}', **tower),
            tokenizer=lambda captions: IDS,
            similarity=dict(type='mmstadapter.MeanPoolSimilarity'),
            loss=dict(type=f'mmstadapter.{loss}'),
        )
    )
    model.init_weights()
    return model.eval()


@pytest.fixture
def model(kind, official, tmp_path) -> nn.Module:
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(dict(model_cfg=configs(kind))))
    return ours(kind, write(official.state_dict(), tmp_path / 'open_clip_model.safetensors'))


def test_the_tables_of_open_clip_say_what_we_test(kind):
    text = configs(kind)['text_cfg']
    given = {name: text[name] for name in SIGLIP_TEXT if name in text}
    assert given == (SIGLIP_TEXT if kind == 'siglip' else {})


class TestOpenClip:
    def test_gives_the_same_images(self, official, model):
        images = toy_clips(3, num_frames=1)
        expected = official.encode_image(images[:, :, 0])
        assert_close(model.encode_frames(images)[0][:, 0], expected)

    def test_gives_the_same_captions(self, official, model):
        assert_close(model.read_ids(IDS)[0], official.encode_text(IDS))

    def test_gives_the_same_logits(self, official, model):
        images = toy_clips(3, num_frames=1)
        _, by_caption = official.get_logits(images[:, :, 0], IDS)
        cosines = score(model.encode_captions(['', '']), model.encode_videos(images))
        assert_close(model.logits(cosines), by_caption)

    def test_gives_the_same_loss(self, kind, official, model):
        images, scale = toy_clips(2, num_frames=1), official.logit_scale.exp()
        features = (official.encode_image(images[:, :, 0], normalize=True),)
        features += (official.encode_text(IDS, normalize=True),)
        if kind == 'siglip':
            expected = open_clip.loss.SigLipLoss()(*features, scale, official.logit_bias)
        else:
            expected = open_clip.ClipLoss()(*features, scale)
        cosines = score(model.encode_captions(['', '']), model.encode_videos(images))
        assert_close(model.contrast(model.logits(cosines)), expected)


@pytest.fixture
def hugging_face() -> nn.Module:
    """SigLIP of transformers, of the same sizes."""
    sides = dict(num_hidden_layers=2, num_attention_heads=2)
    vision = dict(hidden_size=E, intermediate_size=128, image_size=32, patch_size=8)
    text = dict(hidden_size=24, intermediate_size=40, vocab_size=WORDS)
    text |= dict(max_position_embeddings=LENGTH, projection_size=E)
    config = transformers.SiglipConfig(text_config=sides | text, vision_config=sides | vision)
    return fill(transformers.SiglipModel(config)).eval()


def test_transformers_gives_the_same_logits(hugging_face, tmp_path):
    path = write(hugging_face.state_dict(), tmp_path / 'model.safetensors')
    model = ours('siglip', path, dict(act_layer='gelu_tanh'), mlp_ratio=1.667)
    images = toy_clips(3, num_frames=1)
    expected = hugging_face(input_ids=IDS, pixel_values=images[:, :, 0])
    cosines = score(model.encode_captions(['', '']), model.encode_videos(images))
    assert_close(model.logits(cosines), expected.logits_per_text)


def test_towers_saved_alone_by_transformers_are_read(hugging_face, tmp_path):
    folder = tmp_path / 'vision'
    vision = transformers.SiglipVisionModel(hugging_face.config.vision_config)
    vision.load_state_dict(hugging_face.vision_model.state_dict(), strict=False)
    whole = write(hugging_face.state_dict(), tmp_path / 'model.safetensors')
    vision.save_pretrained(folder)
    alone = MODELS.build(
        dict(
            type='mmstadapter.TimmViT',
            model=MODEL['siglip'],
            options=VISION,
            checkpoint=str(folder / 'model.safetensors'),
        )
    )
    alone.init_weights()
    trunk = ours('siglip', whole, mlp_ratio=1.667).backbone.trunk
    assert_close(alone.state_dict(), trunk.state_dict(), rtol=0, atol=0)
    assert torch.equal(alone.fingerprint, trunk.fingerprint)


def authors_names(official: nn.Module) -> dict[str, Tensor]:
    """The tensors of PE-Core as its authors name them, written out from open_clip's."""
    held, out = official.state_dict(), {}
    swaps = {
        'patch_embed.proj': 'conv1',
        'norm_pre': 'ln_pre',
        'norm': 'ln_post',
        'blocks.': 'transformer.resblocks.',
        '.norm1': '.ln_1',
        '.norm2': '.ln_2',
        'attn.qkv.': 'attn.in_proj_',
        'attn.proj': 'attn.out_proj',
        'mlp.fc1': 'mlp.c_fc',
        'mlp.fc2': 'mlp.c_proj',
    }
    for name, tensor in held.items():
        side, _, rest = name.removeprefix('visual.trunk.').partition('.')
        if name.startswith('text.'):
            out[name.removeprefix('text.')] = tensor
        elif name.startswith('visual.trunk.') and side != 'attn_pool':
            rest = name.removeprefix('visual.trunk.')
            for theirs, authors in swaps.items():
                whole = theirs in ('norm', 'norm_pre', 'patch_embed.proj')
                if not whole or rest.rpartition('.')[0] == theirs:
                    rest = rest.replace(theirs, authors)
            out[f'visual.{rest}'] = tensor
    pool = 'visual.trunk.attn_pool.'
    for k in ('weight', 'bias'):
        parts = [held[f'{pool}{part}.{k}'] for part in ('q', 'kv')]
        out[f'visual.attn_pool.attn.in_proj_{k}'] = torch.cat(parts)
        out[f'visual.attn_pool.attn.out_proj.{k}'] = held[f'{pool}proj.{k}']
        out[f'visual.attn_pool.layernorm.{k}'] = held[f'{pool}norm.{k}']
        out[f'visual.attn_pool.mlp.c_fc.{k}'] = held[f'{pool}mlp.fc1.{k}']
        out[f'visual.attn_pool.mlp.c_proj.{k}'] = held[f'{pool}mlp.fc2.{k}']
    out['visual.attn_pool.probe'] = held[f'{pool}latent']
    out['visual.class_embedding'] = out.pop('visual.cls_token').flatten()
    out['visual.positional_embedding'] = out.pop('visual.pos_embed')[0]
    out['visual.proj'] = out.pop('visual.head.weight').T
    assert out.pop('visual.head.bias') is not None
    return out | dict(logit_scale=held['logit_scale'])


@pytest.mark.parametrize('kind', ['pe'], indirect=True)
def test_the_authors_file_of_pe_core_gives_the_same(kind, official, tmp_path):
    official.visual.trunk.head.bias.zero_()  # which it does not have
    theirs = ours(kind, write(authors_names(official), tmp_path / 'pe.safetensors'))
    (tmp_path / 'pe').mkdir()
    opens = ours(kind, write(official.state_dict(), tmp_path / 'pe/open_clip_model.safetensors'))
    assert_close(theirs.state_dict(), opens.state_dict(), rtol=0, atol=0)


def test_an_unknown_part_beside_the_image_tower_is_refused(kind, official, tmp_path):
    tensors = official.state_dict() | {'visual.extra.weight': torch.ones(2)}
    with pytest.raises(KeyError, match='others that have no place in it: visual.extra.weight'):
        ours(kind, write(tensors, tmp_path / 'model.safetensors'))


CAPTIONS = ['A cat, jumping_over the "dog"!', 'schÃ¶n &amp; gut', 'one ' * 40, '']


def test_clips_tokenizer_is_that_of_pe_core():
    theirs = open_clip.SimpleTokenizer(context_length=32)
    assert torch.equal(CLIPTokenizer(32)(CAPTIONS), theirs(CAPTIONS))


def test_siglips_tokenizer_is_open_clips(tmp_path):
    """A byte-pair tokenizer of Gemma's kind, trained on the captions."""
    special = ['<pad>', '<eos>', '<bos>', '<unk>']
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token='<unk>', byte_fallback=True))
    made.normalizer = tokenizers.normalizers.Replace(' ', '▁')
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=80, special_tokens=special)
    made.train_from_iterator(CAPTIONS, trainer)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single='$A <eos>', special_tokens=[('<eos>', 1)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token='<pad>', eos_token='<eos>', padding_side='right'
    ).save_pretrained(tmp_path)
    theirs = open_clip.tokenizer.HFTokenizer(str(tmp_path), context_length=20, clean='canonicalize')
    ours = SigLIPTokenizer(str(tmp_path / 'tokenizer.json'), context_length=20)
    assert torch.equal(ours(CAPTIONS), theirs(CAPTIONS))
