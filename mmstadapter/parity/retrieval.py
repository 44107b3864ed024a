"""Cases of text-video retrieval: similarities, pooling, optimizer."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mmstadapter import engine, models, weights
from mmstadapter.models.retrieval.similarity import Similarity

from .case import Line, compare, compare_statistics


class SimilarityCase:
    """Features in, loss and gradients out: what the similarity cases have in common.

    Args:
        info: the case's description, from its json.
        tensors: the case's numbers.
    """

    source = 'side4video-retrieval'
    similarity: Similarity

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors

    def build(self, similarity: nn.Module, decorrelation: float = 0.0) -> None:
        """Keep a similarity and its loss, with the case's parameters."""
        self.similarity = similarity
        self.contrast = models.ContrastiveLoss(decorrelation=decorrelation)
        self.holder = nn.Module()
        self.holder.similarity = similarity
        self.holder.logit_scale = nn.Parameter(torch.zeros(()))
        theirs = {self._full(k[6:]): v for k, v in self.tensors.items() if k.startswith('param/')}
        ours = weights.to_ours(self.source, {k: v.float() for k, v in theirs.items()})
        self.holder.load_state_dict(ours, strict=True)

    @staticmethod
    def _full(name: str) -> str:
        """Name in a file -> official name."""
        return 'clip.logit_scale' if name == 'logit_scale' else name

    def feature(self, name: str, rows: int | None = None) -> Tensor:
        """A stored feature in float32 that takes a gradient."""
        return self.tensors[name][:rows].float().requires_grad_()

    def losses(self, logits: Tensor) -> Iterator[Line]:
        """The two directions' losses."""
        for name, matrix in (('t2v', logits), ('v2t', logits.T)):
            ours = nn.functional.cross_entropy(matrix, torch.arange(len(matrix)))
            yield compare(f'train/loss_{name}', 'loss', ours, self.tensors[f'train/loss_{name}'])

    def gradients(self, loss: Tensor, features: dict[str, Tensor]) -> Iterator[Line]:
        """Gradients of a loss by features and parameters, then their norms and sums."""
        self.holder.zero_grad()
        loss.backward()
        strides = self.info.get('grad_row_stride', {})
        for key in sorted(k for k in self.tensors if k.startswith('train/grad/')):
            name = key.removeprefix('train/grad/')
            grad = self._gradient(name, features)
            stride = strides.get(name, 1)
            yield compare(key, 'grad', grad[::stride] if grad.ndim else grad, self.tensors[key])
        for name, stat in self.info.get('gradstat', {}).items():
            grad = self._gradient(name, features)
            yield from compare_statistics(f'train/gradstat/{name}', grad, stat)

    def _gradient(self, name: str, features: dict[str, Tensor]) -> Tensor:
        """Our gradient of what a file calls `name`."""
        if name in features:
            return features[name].grad
        [own] = weights.to_ours(self.source, {self._full(name): torch.empty(0)})
        return dict(self.holder.named_parameters())[own].grad


