"""Operations of an operator by its shapes: matrix products, convolutions, attention."""

from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten


def operations_of(func: Any, args: tuple, out: Any) -> int:
    """Operations, a multiply-add being two; 0 for element-wise ones, which traffic bounds."""
    packet = func._overloadpacket
    if packet is aten._scaled_dot_product_flash_attention_for_cpu:
        return sdpa_flop_count(*(t.shape for t in args[:3]))
    if packet is aten._scaled_dot_product_flash_attention_for_cpu_backward:
        return sdpa_backward_flop_count(*(t.shape for t in args[:4]))
    count = flop_registry.get(packet)
    return 0 if count is None else int(count(*args, out_val=out))
