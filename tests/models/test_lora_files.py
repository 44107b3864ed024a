"""LoRA in peft's own files: peft reads what is written here, and the other way round."""

import json
from functools import partial

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import load_file, save_file
from torch import nn

from mmstadapter.models.lora_files import TENSORS, load_peft, save_peft
from mmstadapter.models.lora_settings import CONFIG
from mmstadapter.testing import TINY_ARCH, fill, tiny_retriever, tiny_text, tiny_trunk, toy_clips

peft = pytest.importorskip('peft', reason='peft is not installed')
close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)
TRUNKS = {'clip': tiny_trunk(), 'eva': dict(type='mmstadapter.EVAViT', arch=dict(TINY_ARCH))}
FORMS = {
    'lora': dict(r=2, alpha=4),
    'dora': dict(r=3, alpha=4, dora=True),
    'on q and v': dict(r=2, alpha=5, targets=('q', 'v')),
    'dora on k': dict(r=2, alpha=5, dora=True, targets=('k', 'fc1', 'c_fc')),
}
FORMS_OF = dict(clip=('in_proj', 'c_fc'), eva=('qkv', 'fc1'))


def lora_of(trunk: str, form: str) -> dict:
    lora = dict(FORMS[form])
    if form == 'dora on k':
        lora['targets'] = ('k', FORMS_OF[trunk][1])
    return lora


def trained(config: dict, seed: int = 0) -> nn.Module:
    """A model with weights that training could have given, in eval mode."""
    return fill(MODELS.build(config), seed=seed).eval()


def plain(model: nn.Module, config: dict) -> nn.Module:
    """The same model without LoRA."""
    made = MODELS.build(config).eval()
    made.load_state_dict({n: t for n, t in model.state_dict().items() if '.lora_' not in n})
    return made


def frames() -> torch.Tensor:
    return toy_clips()[:, :, 0]


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('trunk', TRUNKS)
class TestOfATrunk:
    def test_peft_reads_what_is_written(self, trunk, form, tmp_path):
        model = trained(TRUNKS[trunk] | dict(lora=lora_of(trunk, form)))
        save_peft(model, tmp_path)
        theirs = peft.PeftModel.from_pretrained(plain(model, TRUNKS[trunk]), tmp_path)
        close(theirs.eval()(frames()), model(frames()))

    def test_it_is_read_again_to_the_bit(self, trunk, form, tmp_path):
        config = TRUNKS[trunk] | dict(lora=lora_of(trunk, form))
        model, again = trained(config), trained(config, seed=1)
        save_peft(model, tmp_path)
        again.load_state_dict(
            {n: t for n, t in model.state_dict().items() if '.lora_' not in n}, strict=False
        )
        assert not torch.equal(again(frames()), model(frames()))
        load_peft(again, tmp_path)
        assert torch.equal(again(frames()), model(frames()))


@pytest.mark.parametrize('dora', [False, True], ids=['lora', 'dora'])
@pytest.mark.parametrize('trunk', TRUNKS)
def test_what_peft_writes_is_read(trunk, dora, tmp_path):
    targets = FORMS_OF[trunk]
    lora = dict(r=2, alpha=3, targets=targets, dora=dora)
    ours = trained(TRUNKS[trunk] | dict(lora=lora))
    config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=list(targets), use_dora=dora)
    theirs = peft.get_peft_model(plain(ours, TRUNKS[trunk]), config).eval()
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, mean=float('magnitude' in name), std=0.1)
    theirs.save_pretrained(tmp_path)
    load_peft(ours, tmp_path)
    close(ours(frames()), theirs(frames()))


class Recogniser(nn.Module):
    """As MMAction2's, without what it needs of a runner."""

    def __init__(self, **lora) -> None:
        super().__init__()
        trunk = tiny_trunk(lora=lora) if lora else tiny_trunk()
        self.backbone = MODELS.build(dict(type='mmstadapter.FrameMeanViT', trunk=trunk))
        self.cls_head = nn.Linear(32, 5)

    def forward(self, clips):
        return self.cls_head(self.backbone(clips))


def test_the_classifier_goes_along(tmp_path):
    model = fill(Recogniser(r=2, targets=('q', 'v'))).eval()
    save_peft(model, tmp_path)
    assert json.loads((tmp_path / CONFIG).read_text())['modules_to_save'] == ['cls_head']
    base = fill(Recogniser(), seed=3).eval()
    trunk = model.backbone.trunk.state_dict()
    base.backbone.trunk.load_state_dict({n: t for n, t in trunk.items() if '.lora_' not in n})
    theirs = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    close(theirs(toy_clips()), model(toy_clips()))
    theirs.save_pretrained(tmp_path / 'theirs')
    again = fill(Recogniser(r=2, targets=('q', 'v')), seed=4).eval()
    again.backbone.trunk.load_state_dict(trunk)
    load_peft(again, tmp_path / 'theirs')
    close(again(toy_clips()), model(toy_clips()))


