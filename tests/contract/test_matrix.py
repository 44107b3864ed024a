"""Every method x trunk x task trains, goes on, is published, predicts, compiles and is planned.

Methods are the registered backbones, each by its first row of `cases.py`; a new one is swept as
soon as it is registered. Retrieval has those that give a vector a frame (`output='frames'`), on
trunks that project it (`with_proj`).
"""

import inspect
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import mmstadapter
from mmstadapter import shipped
from mmstadapter.apis.building import build_model
from mmstadapter.commands import publish, train
from mmstadapter.engine.tuned_checkpoint import drop_frozen
from mmstadapter.planning import TrainingStep
from mmstadapter.testing import (
    TINY_ARCH,
    TINY_TEXT_ARCH,
    tiny_text,
    tiny_tokenizer,
    toy_clips,
    write_clip_file,
)

from ..datasets.conftest import write_video
from .cases import CASES, ELSEWHERE, registered

pytestmark = pytest.mark.slow

CAPTIONS = ['a cat jumps', 'a dog falls', 'the cat sleeps left', 'the dog jumps to the right']
TIMM = dict(embed_dim=32, depth=3, num_heads=2, patch_size=8, img_size=32)
TIMM_MODEL = 'vit_base_patch16_clip_224'
SHIPPED = dict(
    recognition='linear_vit-tiny_demo-motion', retrieval='stadapter_vit-tiny_demo-captions'
)


# ---------------------------------------------------------------------- columns


def clip(folder: Path, joint: bool) -> dict:
    """A tiny CLIP trunk with its file."""
    checkpoint = write_clip_file(folder / 'clip.safetensors', seed=4)
    return dict(type='mmstadapter.CLIPViT', arch=dict(TINY_ARCH), checkpoint=checkpoint) | (
        dict(with_proj=True) if joint else {}
    )


def timm(folder: Path, joint: bool) -> dict:
    """The same of timm's classes."""
    import timm as library

    projection = dict(num_classes=TINY_ARCH['output_dims']) if joint else {}
    tensors = library.create_model(TIMM_MODEL, **TIMM, **projection).state_dict()
    save_file(tensors, folder / 'timm.safetensors')
    return dict(
        type='mmstadapter.TimmViT',
        model=TIMM_MODEL,
        options=TIMM | projection,
        checkpoint=str(folder / 'timm.safetensors'),
    ) | (dict(with_proj=True) if joint else {})


TRUNKS: dict[str, Callable[[Path, bool], dict]] = dict(clip=clip, timm=timm)


def takes(kind: str, option: str) -> bool:
    """Whether a registered class has an option."""
    return option in inspect.signature(MODELS.get(kind)).parameters


def methods() -> dict[str, dict]:
    """Of every registered backbone the first case, and LoRA in the trunk."""
    first: dict[str, str] = {}
    for case, row in CASES.items():
        first.setdefault(row['type'], case)
    found = {case: CASES[case] for case in first.values()}
    return found | dict(lora=dict(type='mmstadapter.FrameMeanViT', trunk=dict(lora=dict(r=2))))


METHODS = methods()


class Cell(NamedTuple):
    """A method on a trunk for a task."""

    case: str
    trunk: str
    task: str


def marks(case: str, trunk: str) -> list[pytest.MarkDecorator]:
    """Skip what needs a library that is missing; without timm there is no need to repeat it."""
    needs = {'timm': trunk == 'timm', 'peft': case == 'lora'}
    missing = [name for name, needed in needs.items() if needed and find_spec(name) is None]
    skip = pytest.mark.skipif(bool(missing), reason=f'{missing} not installed')
    return [skip] if trunk == 'timm' else [skip, pytest.mark.minutes]


def cells() -> list:
    """All there are."""
    kinds = dict(timm='mmstadapter.TimmViT', clip='mmstadapter.CLIPViT')
    return [
        pytest.param(Cell(case, trunk, task), id=f'{case}-{trunk}-{task}', marks=marks(case, trunk))
        for case, row in METHODS.items()
        for trunk in TRUNKS
        for task in SHIPPED
        if task == 'recognition'
        or (takes(row['type'], 'output') and takes(kinds[trunk], 'with_proj'))
    ]


# ------------------------------------------------------------------------- rows


