"""The device that a tool computes on."""

import torch


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for; if none is, the first GPU, or the CPU without one.

    Args:
        device: ``'cpu'``, ``'cuda:1'`` ...

    Raises:
        RuntimeError: if this machine, or this PyTorch, has no such device.
    """
    wish = device or ('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(wish)
        torch.empty(0, device=chosen)
    except (AssertionError, RuntimeError) as error:  # PyTorch without CUDA asserts
        reason = str(error).splitlines()[0].rstrip('.')
        raise RuntimeError(
            f'device {str(wish)!r} cannot be used: {reason}. Give cpu, or none.'
        ) from error
    return chosen