def test_both_towers_of_a_retriever_lie_in_one_folder(tmp_path):
    config = tiny_retriever(text_tower=tiny_text(tune='none', lora=dict(r=2, targets=('q',))))
    config['backbone']['trunk']['lora'] = dict(r=3, alpha=5)
    model = fill(MODELS.build(config))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_('.lora_' in name)
    save_peft(model, tmp_path)
    written = json.loads((tmp_path / CONFIG).read_text())
    assert written['r'] == 3 and {*written['rank_pattern'].values()} == {2}
    again = fill(MODELS.build(config), seed=1)
    for name, parameter in again.named_parameters():
        parameter.requires_grad_('.lora_' in name)
    load_peft(again, tmp_path)
    ours, theirs = model.state_dict(), again.state_dict()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours if '.lora_' in n)


def test_what_a_folder_of_peft_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match='hold LoRA, which CLIPViT does not have'):
        save_peft(MODELS.build(tiny_trunk()), tmp_path)
    with pytest.raises(ValueError, match='but ln_pre.weight, .* is trained too'):
        save_peft(MODELS.build(tiny_trunk(tune='norm', lora=dict(r=2))), tmp_path)
    backbone = dict(type='mmstadapter.STAdapterViT', trunk=tiny_trunk(lora=dict(r=2)))
    with pytest.raises(ValueError, match='but backbone.after_attn.0.* is trained too'):
        save_peft(nn.ModuleDict(dict(backbone=MODELS.build(backbone))), tmp_path)
    assert not list(tmp_path.iterdir())


def edit(folder, **changes) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


class TestWhatDoesNotFit:
    @pytest.fixture
    def folder(self, tmp_path):
        save_peft(trained(tiny_trunk(lora=dict(r=2, targets=('c_fc', 'in_proj')))), tmp_path)
        return tmp_path

    def model(self, **lora) -> nn.Module:
        return MODELS.build(tiny_trunk(lora=dict(r=2, targets=('c_fc', 'in_proj')) | lora))

    @pytest.mark.parametrize(
        'lora, error, message',
        [
            (dict(r=3), RuntimeError, r'c_fc.lora_A.weight: file \(2, 32\), model \(3, 32\)'),
            (dict(targets=('c_fc',)), RuntimeError, 'lacks nothing .*in_proj.lora_A.weight'),
            (dict(targets=None), RuntimeError, 'it lacks .*c_proj.lora_A.weight'),
            (dict(dora=True), RuntimeError, 'it lacks .*lora_magnitude_vector'),
            (dict(alpha=8), ValueError, 'scaled by 8 at .*, by 4 in the model'),
        ],
        ids=str,
    )
    def test_another_model(self, folder, lora, error, message):
        model = self.model(**lora)
        before = {n: t.clone() for n, t in model.state_dict().items()}
        with pytest.raises(error, match=message):
            load_peft(model, folder)
        assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())

    def test_keys_that_the_model_does_not_train(self, folder):
        file = load_file(folder / TENSORS)
        b = {n: t.repeat(1, 2) for n, t in file.items() if 'in_proj.lora_B' in n}
        a = {n: t.repeat(2, 1) for n, t in file.items() if 'in_proj.lora_A' in n}
        save_file(file | a | b, folder / TENSORS)
        edit(folder, alpha_pattern={'in_proj': 32})
        with pytest.raises(ValueError, match='is beside more than q, v, which'):
            load_peft(self.model(targets=('c_fc', 'q', 'v')), folder)

    @pytest.mark.parametrize(
        'changes, message',
        [
            (dict(peft_type='IA3'), "peft_type must be LORA, got 'IA3'"),
            (dict(use_rslora=True), 'use_rslora=True: only LoRA and DoRA'),
            (dict(init_lora_weights='pissa'), "init_lora_weights='pissa': only LoRA"),
            (dict(lora_bias=True), 'lora_bias=True: only'),
            (dict(a_new_field=dict(of='peft')), 'a_new_field=.*: only'),
            (dict(lora_alpha='16'), 'must be numbers'),
            (dict(alpha_pattern={'(a+)+$': 3}), 'must name layers, not patterns'),
        ],
        ids=str,
    )
    def test_other_settings(self, folder, changes, message):
        edit(folder, **changes)
        with pytest.raises(ValueError, match=message):
            load_peft(self.model(), folder)

    def test_files_that_are_missing_or_damaged(self, folder):
        (folder / CONFIG).write_text('{')
        with pytest.raises(ValueError, match=f'{CONFIG} is damaged'):
            load_peft(self.model(), folder)
        (folder / CONFIG).unlink()
        with pytest.raises(FileNotFoundError, match=f'has no {CONFIG}'):
            load_peft(self.model(), folder)
        save_peft(self.model(), folder)
        (folder / TENSORS).rename(folder / 'adapter_model.bin')
        with pytest.raises(FileNotFoundError, match='pickled files of peft are not read'):
            load_peft(self.model(), folder)