def backbone_of(cell: Cell, folder: Path) -> dict:
    """Its config, the trunk with a pretrained file."""
    joint = cell.task == 'retrieval'
    row = METHODS[cell.case]
    trunk = TRUNKS[cell.trunk](folder, joint) | row.get('trunk', {})
    return row | dict(trunk=trunk) | (dict(output='frames') if joint else {})


def model_of(cell: Cell, folder: Path, preprocessor: dict) -> dict:
    backbone = backbone_of(cell, folder)
    if cell.task == 'retrieval':
        return dict(
            type='mmstadapter.Retriever',
            backbone=backbone,
            text_tower=tiny_text(checkpoint=write_clip_file(folder / 'clip.safetensors', seed=4)),
            tokenizer=tiny_tokenizer(),
            similarity=dict(
                type='mmstadapter.TokenSimilarity', embed_dims=TINY_TEXT_ARCH['output_dims']
            ),
            data_preprocessor=preprocessor,
        )
    with torch.device('meta'):
        width = MODELS.build(backbone).out_channels
    head = dict(type='mmstadapter.VideoHead', in_channels=width, num_classes=2, topk=(1,))
    return dict(
        type='Recognizer3D', backbone=backbone, cls_head=head, data_preprocessor=preprocessor
    )


def write_config(cell: Cell, folder: Path, videos: Path) -> Path:
    """A shipped recipe with another model and our videos, two epochs of two steps."""
    config = Config.fromfile(shipped.config(SHIPPED[cell.task])).to_dict()
    config['model'] = model_of(cell, folder, config['model']['data_preprocessor'])
    frames = METHODS[cell.case].get('num_frames', 4)
    for kind in ('train', 'val', 'test'):
        loader = config[f'{kind}_dataloader']
        loader |= dict(batch_size=2, num_workers=0, persistent_workers=False)
        loader['sampler'] = dict(type='DefaultSampler', shuffle=kind == 'train')
        loader['dataset'] |= dict(data_root=str(videos), data_prefix=dict(video='.'))
        ending = 'json' if cell.task == 'retrieval' else 'txt'
        loader['dataset']['ann_file'] = f'list.{ending}'
        steps = loader['dataset']['pipeline']
        sampling = next(step for step in steps if 'clip_len' in step)
        sampling['clip_len'] = frames
        if takes(METHODS[cell.case]['type'], 'num_diff'):  # reads the frames around each
            steps.insert(steps.index(sampling) + 1, dict(type='mmstadapter.AddNeighbours'))
    config |= dict(clip_len=frames)
    config['train_cfg']['max_epochs'] = 2
    config['default_hooks']['heartbeat'] = None
    path = folder / 'config.py'
    path.write_text('\n'.join(f'{name} = {value!r}' for name, value in config.items()))
    return path


class Trained(NamedTuple):
    """A finished run of two epochs."""

    config: Path
    folder: Path
    videos: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / 'whole' / 'epoch_2.pth'

    @property
    def adapter(self) -> Path:
        return self.folder / 'adapter.safetensors'

    def model(self) -> nn.Module:
        config = Config.fromfile(self.config)
        return build_model(config.model, str(self.checkpoint), scope='mmaction').eval()


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('videos')
    names = [write_video(folder / f'{i}.mp4', 24 + i, (32, 32)).name for i in range(4)]
    (folder / 'list.txt').write_text(''.join(f'{n} {i % 2}\n' for i, n in enumerate(names)))
    captions = dict(zip(names, ([c] for c in CAPTIONS), strict=True))
    (folder / 'list.json').write_text(json.dumps(captions))
    return folder


@pytest.fixture(scope='module')
def trained(tmp_path_factory, videos) -> Callable[[Cell], Trained]:
    """Trains a cell once."""
    done: dict[Cell, Trained] = {}

    def train_once(cell: Cell) -> Trained:
        if cell not in done:
            folder = tmp_path_factory.mktemp('-'.join(cell))
            done[cell] = Trained(write_config(cell, folder, videos), folder, videos)
            start(done[cell], 'whole')
            publish.main(
                [*map(str, (done[cell].config, done[cell].checkpoint, done[cell].adapter))]
            )
        return done[cell]

    return train_once


