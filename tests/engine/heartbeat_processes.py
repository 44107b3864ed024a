"""One of two processes that stops itself: ``python heartbeat_processes.py RANK PORT STOPPED``."""

import os
import signal
import sys
from types import SimpleNamespace

import torch
from mmengine.config import Config

from mmstadapter.engine import HeartbeatHook

rank, port, stopped = sys.argv[1:]
os.environ.update(RANK=rank, WORLD_SIZE='2', MASTER_ADDR='localhost', MASTER_PORT=port)
torch.distributed.init_process_group('gloo')
hook = HeartbeatHook()
hook.before_run(SimpleNamespace(cfg=Config(dict(env_cfg=dict(dist_cfg=dict(timeout=3))))))
torch.distributed.all_reduce(torch.ones(1))
print('met', flush=True)
if rank == stopped:
    os.kill(os.getpid(), signal.SIGSTOP)
torch.distributed.all_reduce(torch.ones(1))
if stopped == 'none':
    hook.after_run(None)
    print('done', flush=True)
