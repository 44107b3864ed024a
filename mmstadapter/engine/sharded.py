"""Several processes that each hold a share of a frozen trunk, by FSDP2."""

from typing import Any

import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn

from ..models.pretrained import Pretrained

FEW = 4096  # weights of a layer that is not worth an exchange


@MODEL_WRAPPERS.register_module()
class ShardedTrunk(MMDistributedDataParallel):
    """Data-parallel training in which frozen layers lie in shares, one a process.

        model_wrapper_cfg = dict(type='mmstadapter.ShardedTrunk')

    A frozen layer is gathered when it is called and given up again, so a process holds one
    layer and its share of the others. What is tuned is small: it lies whole in every process,
    with its optimizer's state, and learns as with `MMDistributedDataParallel`. So checkpoints
    (`TunedCheckpointHook`) and resuming are as ever: frozen weights are not in a state dict, they
    come from their pretrained file.

    Args:
        module: the model; its encoders read their pretrained files here.
        few: layers of fewer weights stay whole.
        kwargs: of `MMDistributedDataParallel`.

    Raises:
        ValueError: if frozen weights come from no pretrained file, so that no checkpoint could
            bring them back, or are stored in 8 or 4 bits.
        RuntimeError: on loading a checkpoint with frozen weights in.
    """

    def __init__(self, module: nn.Module, few: int = FEW, **kwargs: Any) -> None:
        encoders = [part for part in module.modules() if isinstance(part, Pretrained)]
        for encoder in encoders:
            if encoder.quantize is not None:
                raise ValueError(
                    f'ShardedTrunk: FSDP2 cannot share out quantize={encoder.quantize!r} weights. '
                    f'Set {encoder.setting}.quantize to None, or train without model_wrapper_cfg.'
                )
            encoder.init_weights()
            if encoder.frozen_names() and not encoder.frozen_keys():
                raise ValueError(
                    f"ShardedTrunk: the {encoder.role}'s frozen weights come from no pretrained "
                    f'file, so no checkpoint could bring them back. Set {encoder.setting}.'
                    'checkpoint, or train without model_wrapper_cfg.'
                )
        shard_frozen([layer for encoder in encoders for layer in encoder.modules()], few)
        shares = [name for name, p in module.named_parameters() if is_share(p)]
        type(self)._set_params_and_buffers_to_ignore_for_model(module, shares)
        module.register_state_dict_post_hook(leave_out_shares)
        module.register_load_state_dict_pre_hook(refuse_shares)
        super().__init__(module, **kwargs)


def shard_frozen(layers: list[nn.Module], few: int) -> None:
    """Leave each process a share of every layer that is frozen and has many weights."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard  # half a second that nobody else needs

    for layer in layers:
        own = list(layer.parameters(recurse=False))
        if any(p.requires_grad for p in own) or sum(p.numel() for p in own) < few:
            continue
        mesh = init_device_mesh(own[0].device.type, (dist.get_world_size(),))
        inner = set(layer.parameters()) - set(own)
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=inner)


def is_share(tensor: Tensor) -> bool:
    """Whether other processes hold the rest of it."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def leave_out_shares(module: nn.Module, state_dict: dict, prefix: str, metadata: dict) -> None:
    """No state dict has what is there in shares."""
    for name in [name for name, value in state_dict.items() if is_share(value)]:
        del state_dict[name]


def refuse_shares(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *args: object
) -> None:
    """Raise if a checkpoint brings whole weights for what is there in shares."""
    shares = {n for n, p in module.named_parameters() if is_share(p)}
    given = sorted(name for name in shares if prefix + name in state_dict)
    if given:
        raise RuntimeError(
            f'ShardedTrunk: the checkpoint holds {len(given)} frozen tensors ({given[0]} ...), '
            'which the pretrained file supplies. Give a tuned-only checkpoint '
            '(custom_hooks=[dict(type="mmstadapter.TunedCheckpointHook")]).'
        )
