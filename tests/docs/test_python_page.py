"""Every line of docs/python.md runs, on a model that is tiny instead of CLIP's size."""

import hashlib
import inspect
import re
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

import mmstadapter
from mmstadapter import shipped
from mmstadapter.apis.finished import Fitted
from mmstadapter.engine.tuned_checkpoint import write_adapter
from mmstadapter.models.text_towers import clip_text
from mmstadapter.models.trunks import clip_vit
from mmstadapter.testing import TINY_ARCH, TINY_TEXT_ARCH, fill, write_clip_file
from mmstadapter.weights import fetch

PAGE = Path(__file__).parents[2] / 'docs/python.md'
BLOCKS = re.findall(r'```python\n(.*?)```', PAGE.read_text(), flags=re.S)
TEXT_ARCH = {k: TINY_TEXT_ARCH[k] for k in ('embed_dims', 'num_layers', 'num_heads', 'output_dims')}


def write_video(path: Path) -> None:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        stream.options = {'x264-params': 'log-level=error'}
        for light in range(30):
            image = np.full((48, 64, 3), 8 * light, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())


def write_clip(path: Path) -> None:
    """A tiny CLIP that reads all of CLIP's words."""
    write_clip_file(path)
    tensors = mmstadapter.weights.read_tensors(path)
    text = fill(mmstadapter.CLIPText(TEXT_ARCH)).state_dict()
    visual = {name: tensor for name, tensor in tensors.items() if name.startswith('visual.')}
    save_file(visual | text | dict(logit_scale=tensors['logit_scale'].clone()), path)


def tiny_fit(folder: Path) -> Fitted:
    """What a fit gives, without one."""
    config = Config.fromfile(shipped.config('stadapter_vit-b_k400'))
    config.model.cls_head.update(num_classes=2, in_channels=TINY_ARCH['embed_dims'])
    for step in config.test_dataloader.dataset.pipeline:
        if 'size' in step:
            step.size = 32
    model = mmstadapter.create_model(config)
    write_adapter(folder / 'adapter.safetensors', model, config, labels=['day', 'night'])
    config.dump(folder / 'recipe.py')
    return Fitted(folder, dict(top1=75.0))


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """A notebook's folder and names; CLIP is tiny, and lies in the cache."""
    write_clip(tmp_path / 'ViT-B-16.pt')
    digest = hashlib.sha256((tmp_path / 'ViT-B-16.pt').read_bytes()).hexdigest()
    known = fetch.Known('http://127.0.0.1:9/ViT-B-16.pt', digest)
    monkeypatch.setitem(fetch.KNOWN, 'openai/ViT-B-16', known)
    monkeypatch.setenv('MMSTADAPTER_CACHE', str(tmp_path))
    monkeypatch.setitem(clip_vit.ARCHS, 'vit-b-p16', TINY_ARCH)
    monkeypatch.setitem(clip_text.ARCHS, 'clip-b', TEXT_ARCH)
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / 'a.mp4')
    theirs = inspect.signature(mmstadapter.fit)

    def fit(*args, **kwargs) -> Fitted:
        theirs.bind(*args, **kwargs)
        return tiny_fit(tmp_path)

    monkeypatch.setattr(mmstadapter, 'fit', fit)
    return {}


def run(block: str, namespace: dict) -> None:
    exec(compile(block, str(PAGE), 'exec'), namespace)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(namespace):
    torch.manual_seed(0)
    assert len(BLOCKS) >= 7
    for block in (block for block in BLOCKS if 'lora' not in block):
        run(block, namespace)
        if 'num_classes=3' in block:
            assert namespace['model'](namespace['clips']).shape == (3, 3)
    assert namespace['scores'].shape == (7,)
    assert mmstadapter.score(namespace['texts'], namespace['videos']).shape == (2, 1)


def test_the_lines_of_the_readme_run(namespace, tmp_path):
    text = (PAGE.parents[1] / 'README.md').read_text()
    lines = re.search(r'((    .*\n)*    import mmstadapter\n(    .*\n)+)', text)[0]
    write_video(tmp_path / 'new.mp4')
    run(textwrap.dedent(lines), namespace)
    assert namespace['scores'].shape == (7,)


def test_lora_runs_where_peft_is_installed(namespace):
    pytest.importorskip('peft')
    (block,) = (block for block in BLOCKS if 'lora' in block)
    run(BLOCKS[0], namespace)
    run(block, namespace)
    names = [name for name, p in namespace['model'].named_parameters() if p.requires_grad]
    assert any('lora_A' in name for name in names)
