"""Certificate of six training steps of the released retrieval recipe (H_end_to_end)."""

from collections.abc import Iterator

import torch
from einops import rearrange
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from mmstadapter import engine, models, weights

from .case import Line, compare

SOURCE = 'side4video-retrieval'


class TrainingCase:
    """Side4Video on a toy CLIP: losses, gradients and weights over the steps, then features.

    Args:
        info: the case's description, from its json.
        tensors: the case's numbers.
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors
        self.num_batches = sum(key.endswith('/ids') for key in tensors)
        self.model = self._build_model()  # on the device that `read_case` chose

    def _build_model(self) -> models.Retriever:
        c = self.info['constructor']
        trunk = dict(
            type='mmstadapter.CLIPViT',
            arch=dict(
                img_size=c['image_resolution'],
                patch_size=c['vision_patch_size'],
                embed_dims=c['vision_width'],
                num_layers=c['vision_layers'],
                num_heads=c['vision_width'] // 64,
                output_dims=c['embed_dim'],
            ),
            tune='after_blocks',
            with_proj=True,
        )
        text = dict(
            vocab_size=c['vocab_size'],
            context_length=c['context_length'],
            embed_dims=c['transformer_width'],
            num_layers=c['transformer_layers'],
            num_heads=c['transformer_heads'],
            output_dims=c['embed_dim'],
        )
        return models.Retriever(
            backbone=dict(
                type='mmstadapter.Side4VideoViT',
                trunk=trunk,
                side_dims=c['side_dim'],
                output='frames',
                cls_position=True,
            ),
            text_tower=dict(type='mmstadapter.CLIPText', arch=text),
            # Never asked: `_batch` puts the stored ids in its place.
            tokenizer=dict(type='mmstadapter.WordTokenizer', words=['-'], context_length=3),
            similarity=dict(type='mmstadapter.TokenSimilarity', embed_dims=c['embed_dim']),
            loss=dict(
                type='mmstadapter.ContrastiveLoss',
                decorrelation=0.001 if self.info['cdcr'] else 0.0,
            ),
            num_frames=c['T'],
        )

    def lines(self) -> Iterator[Line]:
        """Weights, frozen names, groups, every step, the final weights and features."""
        official = {k.split('/', 1)[1]: v for k, v in self.tensors.items() if _is_state(k)}
        official = {k: v.float() if v.is_floating_point() else v for k, v in official.items()}
        ours = weights.to_ours(SOURCE, official)
        self.model.load_state_dict(ours, strict=True)
        self.initial = {name: tensor.clone() for name, tensor in ours.items()}
        back = weights.from_ours(SOURCE, self.model.state_dict())
        odd = sum(not torch.equal(back[k], v) for k, v in official.items())
        odd += len(back.keys() ^ official.keys())
        yield Line('weights, there and back: unequal tensors', float(odd), 0.0)
        yield self._frozen_line()
        optim_wrapper, scheduler = self._build_optimizer()
        yield self._groups_line(optim_wrapper.optimizer)
        for step in range(len(self.info['steps'])):
            yield from self._step_lines(step, optim_wrapper.optimizer)
            scheduler.step()
        self.model.limit_scale()
        yield from self._final_lines()
        yield from self._feature_lines()

    def _frozen_line(self) -> Line:
        frozen = {n: p for n, p in self.model.named_parameters() if not p.requires_grad}
        odd = weights.from_ours(SOURCE, frozen).keys() ^ set(self.info['frozen'])
        return Line('frozen parameters on one side only', float(len(odd)), 0.0)

    def _build_optimizer(self):
        """As a config would: groups by name, and the schedule over all steps."""
        from_clip = ('backbone.trunk.', 'text_tower.', 'logit_scale')
        config = dict(
            type='OptimWrapper',
            constructor='mmstadapter.NamedGroupsConstructor',
            optimizer=dict(type='mmstadapter.BertAdam', lr=self.info['lr'], weight_decay=0.2),
            paramwise_cfg=dict(
                lr_mult=dict.fromkeys(from_clip, self.info['coef_lr']), no_decay=['bias']
            ),
        )
        optim_wrapper = build_optim_wrapper(self.model, config)
        steps = self.info['t_total']
        warmup = self.info['warmup_proportion'] * steps
        return optim_wrapper, engine.BertWarmupCosineLR(optim_wrapper.optimizer, warmup, end=steps)

    def _groups_line(self, optimizer: torch.optim.Optimizer) -> Line:
        """Rate and decay of every trained parameter."""
        names = {id(p): n for n, p in self.model.named_parameters()}
        ours: dict[str, tuple[float, float]] = {}
        for group in optimizer.param_groups:
            found = {names[id(p)]: p for p in group['params']}
            settings = (round(group['initial_lr'], 12), group['weight_decay'])
            ours |= dict.fromkeys(weights.from_ours(SOURCE, found), settings)
        theirs = {
            name: (group['lr'], group['weight_decay'])
            for group in self.info['optimizer_groups']
            for name in group['names']
            if name not in self.info['frozen']
        }
        odd = sum(ours.get(n) != theirs.get(n) for n in ours.keys() | theirs.keys())
        return Line('parameters with another rate or decay', float(odd), 0.0)

    def _batch(self, i: int) -> tuple[Tensor, list[ActionDataSample]]:
        """Stored batch i as a retriever takes it; a caption is the number of its row of ids."""
        video = rearrange(self.tensors[f'batch{i}/video'].float(), 'b 1 t 1 c h w -> b c t h w')
        ids = self.tensors[f'batch{i}/ids'].squeeze(1)
        self.model.tokenizer = lambda captions: ids[[int(caption) for caption in captions]]
        samples = [ActionDataSample(metainfo=dict(captions=[str(j)])) for j in range(len(ids))]
        return video, samples

    def _step_lines(self, step: int, optimizer: torch.optim.Optimizer) -> Iterator[Line]:
        """One step as the optimizer wrapper takes it, with a look at the clipped gradients."""
        stored = self.info['steps'][step]
        self.model.train()
        optimizer.zero_grad()
        loss, _ = self.model.parse_losses(
            self.model(*self._batch(step % self.num_batches), mode='loss')
        )
        yield _relative(f'step{step}/loss', loss, stored['loss'])
        loss.backward()
        tuned = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        norm = nn.utils.clip_grad_norm_(tuned.values(), 1.0)
        yield _relative(f'step{step}/global_grad_norm', norm, stored['global_grad_norm'])
        norms = weights.from_ours(SOURCE, {n: p.grad for n, p in tuned.items()})
        ours = torch.stack([norms[name].norm() for name in stored['grad_norm_after_clip']])
        theirs = torch.tensor(list(stored['grad_norm_after_clip'].values()))
        yield compare(f'step{step}/grad_norm_after_clip', 'grad', ours, theirs)
        optimizer.step()

    def _final_lines(self) -> Iterator[Line]:
        """Weights and running statistics after the last step."""
        state = self.model.state_dict()
        final = weights.from_ours(SOURCE, state)
        for key in sorted(k for k in self.tensors if k.startswith('final/')):
            yield compare(key, 'act', final[key.removeprefix('final/')], self.tensors[key])
        moved = {n: t.double() - self.initial[n].double() for n, t in state.items()}
        moved = weights.from_ours(SOURCE, moved)
        for name, stat in self.info['final_stat'].items():
            ours = torch.stack([final[name].double().norm(), moved[name].norm()])
            theirs = torch.tensor(stat, dtype=torch.float64)
            yield compare(f'final_stat/{name}', 'act', ours, theirs)

    @torch.no_grad()
    def _feature_lines(self) -> Iterator[Line]:
        """Tokens, frames and similarities of batch 0 under the final weights."""
        self.model.eval()
        video, samples = self._batch(0)
        ids = self.model.tokenize([sample.captions[0] for sample in samples])
        (frames,), (words,) = self.model.encode_frames(video), self.model.read_ids(ids)
        yield compare('final_eval/frames', 'act', frames, self.tensors['final_eval/frames'])
        yield compare(
            'final_eval/text_tokens', 'act', words, self.tensors['final_eval/text_tokens']
        )
        logits = models.score(*self.model(video, samples))
        yield compare('final_eval/logits', 'logits', logits, self.tensors['final_eval/logits'])


def _is_state(key: str) -> bool:
    return key.startswith(('param/', 'buffer/'))


def _relative(name: str, ours: Tensor, theirs: float) -> Line:
    """The relative difference of two numbers, at most 1e-4."""
    return Line(name, abs(ours.item() - theirs) / abs(theirs), 1e-4)
