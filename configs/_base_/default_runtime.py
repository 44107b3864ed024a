"""MMAction2's runtime with our hooks: exact resuming, tuned-only checkpoints, reports."""

_base_ = 'mmaction::_base_/default_runtime.py'

# Repairs the host packages before they are used, also under MMAction2's own tools.
custom_imports = dict(imports=['mmstadapter'], allow_failed_imports=False)

randomness = dict(seed=0)

# save_best='auto' (MMAction2's) takes the first metric and knows how to rank accuracies, not
# retrieval metrics (retrieval_runtime.py). The last six are ours. They are there whatever a config
# lists in custom_hooks; default_hooks = dict(bad_videos=None) turns one off.
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=3),
    tuned_checkpoint=dict(type='mmstadapter.TunedCheckpointHook'),
    bad_videos=dict(type='mmstadapter.BadVideoHook'),
    epoch_seed=dict(type='mmstadapter.EpochSeedHook'),
    finite_loss=dict(type='mmstadapter.FiniteLossHook'),
    freeze_report=dict(type='mmstadapter.FreezeReportHook'),
    heartbeat=dict(type='mmstadapter.HeartbeatHook'),
)

# Yours; a config that adds to them may say [*_base_.custom_hooks, dict(type='EMAHook')].
custom_hooks = []
