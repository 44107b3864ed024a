"""`mmstadapter merge`: the same scores without adapters, in files that need no other."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import load_file
from torch import nn

from mmstadapter.apis.adapter_model import read_model
from mmstadapter.apis.building import build_model
from mmstadapter.commands.merge import main
from mmstadapter.engine.tuned_checkpoint import read_adapter, write_adapter
from mmstadapter.models import CLIPText, CLIPViT, TempMeViT
from mmstadapter.models.lora_folding import fold, fold_beside
from mmstadapter.testing import (
    TINY_ARCH,
    caption_samples,
    fill,
    tiny_retriever,
    tiny_text,
    tiny_tokenizer,
    tiny_trunk,
    toy_clips,
    write_clip_file,
)

PIPELINE = [dict(type='mmstadapter.VideoInit'), dict(type='PackActionInputs')]


@pytest.fixture(params=[None, 'float16'], ids=['float32', 'float16'])
def adapter(request, tmp_path):
    """An adapter file of a trained ZeroI2V, its trunk beside it."""
    return write(tmp_path, 'ZeroI2VViT', request.param, num_frames=4, shifts=[[-1, 8], [1, 8]])


def write(folder, kind: str, dtype: str | None, more: dict | None = None, **options):
    checkpoint = write_clip_file(folder / 'clip.safetensors', seed=4)
    trunk = tiny_trunk(checkpoint=checkpoint, tune='after_blocks', dtype=dtype) | (more or {})
    backbone = dict(type=f'mmstadapter.{kind}', trunk=trunk, **options)
    head = dict(type='mmstadapter.VideoHead', in_channels=32, num_classes=2)
    model = dict(type='Recognizer3D', backbone=backbone, cls_head=head)
    config = Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))
    trained = MODELS.build(config.model)
    trained.init_weights()
    for parameter in (p for p in trained.parameters() if p.requires_grad):
        nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.1)
    write_adapter(folder / 'adapter.safetensors', trained, config, labels=['a', 'b'])
    return folder / 'adapter.safetensors'


@torch.no_grad()
def scores(model: nn.Module) -> torch.Tensor:
    return model.cls_head(model.eval().backbone(toy_clips()))


def test_the_merged_file_gives_the_same_scores_and_needs_no_trunk(adapter, tmp_path, capsys):
    before = scores(read_model(adapter).model)
    main([str(adapter), str(tmp_path / 'merged.safetensors')])
    assert 'merged.safetensors: 0.2 MiB' in capsys.readouterr().out
    (tmp_path / 'clip.safetensors').unlink()
    made = read_model(tmp_path / 'merged.safetensors')
    torch.testing.assert_close(scores(made.model), before, atol=1e-6, rtol=1e-6)
    assert made.header['labels'] == ['a', 'b']
    names = {n.split('.')[1] for n in read_adapter(tmp_path / 'merged.safetensors')[0]}
    assert names == {'trunk', 'time_embed', 'fc_cls'}
    with pytest.raises(FileNotFoundError):
        read_model(adapter)


def test_the_merged_trunk_is_a_clip_file(adapter, tmp_path):
    main(
        [str(adapter), str(tmp_path / 'm.safetensors'), '--trunk', str(tmp_path / 't.safetensors')]
    )
    merged = read_model(tmp_path / 'm.safetensors').model.backbone
    trunk = CLIPViT(dict(TINY_ARCH), checkpoint=str(tmp_path / 't.safetensors'))
    trunk.init_weights()
    assert all(n.startswith('visual.') for n in load_file(tmp_path / 't.safetensors'))
    ours, theirs = trunk.state_dict(), merged.trunk.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


@pytest.mark.parametrize(
    'dora, targets, dtype',
    [(False, None, 'float16'), (False, ['q', 'v'], None), (True, ['q', 'v', 'c_fc'], None)],
    ids=['lora in 16 bit', 'lora on q and v', 'dora'],
)
class TestLoRA:
    @pytest.fixture
    def low_rank(self, dora, targets, dtype, tmp_path):
        pytest.importorskip('peft', reason='peft is not installed')
        lora = dict(r=2, alpha=4, dora=dora, targets=targets)
        return write(tmp_path, 'STAdapterViT', dtype, dict(lora=lora), bottleneck_dims=8)

    def test_it_goes_into_the_trunk_beside_adapters_that_stay(self, low_rank, dtype, tmp_path):
        before = scores(read_model(low_rank).model)
        main(
            [
                str(low_rank),
                str(tmp_path / 'm.safetensors'),
                '--trunk',
                str(tmp_path / 't.safetensors'),
            ]
        )
        (tmp_path / 'clip.safetensors').unlink()
        made = read_model(tmp_path / 'm.safetensors').model
        torch.testing.assert_close(scores(made), before, atol=1e-6, rtol=1e-6)
        assert not any('.lora_' in name for name in made.state_dict())
        assert any('after_attn' in name for name in made.state_dict())
        trunk = CLIPViT(dict(TINY_ARCH), checkpoint=str(tmp_path / 't.safetensors'))
        trunk.init_weights()
        ours = trunk.state_dict()
        assert all(torch.equal(ours[n], t) for n, t in made.backbone.trunk.state_dict().items())


def test_lora_is_merged_beside_zeroi2vs_adapters_and_in_text_towers(tmp_path):
    pytest.importorskip('peft', reason='peft is not installed')
    lora = dict(lora=dict(r=2, targets=['q', 'v']))
    adapter = write(tmp_path, 'ZeroI2VViT', None, lora, shifts=[[-1, 8]])
    before = scores(read_model(adapter).model)
    main([str(adapter), str(tmp_path / 'merged.safetensors')])
    made = read_model(tmp_path / 'merged.safetensors').model
    torch.testing.assert_close(scores(made), before, atol=1e-6, rtol=1e-6)
    tower = CLIPText(**{k: v for k, v in tiny_text(lora=dict(r=2)).items() if k != 'type'})
    ids = torch.tensor([[1, 3, 4, 2, 0], [1, 5, 3, 4, 2]])
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if '.lora_B.' in name:
                nn.init.normal_(parameter, std=0.1)
        expected = F.normalize(tower(ids)[0], dim=-1)
        fold(tower)
        made = F.normalize(tower(ids)[0], dim=-1)
        torch.testing.assert_close(made, expected, atol=1e-6, rtol=1e-6)


class TestInterpolation:
    """Between the pretrained and the trained weights of both encoders."""

    @pytest.fixture
    def config(self, tmp_path) -> Config:
        checkpoint = write_clip_file(tmp_path / 'clip.safetensors', seed=4)
        trunk = tiny_trunk(checkpoint=checkpoint, tune='all', with_proj=True)
        head = dict(
            type='mmstadapter.TextHead',
            in_channels=16,
            num_classes=3,
            text_tower=tiny_text(checkpoint=checkpoint, tune='all'),
            tokenizer=tiny_tokenizer(),
            labels=['a cat', 'a dog', 'the cat jumps'],
        )
        backbone = dict(type='mmstadapter.FrameMeanViT', trunk=trunk, output='frames')
        model = dict(type='Recognizer3D', backbone=backbone, cls_head=head)
        return Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))

    def trained(self, config: Config, folder) -> nn.Module:
        model = MODELS.build(config.model)
        model.init_weights()
        for parameter in (p for p in model.parameters() if p.requires_grad):
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn_like(parameter))
        write_adapter(folder / 'adapter.safetensors', model, config)
        return model

    def at(self, share: float, folder) -> nn.Module:
        out = folder / f'{share}.safetensors'
        main([str(folder / 'adapter.safetensors'), str(out), '--interpolate', str(share)])
        return read_model(out).model

    def test_0_is_the_pretrained_model_and_1_the_trained_one(self, config, tmp_path):
        trained = self.trained(config, tmp_path)
        pretrained = MODELS.build(config.model)
        pretrained.init_weights()
        assert torch.equal(scores(self.at(0.0, tmp_path)), scores(pretrained))
        assert torch.equal(scores(self.at(1.0, tmp_path)), scores(trained))
        ends = (dict(m.named_parameters()) for m in (pretrained, trained))
        a, b = ends
        for name, tensor in self.at(0.5, tmp_path).named_parameters():
            torch.testing.assert_close(tensor, (a[name] + b[name]) / 2)

    def test_a_model_without_training_takes_the_file(self, config, tmp_path):
        self.trained(config, tmp_path)
        made = self.at(0.5, tmp_path)
        frozen = config.model.to_dict()
        frozen['backbone']['trunk']['tune'] = frozen['cls_head']['text_tower']['tune'] = 'none'
        frozen['cls_head'] |= dict(labels=['the dog', 'the cat'], num_classes=2)
        again = build_model(frozen, tmp_path / '0.5.safetensors')
        clips = toy_clips()
        torch.testing.assert_close(again.backbone(clips), made.backbone(clips))
        assert scores(again).shape == (2, 2)

    def test_of_lora_it_is_a_part(self, config, tmp_path):
        pytest.importorskip('peft', reason='peft is not installed')
        lora = dict(tune='none', lora=dict(r=2, targets=['q', 'v']))
        config.model.backbone.trunk.update(lora)
        config.model.cls_head.text_tower.update(tune='none')
        self.trained(config, tmp_path)
        half = self.at(0.25, tmp_path)
        model = read_model(tmp_path / 'adapter.safetensors').model
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if '.lora_B.' in name:
                    parameter.mul_(0.25)
        close = dict(rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(scores(half), scores(model), **close)

    def test_what_cannot_be_interpolated_is_refused(self, tmp_path, capsys):
        adapter = write(tmp_path, 'STAdapterViT', None, bottleneck_dims=8)
        out = tmp_path / 'out.safetensors'
        fails(adapter, out, '--interpolate', '0.5')
        assert 'of STAdapterViT are in no pretrained file' in capsys.readouterr().err
        fails(adapter, out, '--interpolate', '1.5')
        assert r'must lie in [0, 1], got 1.5' in capsys.readouterr().err
        (tmp_path / 'frozen').mkdir()
        frozen = write(tmp_path / 'frozen', 'FrameMeanViT', None, dict(tune='none'))
        fails(frozen, out, '--interpolate', '0.5')
        assert 'no encoder of this model was trained' in capsys.readouterr().err
        assert not out.exists()


def fails(*arguments) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    assert end.value.code != 0


def test_adapters_that_are_not_linear_are_refused(tmp_path, capsys):
    adapter = write(tmp_path, 'AIMViT', None)
    fails(adapter, tmp_path / 'merged.safetensors')
    assert 'others are not; this is AIMViT without LoRA' in capsys.readouterr().err
    assert not (tmp_path / 'merged.safetensors').exists()


def test_no_file_is_written_over_another(adapter, tmp_path, capsys):
    out = tmp_path / 'out.safetensors'
    fails(adapter, tmp_path / 'clip.safetensors')
    assert 'clip.safetensors exists; use --force' in capsys.readouterr().err
    fails(adapter, adapter, '--force')
    fails(adapter, out, '--trunk', out)
    assert capsys.readouterr().err.count('must be different files') == 2
    fails(adapter, tmp_path / 'out.pth')
    assert 'must end in .safetensors' in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_no_adapter_is_named(tmp_path, capsys):
    file = write_clip_file(tmp_path / 'clip.safetensors')
    fails(file, tmp_path / 'out.safetensors')
    assert 'not an adapter file of mmstadapter' in capsys.readouterr().err


def retriever_adapter(folder):
    """An adapter file of a trained TempMe, both towers from one CLIP file."""
    checkpoint = write_clip_file(folder / 'clip.safetensors', seed=4)
    model = tiny_retriever(
        backbone=dict(
            type='mmstadapter.TempMeViT',
            trunk=tiny_trunk(checkpoint=checkpoint, with_proj=True),
            num_frames=4,
            merge_layers=[1],
            merge_frames=[2],
            output='frames',
        ),
        text_tower=tiny_text(type='mmstadapter.TempMeText', checkpoint=checkpoint),
        similarity=dict(type='mmstadapter.MeanPoolSimilarity'),
        train_scale=False,
    )
    config = Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))
    trained = MODELS.build(config.model)
    trained.init_weights()
    for parameter in (p for p in trained.parameters() if p.requires_grad):
        nn.init.normal_(parameter, std=0.1)
    write_adapter(folder / 'adapter.safetensors', trained, config)
    return folder / 'adapter.safetensors'


@torch.no_grad()
def test_tempmes_low_rank_maps_go_into_both_towers(tmp_path):
    adapter = retriever_adapter(tmp_path)
    outcome = lambda path: read_model(path).model.eval()(  # noqa: E731
        toy_clips(), caption_samples(2), mode='tensor'
    )
    before = outcome(adapter)
    main([str(adapter), str(tmp_path / 'merged.safetensors')])
    (tmp_path / 'clip.safetensors').unlink()
    made = outcome(tmp_path / 'merged.safetensors')
    torch.testing.assert_close(made, before, atol=1e-6, rtol=1e-6)
    names = read_adapter(tmp_path / 'merged.safetensors')[0]
    assert not any('low_rank' in name for name in names)
    assert 'backbone.clip_embed.1' in names


@torch.no_grad()
def test_low_rank_maps_go_into_eva_too():
    trunk = dict(type='mmstadapter.EVAViT', arch=dict(TINY_ARCH))
    model = fill(TempMeViT(trunk, num_frames=4, merge_layers=[1], merge_frames=[2])).eval()
    before = model(toy_clips())
    fold_beside(model, model.trunk)
    assert not model.low_rank
    torch.testing.assert_close(model(toy_clips()), before, atol=2e-6, rtol=2e-6)


def test_nothing_is_folded_into_a_layer_that_has_been_replaced():
    model = TempMeViT(tiny_trunk(), num_frames=4, merge_layers=[1], merge_frames=[2])
    model.trunk.blocks[1].attn.in_proj = nn.Sequential(nn.Linear(32, 96))
    with pytest.raises(TypeError, match='one is a Sequential or has hooks'):
        fold_beside(model, model.trunk)
    assert len(model.low_rank) == 3
