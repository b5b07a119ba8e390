"""Root-mean-square normalisation, as T5 uses it in place of LayerNorm.

    y = weight * x / sqrt(mean(x^2) + epsilon)        x, y: (..., hidden)   weight: (hidden,)

No mean is subtracted and there is no bias. Source: Zhang & Sennrich 2019, arXiv:1910.07467.
"""

import torch
from torch import nn


class RMSNorm(nn.Module):
    """Scale each vector to root mean square 1, then by a learned weight."""

    def __init__(self, hidden_size: int, epsilon: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Squares are summed in float32 or better: bfloat16 keeps too few digits to add up hidden_size of them. The
        # Euclidean norm does it in one pass over x, where squaring first would write all squares to memory.
        precise = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=precise)  # (..., 1)
        scale = (length.square() / x.shape[-1] + self.epsilon).rsqrt()  # 1 / root mean square, (..., 1)
        return self.weight * (x * scale).to(self.weight.dtype)