def start(run: Trained, name: str, *options: str) -> None:
    """Train as the command does, into a folder of that name."""
    work_dir = run.folder / name
    with pytest.MonkeyPatch.context() as patch:
        # Formatting configs for logs takes longer than the training here.
        patch.setattr(Config, 'pretty_text', property(lambda self: repr(self.to_dict())))
        train.main([str(run.config), '--work-dir', str(work_dir), '--no-validate', *options])


def features(model: nn.Module, clips: Tensor) -> Tensor:
    """What a model makes of clips (B, 3, T, H, W)."""
    with torch.no_grad():
        if hasattr(model, 'encode_videos'):
            return model.encode_videos(clips)['tokens']
        feats, options = model.extract_feat(clips[:, None])
        return model.cls_head(feats, **options)


@torch.no_grad()
def feature_alone(backbone: nn.Module, clips: Tensor) -> list[Tensor]:
    return [backbone(clips)]


def feature_and_gradients(backbone: nn.Module, clips: Tensor) -> list[Tensor]:
    feature = backbone(clips)
    tuned = [p for p in backbone.parameters() if p.requires_grad]
    if not tuned:
        return [feature]
    found = torch.autograd.grad(feature.square().sum(), tuned, allow_unused=True)
    return [feature, *(grad for grad in found if grad is not None)]


@pytest.mark.parametrize('cell', cells())
class TestEveryCell:
    def test_trains_and_goes_on_from_a_checkpoint_as_if_never_stopped(self, cell, trained):
        run = trained(cell)
        first, second = (
            torch.load(run.folder / 'whole' / f'epoch_{n}.pth', weights_only=False) for n in (1, 2)
        )
        assert any(
            not torch.equal(first['state_dict'][name], tensor)
            for name, tensor in second['state_dict'].items()
        )
        start(run, 'again', '--resume', str(run.folder / 'whole' / 'epoch_1.pth'))
        again = torch.load(run.folder / 'again' / 'epoch_2.pth', weights_only=False)
        for part in ('state_dict', 'optimizer'):
            torch.testing.assert_close(again[part], second[part], rtol=0, atol=0)

    def test_is_published_as_what_the_trunk_cannot_supply(self, cell, trained):
        run = trained(cell)
        model = run.model()
        assert load_file(run.adapter).keys() == drop_frozen(model, model.state_dict()).keys()

    def test_the_adapter_file_predicts_as_the_model(self, cell, trained):
        run = trained(cell)
        video, model = run.videos / '0.mp4', run.model()
        again = mmstadapter.create_model(run.config, checkpoint=run.adapter)
        clips = again.transform(video)
        expected = features(model, clips)
        if cell.task == 'retrieval':
            torch.testing.assert_close(features(again, clips), expected)
        else:
            (found,) = mmstadapter.Predictor(run.adapter)(video)
            torch.testing.assert_close(
                torch.tensor(found['scores']), expected.softmax(-1)[0].sort(descending=True).values
            )

    def test_compiles_into_one_graph(self, cell, trained):
        backbone = trained(cell).model().backbone
        frames = METHODS[cell.case].get('num_frames', 4) * getattr(backbone, 'num_diff', 1)
        clips = toy_clips(num_frames=frames)
        # Of the gradients once a method: that takes three times as long.
        run = feature_and_gradients if cell[1:] == ('clip', 'recognition') else feature_alone
        expected = run(backbone, clips)
        backbone.compile(fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(run(backbone, clips), expected, rtol=1e-4, atol=1e-4)

    def test_is_planned_with_what_it_has(self, cell, trained):
        run = trained(cell)
        step, model = TrainingStep(Config.fromfile(run.config)), run.model()
        account = step.account()
        sizes = {True: 0, False: 0}
        for parameter in model.parameters():
            sizes[parameter.requires_grad] += 4 * parameter.numel()
        assert account.tuned == sizes[True]
        assert account.frozen >= sizes[False]
        assert account.operations > 0 and account.peak > account.tuned + account.frozen


def test_every_method_is_in_it():
    swept = {param.values[0].case for param in cells()}
    kinds = {METHODS[case]['type'].removeprefix('mmstadapter.') for case in swept}
    assert kinds == registered().keys() - ELSEWHERE and 'lora' in swept
    for trunk in TRUNKS:
        found = {p.values[0].case for p in cells() if p.values[0][1:] == (trunk, 'retrieval')}
        assert {'st_adapter', 'side4video', 'temp_me', 'lora'} <= found
