"""Pretrain the tiny CLIP of the leaderboard: an image and a text tower, on captioned stills.

    mmstadapter prepare tiny_clip        # two or three minutes, once
    mmstadapter prepare tiny_clip --tower timm --out data/moving_digits/timm_tiny.safetensors

It sees stills of training handwriting only, rendered on the fly, and no motion. One
safetensors file under OpenAI's names, in 16 bit, is what comes out; a file that is
there is kept. With ``--tower timm`` the image tower is one of timm, trained likewise, and the
file holds it alone under timm's names.
"""

import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from . import scenes, words

OUT = 'data/moving_digits/clip_tiny.safetensors'
TRUNKS = dict(clip='_base_/trunks/clip_vit-tiny.py', timm='_base_/trunks/timm_vit-tiny.py')
JOINT_DIMS = 64  # of images and sentences
CAPTION_WEIGHTS = (1.0, 0.5, 0.5)  # the digit alone, with its colour, with its pattern
CURRICULUM = 0.4  # share of the steps in which place, size and angle grow to full jitter
WARMUP = 0.1  # share of the steps in which the learning rate rises


class TinyCLIP(nn.Module):
    """Image tower, text tower and temperature; features are returned normalised.

    Args:
        tower: of `TRUNKS`, the image tower.
    """

    def __init__(self, tower: str = 'clip') -> None:
        super().__init__()
        from mmaction.registry import MODELS
        from mmengine.config import Config

        from .. import CLIPText, shipped

        config = Config.fromfile(shipped.config(TRUNKS[tower]))
        self.is_clip = tower == 'clip'
        own = dict(with_proj=True) if self.is_clip else {}  # CLIP's projection is in its trunk
        settings = config.trunk.to_dict() | dict(checkpoint=None, tune='all', **own)
        self.visual = MODELS.build(settings)
        self.project = (
            self.visual.project
            if self.is_clip
            else nn.Linear(self.visual.embed_dims, JOINT_DIMS, bias=False)
        )
        self.tokenizer = words.tokenizer()
        self.text = CLIPText(dict(words.TEXT_ARCH, output_dims=JOINT_DIMS))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(config.data_preprocessor.mean).view(shape)
        self.std = torch.tensor(config.data_preprocessor.std).view(shape)

    def see(self, stills: np.ndarray) -> Tensor:
        """(M, 32, 32, 3) uint8 RGB -> (M, E), of length one."""
        images = torch.from_numpy(stills).permute(0, 3, 1, 2).float()
        tokens = self.visual((images - self.mean) / self.std)
        features = self.visual.final_norm(self.visual.readout(tokens))
        return F.normalize(self.project(features), dim=-1)

    def read(self, captions: list[str]) -> Tensor:
        """B captions -> (B, E), of length one."""
        sentences, _ = self.text(self.tokenizer(captions))
        return F.normalize(sentences, dim=-1)

    def tensors(self) -> dict[str, Tensor]:
        """In 16 bit, both towers under OpenAI's names or the image tower under timm's."""
        visual = self.visual.state_dict()
        if self.is_clip:
            named = {f'visual.{name}': tensor for name, tensor in visual.items()}
            named |= self.text.state_dict() | {'logit_scale': self.logit_scale.detach()}
        else:
            named = {name.removeprefix('vit.'): tensor for name, tensor in visual.items()}
        return {name: tensor.half().contiguous() for name, tensor in named.items()}


