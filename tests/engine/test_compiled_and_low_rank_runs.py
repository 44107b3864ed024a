"""A whole training with ``compile = True``, with ``lora=``, and with both, as a user starts it."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmstadapter import launch
from mmstadapter.commands.train import main
from mmstadapter.testing import TINY_ARCH, tiny_trunk, write_clip_file

pytestmark = [pytest.mark.slow, pytest.mark.processes]  # inductor starts a C++ compiler
LORA = {'model.backbone.trunk.lora': dict(r=2)}
# One layer: inductor's C++ of three takes three times as long, and of ragged batches anew.
ARCH = TINY_ARCH | dict(num_layers=1)


def config_with(toy, folder: Path, name: str, **changes) -> Path:
    """The toy run of two epochs as a config file, its trunk of one layer."""
    config = Config(toy.toy_config(str(folder / name), epochs=2))
    checkpoint = write_clip_file('one_layer.safetensors', ARCH)
    config.model.backbone.trunk = tiny_trunk(arch=ARCH, checkpoint=checkpoint)
    record = dict(type='Record', path=str(folder / f'{name}.jsonl'))
    config.custom_hooks.append(record)
    config.merge_from_dict(changes)
    config.dump(folder / f'{name}.py')
    return folder / f'{name}.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('runs')


@pytest.fixture(scope='module')
def run(toy_module, folder):
    """Trains once under a name, with options; gives config, work dir and lines of the record."""
    done = {}

    def trained(name: str, *options: str, **changes) -> tuple[Path, Path, list[dict]]:
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                done[name] = config_with(toy_module, folder, name, **changes)
                main([str(done[name]), *options])
        lines = (folder / f'{name}.jsonl').read_text().splitlines()
        return done[name], folder / name, [json.loads(line) for line in lines]

    return trained


@pytest.fixture
def scores(folder, monkeypatch):
    """What a config's model gives with a checkpoint, loaded as `test` loads it."""
    monkeypatch.chdir(folder)

    def give(config: Path, checkpoint: Path, **changes) -> torch.Tensor:
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(changes)
        model = launch.load_model(cfg, str(checkpoint), device='cpu').eval()
        clips = torch.randn(2, 1, 3, 2, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return model.cls_head(model(clips, mode='tensor'))

    return give


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)['state_dict']


def losses(record: list[dict]) -> torch.Tensor:
    return torch.tensor([line['loss'] for line in record])


# What inductor writes is looked at without LoRA, which matters to the graphs before it.
EAGER = {'compile': dict(backend='aot_eager')}
FORMS = {
    'compiled': (('--compile',), {}),
    'low_rank': ((), LORA),
    'both': (('--compile',), LORA | EAGER),
}


@pytest.mark.parametrize('form', FORMS)
class TestARun:
    @pytest.fixture(autouse=True)
    def needs(self, form):
        if FORMS[form][1]:
            pytest.importorskip('peft', reason='peft is not installed')

    def test_writes_the_tuned_part_under_the_names_of_a_plain_run(self, run, form):
        options, changes = FORMS[form]
        kept = weights(run(form, *options, **changes)[1] / 'epoch_2.pth')
        plain = weights(run('plain')[1] / 'epoch_2.pth')
        own = {name for name in kept if '.lora_' not in name}
        assert own == plain.keys()
        assert (kept.keys() != own) == (form != 'compiled')
        assert all(kept[name].any() for name in kept.keys() - own)  # LoRA's B started at zero

    def test_goes_on_from_its_checkpoint_where_it_would_have_gone(self, run, folder, form):
        options, changes = FORMS[form]
        _, work_dir, whole = run(form, *options, **changes)
        resume = ('--resume', str(work_dir / 'epoch_1.pth'))
        _, again, second = run(f'{form}_resumed', *options, *resume, **changes)
        assert [line['samples'] for line in second] == [line['samples'] for line in whole[3:]]
        torch.testing.assert_close(losses(second), losses(whole)[3:])
        first, other = weights(work_dir / 'epoch_2.pth'), weights(again / 'epoch_2.pth')
        torch.testing.assert_close(other, first, rtol=1e-4, atol=1e-5)

    def test_gives_its_scores_without_a_compiler(self, run, scores, form):
        options, changes = FORMS[form]
        config, work_dir, _ = run(form, *options, **changes)
        found = scores(config, work_dir / 'epoch_2.pth')
        assert found.isfinite().all() and found.shape == (2, 3)
        assert not torch.equal(found, scores(config, work_dir / 'epoch_1.pth'))


@pytest.mark.parametrize('compiled, plain', [('compiled', 'plain'), ('both', 'low_rank')])
def test_a_compiler_changes_no_loss(run, compiled, plain):
    if compiled == 'both':
        pytest.importorskip('peft', reason='peft is not installed')
    (_, _, theirs), (_, _, ours) = (
        run(name, *FORMS.get(name, ((), {}))[0], **FORMS.get(name, ((), {}))[1])
        for name in (plain, compiled)
    )
    torch.testing.assert_close(losses(ours), losses(theirs), rtol=1e-3, atol=1e-4)


def test_low_rank_weights_are_not_left_out_in_silence(run, scores, monkeypatch):
    pytest.importorskip('peft', reason='peft is not installed')
    config, work_dir, _ = run('low_rank', **LORA)
    with pytest.raises(RuntimeError, match='(?s)does not belong to this model.*lora_A'):
        scores(config, work_dir / 'epoch_2.pth', **{'model.backbone.trunk.lora': None})
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(ImportError, match='peft is needed'):
        scores(config, work_dir / 'epoch_2.pth')
