"""As `adamw_zeroi2v.py`, with the backbone at a tenth of the rate, as released for ViT-L.

All rules that fit a name count there; here the longest does, so each says both.
"""

_base_ = 'adamw_zeroi2v.py'

optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'backbone.time_embed': dict(lr_mult=0.1, decay_mult=0.0),
            'backbone.trunk.ln_post': dict(lr_mult=0.1, decay_mult=0.0),
        }
    )
)