def draw_batch(
    glyphs: list[np.ndarray], size: int, jitter: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Random stills (M, 32, 32, 3) and the three captions of each."""
    colours, patterns = tuple(scenes.COLOURS), scenes.PATTERNS
    stills: list[np.ndarray] = []
    captions: list[tuple[str, ...]] = []
    for _ in range(size):
        digit, colour = int(rng.integers(10)), colours[rng.integers(len(colours))]
        pattern = patterns[rng.integers(len(patterns))]
        glyph = glyphs[digit][rng.integers(len(glyphs[digit]))]
        stills.append(scenes.photograph(glyph, colour, pattern, rng, jitter))
        captions.append(scenes.still_captions(digit, colour, pattern))
    return np.stack(stills), captions


def contrast(model: TinyCLIP, images: Tensor, captions: list[str]) -> Tensor:
    """Contrastive loss in both directions; equal captions are positives of each other."""
    unique = sorted(set(captions))
    which = torch.tensor([unique.index(caption) for caption in captions])
    logits = model.logit_scale.exp() * images @ model.read(unique).T[:, which]
    target = (which[:, None] == which[None]).float()
    target = target / target.sum(dim=1, keepdim=True)  # symmetric: rows and columns alike
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def rate(step: int, steps: int) -> float:
    """Factor on the learning rate: linear warm-up, then a cosine to zero."""
    warmup = WARMUP * steps
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW that decays matrices and leaves vectors alone."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [dict(params=matrices, weight_decay=0.05), dict(params=vectors, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=2e-3, betas=(0.9, 0.98))


def train(model: TinyCLIP, steps: int, batch_size: int, seed: int) -> None:
    """Fit both towers, telling the loss now and then."""
    rng = np.random.default_rng((seed, 2))
    glyphs = scenes.split_glyphs()['train']
    optimizer = make_optimizer(model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    start, report = time.perf_counter(), max(1, steps // 10)
    for step in range(steps):
        jitter = min(1.0, step / (CURRICULUM * steps))
        stills, captions = draw_batch(glyphs, batch_size, jitter, rng)
        images = model.see(stills)
        losses = [contrast(model, images, list(kind)) for kind in zip(*captions, strict=True)]
        parts = [weight * part for weight, part in zip(CAPTION_WEIGHTS, losses, strict=True)]
        loss = sum(parts, start=torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if (step + 1) % report == 0:
            took = time.perf_counter() - start
            print(f'step {step + 1}/{steps}  loss {loss.item():.3f}  {took:.0f} s', flush=True)


@torch.no_grad()
def zero_shot_accuracy(model: TinyCLIP, glyphs: list[np.ndarray], size: int = 1000) -> float:
    """Per cent of stills whose digit is the nearest of ten captions."""
    stills, captions = draw_batch(glyphs, size, 1.0, np.random.default_rng(1))
    choices = [scenes.still_captions(digit, 'grey', 'checks')[0] for digit in range(10)]
    best = (model.see(stills) @ model.read(choices).T).argmax(dim=1).tolist()
    right = [choices[i] == kinds[0] for i, kinds in zip(best, captions, strict=True)]
    return 100 * sum(right) / size


def prepare(
    out: str | Path = OUT,
    steps: int = 1000,
    batch_size: int = 64,
    seed: int = 0,
    tower: str = 'clip',
) -> float:
    """Make the file unless it is there; returns zero-shot accuracy on unseen handwriting."""
    out = Path(out)
    if out.exists():
        with safe_open(out, 'pt') as file:
            accuracy = float(file.metadata()['zero_shot_accuracy'])
        print(f'{out}: there already, {accuracy:.1f} % zero-shot digits on unseen handwriting')
        return accuracy
    torch.manual_seed(seed)
    model = TinyCLIP(tower)
    train(model, steps, batch_size, seed)
    accuracy = zero_shot_accuracy(model, scenes.split_glyphs()['val'])
    metadata = dict(
        recipe=json.dumps(dict(steps=steps, batch_size=batch_size, seed=seed)),
        words=json.dumps(words.WORDS),
        zero_shot_accuracy=f'{accuracy:.1f}',
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + '.part')
    save_file(model.tensors(), part, metadata)
    os.replace(part, out)
    size = out.stat().st_size / 1e6
    print(f'{out}: {size:.2f} MB, {accuracy:.1f} % zero-shot digits on unseen handwriting')
    return accuracy