class TokenCase(SimilarityCase):
    """Weighted token-wise interaction (C_wti).

    Of the stored cross-correlation only the loss made of it is compared: ours never forms the
    entries that have no weight.
    """

    def lines(self) -> Iterator[Line]:
        """Weights, both halves, logits, loss terms and gradients."""
        header = self.info.get('seqTransf')
        if header is not None:
            frames = len(self.tensors['param/frame_position_embeddings.weight'])
            header = dict(num_layers=header['layers'], num_heads=header['heads'], max_frames=frames)
        weight = self.info['cdcr_lambda'] if self.info['cdcr'] else 0.0
        self.build(models.TokenSimilarity(self.info['D'], header=header), weight)
        yield from self._eval_lines()
        yield from self._train_lines()

    def _inputs(self, rows: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        words, frames = (self.feature(f'{side}_feat', rows) for side in ('text', 'video'))
        masks = [self.tensors[f'{side}_mask'][:rows].bool() for side in ('text', 'video')]
        return words, masks[0], frames, masks[1] if self.info['video_mask_used'] else None

    @torch.no_grad()
    def _eval_lines(self) -> Iterator[Line]:
        self.holder.eval()
        words, text_mask, frames, video_mask = self._inputs()
        text = self.similarity.encode_text(None, words, text_mask)
        video = self.similarity.encode_video(frames, video_mask)
        if self.similarity.header is not None:
            after = self.similarity.header(frames, video_mask)
            theirs = self.tensors['video_feat_after_seqTransf']
            yield compare('video_feat_after_seqTransf', 'act', after, theirs)
        for name, features in (('text_weight', text), ('video_weight', video)):
            yield compare(name, 'act', features['weights'], self.tensors[name])
        for name, without in (('t2v_part', video), ('v2t_part', text)):
            other = text if without is video else video
            zero = without | dict(weights=torch.zeros_like(without['weights']))
            pair = (other, zero) if without is video else (zero, other)
            yield compare(name, 'logits', 2 * models.score(*pair), self.tensors[name])
        yield compare(
            'eval/logits', 'logits', models.score(text, video), self.tensors['eval/logits']
        )

    def _train_lines(self) -> Iterator[Line]:
        self.holder.train()
        words, text_mask, frames, video_mask = self._inputs(self.info['train_rows'])
        text = self.similarity.encode_text(None, words, text_mask)
        video = self.similarity.encode_video(frames, video_mask)
        logits = self.holder.logit_scale.exp() * models.score(text, video)
        yield compare('train/logits_t2v', 'logits', logits, self.tensors['train/logits_t2v'])
        yield compare('train/logits_v2t', 'logits', logits.T, self.tensors['train/logits_v2t'])
        yield from self.losses(logits)
        loss, term = self.contrast(logits), torch.zeros(())
        if self.contrast.decorrelation:
            term = self.similarity.decorrelation(words, text_mask, frames, video_mask)
        yield compare('train/cdcr_loss', 'loss', term, self.tensors['train/cdcr_loss'])
        loss = loss + self.contrast.decorrelation * term
        yield compare('train/loss', 'loss', loss, self.tensors['train/loss'])
        yield from self.gradients(loss, dict(text_feat=words, video_feat=frames))


class PoolCase(SimilarityCase):
    """Pooling baselines (C_pool): Side4Video's and CLIP4Clip's mean, CLIP4Clip's transformer."""

    source = 'clip4clip'

    def lines(self) -> Iterator[Line]:
        """Pooled videos, logits, losses and gradients."""
        by_task = dict(
            s4v_meanP=lambda: models.MeanPoolSimilarity(normalise_frames=False),
            c4c_meanP=models.MeanPoolSimilarity,
            c4c_seqTransf=self._sequential,
        )
        kind = self.info['task'].split()[-1]
        self.build(by_task[kind]())
        # Side4Video's mean does not look at the mask.
        mask = None if kind == 's4v_meanP' else self.tensors['video_mask'].bool()
        sentences, frames = self.feature('text'), self.feature('frames')
        for mode in ('eval', 'train'):
            self.holder.train(mode == 'train')
            text = self.similarity.encode_text(sentences, None, None)
            video = self.similarity.encode_video(frames, mask)
            logits = self.holder.logit_scale.exp() * models.score(text, video)
            if mode == 'eval':
                theirs = self.tensors['pooled_video']
                yield compare('pooled_video', 'act', video['vector'], theirs)
                yield compare('eval/logits', 'logits', logits, self.tensors['eval/logits'])
        yield from self.losses(logits)
        loss = self.contrast(logits)
        yield compare('train/loss', 'loss', loss, self.tensors['train/loss'])
        yield from self.gradients(loss, dict(text=sentences, frames=frames))

    def _sequential(self) -> models.SequentialSimilarity:
        info = self.info
        return models.SequentialSimilarity(
            info['D'], info['layers'], info['heads'], max_frames=info['ctx'], init='normal'
        )


class BertAdamCase:
    """The optimizer's trajectory under stored gradients (G_bertadam).

    Args:
        info: the case's description, from its json.
        tensors: the case's numbers.

    Raises:
        ValueError: for another of the schedules of the released optimizer.
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors
        if info['schedule'] != 'warmup_cosine':
            raise ValueError(
                "BertAdamCase: the released recipes' schedule is warmup_cosine, the only one here, "
                f'got {info["schedule"]}.'
            )

    def lines(self) -> Iterator[Line]:
        """Learning rates, parameters and clipped gradients of every step."""
        groups = self.info['groups']
        names = [name for group in groups for name in group['params']]
        parameters = {n: nn.Parameter(self.tensors[f'init/{n}'].clone()) for n in names}
        optimizer = engine.BertAdam(
            [group | dict(params=[parameters[n] for n in group['params']]) for group in groups],
            lr=0.0,
            betas=(self.info['b1'], self.info['b2']),
            eps=self.info['eps'],
            max_grad_norm=max(self.info['max_grad_norm'], 0.0) or None,  # theirs: -1 for none
        )
        for step, rates in enumerate(self.info['lr_per_step']):
            factor = 1.0
            if self.info['t_total'] != -1:  # theirs for no schedule
                factor = engine.bert_adam.bert_warmup_cosine(
                    step / self.info['t_total'], self.info['warmup']
                )
            ours = [factor * group['lr'] for group in groups]
            yield compare(f'step{step}/lr', 'act', torch.tensor(ours), torch.tensor(rates))
            for group, rate in zip(optimizer.param_groups, ours, strict=True):
                group['lr'] = rate
            for name, parameter in parameters.items():
                grad = self.tensors.get(f'step{step}/grad_in/{name}')
                parameter.grad = None if grad is None else grad.clone()
            optimizer.step()
            yield from self._step_lines(step, parameters)

    def _step_lines(self, step: int, parameters: dict[str, nn.Parameter]) -> Iterator[Line]:
        for name, parameter in parameters.items():
            for what, ours in (('param', parameter), ('grad_after', parameter.grad)):
                key = f'step{step}/{what}/{name}'
                if key in self.tensors:
                    yield compare(key, 'act', ours, self.tensors[key])
