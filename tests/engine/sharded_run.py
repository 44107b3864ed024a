"""The toy with its trunk in shares: ``torchrun ... sharded_run.py OUT``.

Trains it with whole trunks, then in shares, then in shares with a pause in the middle; writes
losses, tuned weights and what each process held to ``OUT/<rank>.json``.
"""

import json
import os
import sys
from pathlib import Path

import torch
import toy_run
from mmengine.config import Config
from torch.distributed.tensor import DTensor

from mmstadapter.launch import build_runner, leave_processes

SHARDED = dict(type='mmstadapter.ShardedTrunk', few=1000)


def train(folder: Path, epochs: int, wrapper: dict | None, resume: bool = False) -> dict:
    """Losses, tuned weights and numbers of frozen values of a run."""
    rank = os.environ['RANK']
    changes: dict = dict(val_dataloader=None, val_cfg=None, val_evaluator=None, resume=resume)
    changes |= dict(model_wrapper_cfg=wrapper) if wrapper else {}
    config = toy_run.toy_config(folder, 0, 4, launcher='pytorch', **changes)
    config['train_cfg'] = dict(by_epoch=True, max_epochs=epochs)
    record = folder / f'record{rank}.jsonl'
    config['custom_hooks'].append(dict(type='Record', path=str(record)))
    del config['param_scheduler']
    config['experiment_name'] = f'{folder.name}{epochs}'
    runner = build_runner(Config(config))
    runner.train()
    frozen = [p for p in runner.model.parameters() if not p.requires_grad]
    tuned = {n: p.tolist() for n, p in runner.model.named_parameters() if p.requires_grad}
    metrics = runner.test()
    return dict(
        losses=[json.loads(line)['loss'] for line in record.read_text().splitlines()],
        tuned=tuned,
        metrics=metrics,
        saved=list(torch.load(folder / f'epoch_{epochs}.pth', weights_only=False)['state_dict']),
        whole=sum(p.numel() for p in frozen),
        here=sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in frozen),
    )


if __name__ == '__main__':
    out, rank = Path(sys.argv[1]), os.environ['RANK']
    folders = {name: out / name for name in ('plain', 'sharded', 'resumed')}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    found = dict(plain=train(folders['plain'], 2, None))
    found['sharded'] = train(folders['sharded'], 2, SHARDED)
    train(folders['resumed'], 1, SHARDED)
    found['resumed'] = train(folders['resumed'], 2, SHARDED, resume=True)
    (out / f'{rank}.json').write_text(json.dumps(found))
    leave_processes()
