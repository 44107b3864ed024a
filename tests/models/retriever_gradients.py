"""Gradients of a retriever: ``torchrun --nproc_per_node=2 retriever_gradients.py OUT``.

For several models and ways to share a batch of six pairs between two processes; the first one
writes losses and the gradients that distributed training averages, by name of the case.
"""

import sys
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope

from mmstadapter import AmpOptimWrapper
from mmstadapter.launch import leave_processes
from mmstadapter.testing import caption_samples, fill, tiny_retriever, toy_clips

BATCH = 6
MEAN = dict(similarity=dict(type='mmstadapter.MeanPoolSimilarity'))
OWNERS = dict(loss=dict(type='mmstadapter.ContrastiveLoss', positives='skip', decorrelation=0.5))
TEXTS = dict(loss=dict(type='mmstadapter.ContrastiveLoss', positives='skip', text_negatives=0.5))
SIGMOID = MEAN | dict(loss=dict(type='mmstadapter.SigmoidLoss'))
ALL_OF_ONE = dict(type='mmstadapter.SigmoidLoss', positives='all')
# changes of the retriever, pairs of the first of two processes
CASES = {
    'mean': (MEAN, 3),
    'token': ({}, 3),
    'token, unequal shares': ({}, 4),
    'token, in parts': (dict(micro_batch=2), 3),
    'token, in parts, unequal shares': (dict(micro_batch=2), 5),
    'mean, in parts': (MEAN | dict(micro_batch=1), 3),
    'token, released': (dict(gather='released'), 3),
    'one video twice': (OWNERS, 3),
    'captions apart': (TEXTS, 3),
    'sigmoid': (SIGMOID, 3),
    'sigmoid, in parts, unequal shares': (SIGMOID | dict(micro_batch=2), 4),
    'sigmoid, one video twice': (SIGMOID | dict(loss=ALL_OF_ONE), 3),
}


class Gradients(torch.optim.SGD):
    """Keeps the gradients it is given instead of taking a step."""

    def step(self, closure=None):
        self.seen = [p.grad.clone() for group in self.param_groups for p in group['params']]


def gradients(changes: dict, share: slice) -> dict[str, torch.Tensor]:
    """One step of MMEngine's training with the AMP wrapper, as a runner takes it."""
    config = tiny_retriever(data_preprocessor=dict(type='BaseDataPreprocessor')) | changes
    model = fill(MODELS.build(config), scale=0.4).train()
    torch.nn.init.constant_(model.logit_scale, 3.0)
    tuned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    wrapper = AmpOptimWrapper(optimizer=Gradients(tuned.values(), lr=1.0))
    samples = caption_samples(BATCH)
    samples[-1].set_metainfo(dict(video_id=samples[0].video_id))
    data = dict(inputs=toy_clips(BATCH)[share], data_samples=samples[share])
    net = model
    if torch.distributed.is_initialized():
        net = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    losses = net.train_step(data, wrapper)
    found = dict(zip(tuned, wrapper.optimizer.seen, strict=True))
    return found | dict(loss=losses['loss'].detach())


def main() -> None:
    """All cases; then shapes that do not fit together."""
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    init_default_scope('mmaction')
    found = {}
    for name, (changes, first) in CASES.items():
        found[name] = gradients(changes, [slice(first), slice(first, None)][rank])
    try:
        model = MODELS.build(tiny_retriever())
        model(toy_clips(2, num_frames=4 + rank), caption_samples(2), mode='loss')
    except ValueError as error:
        Path(f'{sys.argv[1]}.error{rank}').write_text(str(error))
    if rank == 0:
        torch.save(found, sys.argv[1])


if __name__ == '__main__':
    main()
    leave_processes()
