"""Training: schedule, optimizer groups, precision, random numbers, reports."""

from .amp import AmpOptimWrapper
from .bert_adam import BertAdam, BertWarmupCosineLR, NamedGroupsConstructor
from .checkpoint_files import load_from_local
from .drawing import DrawingHook
from .epoch_seed import EpochSeedHook, seed_worker
from .finite_loss import FiniteLossHook
from .freeze_report import FreezeReportHook, ParameterRow, count_parameters
from .heartbeat import HeartbeatHook
from .memory import MemoryHook
from .probes_optim import ProbesOptimWrapperConstructor
from .sharded import ShardedTrunk
from .step_loop import StepTrainLoop
from .sweep_table import SweepTableHook
from .tuned_checkpoint import TunedCheckpointHook
from .tuned_optim import TunedOptimWrapperConstructor
from .warmup_cosine import WarmupCosineLR

__all__ = [
    'AmpOptimWrapper',
    'BertAdam',
    'BertWarmupCosineLR',
    'DrawingHook',
    'EpochSeedHook',
    'FiniteLossHook',
    'FreezeReportHook',
    'NamedGroupsConstructor',
    'HeartbeatHook',
    'MemoryHook',
    'ParameterRow',
    'ProbesOptimWrapperConstructor',
    'ShardedTrunk',
    'StepTrainLoop',
    'SweepTableHook',
    'TunedCheckpointHook',
    'TunedOptimWrapperConstructor',
    'WarmupCosineLR',
    'count_parameters',
    'load_from_local',
    'seed_worker',
]
