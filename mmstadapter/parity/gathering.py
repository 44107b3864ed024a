"""Certificate of the joint batch of several processes (C_allgather)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmstadapter import models, weights

from .case import Line, compare


class GatherCase:
    """One process on the joint batch, and `world` gloo processes on equal shares of it.

    A matrix ``enc`` stands in for both encoders. Compared are losses and logits, what each
    process gets from its own backward pass with the released gradients, and the average that
    distributed training makes of it. The average of exact gradients must be that of one process.

    Args:
        info: the case's description, from its json.
        tensors: the case's numbers.
    """

    def __init__(self, info: dict, tensors: dict[str, Tensor]) -> None:
        self.info, self.tensors = info, tensors

    def lines(self) -> Iterator[Line]:
        """Every comparison, ours of fresh processes."""
        yield from self._compare('single', run(self.info, self.tensors, 'released'))
        ours = in_processes(self.info, self.tensors)
        for rank, found in enumerate(ours['released']):
            yield from self._compare(f'rank{rank}', found)
        yield from self._compare('ddp_mean', _mean(ours['released']))
        exact = _mean(ours['exact'])
        for key in sorted(k for k in self.tensors if k.startswith('ddp_mean/')):
            name = key.removeprefix('ddp_mean/')
            theirs = self.tensors[f'single/{name}']
            yield compare(f'exact mean = single/{name}', 'grad', exact[name], theirs)

    def _compare(self, head: str, ours: dict[str, Tensor]) -> Iterator[Line]:
        kinds = dict(loss='loss', logits_t2v='logits')
        for key in sorted(k for k in self.tensors if k.startswith(f'{head}/')):
            name = key.removeprefix(f'{head}/')
            yield compare(key, kinds.get(name, 'grad'), ours[name], self.tensors[key])


def run(
    info: dict, tensors: dict[str, Tensor], gradients: str, rows: slice = slice(None)
) -> dict[str, Tensor]:
    """Loss, logits and gradients of this process, whose rows are ``rows``, by stored names."""
    model = nn.Module()
    model.similarity = models.TokenSimilarity(info['D'])
    model.logit_scale = nn.Parameter(torch.zeros(()))
    names = {k[6:]: k for k in tensors if k.startswith('param/') and k != 'param/enc'}
    ours = {name: _our_name(name) for name in names}
    model.load_state_dict({ours[n]: tensors[names[n]].float() for n in names}, strict=True)
    model.enc = nn.Parameter(tensors['param/enc'].float())

    inputs = {s: tensors[f'{s}_in'][rows].float().requires_grad_() for s in ('text', 'video')}
    mask = tensors['text_mask'][rows].bool()
    states = [inputs['text'] @ model.enc, inputs['video'] @ model.enc, mask]
    words, frames, mask = models.gather_rows(states, gradients)
    text = model.similarity.encode_text(None, words, mask)
    logits = model.logit_scale.exp() * models.score(text, model.similarity.encode_video(frames))
    loss = models.ContrastiveLoss()(logits)
    if info['cdcr']:
        loss = loss + 0.001 * model.similarity.decorrelation(words, mask, frames)
    loss.backward()
    found = dict(loss=loss.detach(), logits_t2v=logits.detach())
    found |= {f'grad/{side}_feat': x.grad for side, x in inputs.items()}
    parameters = dict(model.named_parameters())
    return found | {f'grad/{n}': parameters[ours.get(n, n)].grad for n in (*names, 'enc')}


def _our_name(name: str) -> str:
    official = 'clip.logit_scale' if name == 'logit_scale' else name
    [ours] = weights.to_ours('side4video-retrieval', {official: torch.empty(0)})
    return ours


def in_processes(info: dict, tensors: dict[str, Tensor]) -> dict[str, list[dict[str, Tensor]]]:
    """What `run` gives in each of the processes, for both choices of gradients."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_one_process, (folder, info, tensors), nprocs=info['world'])
        found = [torch.load(Path(folder, f'{rank}.pth')) for rank in range(info['world'])]
    return {choice: [one[choice] for one in found] for choice in ('released', 'exact')}


def _one_process(rank: int, folder: str, info: dict, tensors: dict[str, Tensor]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=info['world']
    )
    share = info['per_rank']
    rows = slice(rank * share, (rank + 1) * share)
    found = {choice: run(info, tensors, choice, rows) for choice in ('released', 'exact')}
    torch.save(found, Path(folder, f'{rank}.pth'))
    dist.barrier()
    dist.destroy_process_group()


def _mean(found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The average over processes of what has the same shape in all."""
    return {
        name: torch.stack([one[name] for one in found]).mean(dim=0)
        for name in found[0]
        if not name.endswith('_feat')
    }
