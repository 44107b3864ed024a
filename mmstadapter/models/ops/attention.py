"""What attention weighs its values by, which fused kernels do not hand out."""

from torch import Tensor


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) in float32.

    Args:
        q: queries (M, heads, Q, d).
        k: keys (M, heads, L, d).

    Returns:
        (M, heads, Q, L); each row sums to one.
    """
    scores = q.float() @ k.float().transpose(-2, -1)
    return (scores * q.shape[-1] ** -0.5).softmax(dim=-1)
