"""What a prefix does to attention, written as an adapter: a gate between the text's output and the prefix's.

    softmax(q [P_k; K]^T) [P_v; V] = (1 - g) softmax(q K^T) V + g softmax(q P_k^T) P_v

    g = sum exp(q P_k^T) / (sum exp(q P_k^T) + sum exp(q K^T))        g: one number for each query and head

The second part looks at nothing but the query: with relu for softmax it is a bottleneck network beside the head, the
prefix its inner units (multi_head_parallel_adapter.py). The gate is what an adapter has not: g is the share of the
softmax that the prefix takes, and it falls where the text has keys that fit the query better.
Source: He et al. 2021, arXiv:2110.04366, section 3. Lesson: lessons/11_unified_view.
"""

import torch
from torch import Tensor


def prefix_gate(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor,
    prefix_value: Tensor,
    bias: Tensor | None = None,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gate g (batch, heads, targets, 1), and the outputs of text and prefix (batch, heads, targets, head).

    query: (batch, heads, targets, head); key, value: (batch, heads, sources, head), without the prefix; prefix_key,
    prefix_value: (heads, prefix, head); bias: broadcast to (batch, heads, targets, sources). Attention over prefix and
    text together is (1 - gate) * text + gate * prefix.
    """
    text_scores = scale * query @ key.transpose(-1, -2)  # (batch, heads, targets, sources)
    if bias is not None:
        text_scores = text_scores + bias
    prefix_scores = scale * query @ prefix_key.transpose(-1, -2)  # (batch, heads, targets, prefix)
    # e^p / (e^p + e^t) is sigmoid(p - t): with the logarithms of the sums nothing overflows.
    gate = torch.sigmoid(prefix_scores.logsumexp(-1, keepdim=True) - text_scores.logsumexp(-1, keepdim=True))
    return gate, text_scores.softmax(-1) @ value, prefix_scores.softmax(-1) @ prefix_value
