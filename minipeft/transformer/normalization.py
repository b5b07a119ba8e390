"""Root-mean-square normalisation, as T5 uses it in place of LayerNorm.

    y = weight * x / sqrt(mean(x^2) + epsilon)        x, y: (..., hidden)   weight: (hidden,)

No mean is subtracted and there is no bias. Source: Zhang & Sennrich 2019, arXiv:1910.07467.
"""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scale each vector to root mean square 1, then by a learned weight."""

    def __init__(self, hidden_size: int, epsilon: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        # The mean of squares is taken in float32: bfloat16 keeps too few digits to add up hidden_size squares.
        scale = x.float().pow(2).mean(-1, keepdim=True).add(self.epsilon).rsqrt()  # (..., 1)
        return self.weight * (x.float() * scale).to(self.weight.dtype)
