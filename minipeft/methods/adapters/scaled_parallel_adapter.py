"""Scaled parallel adapters: a parallel adapter whose output counts `scale` times.

    h <- h + sublayer(x) + s (W_up relu(W_down x + b_down) + b_up)      s: a scalar, fixed or trained

The scale is LoRA's, on a parallel adapter. Adam's steps do not grow with the gradient, so a fixed s is the same as s
times the learning rate for W_up and b_up alone. A trained s starts at `scale` here, at 1 in the released code.
Start: as parallel_adapter, so the first forward pass is the base model's, whatever the scale.
Trainable, at width d and bottleneck m: 2 d m + d + m per adapter, and 1 more where s is trained.
Paper: He et al. 2021, arXiv:2110.04366, table 5.
Lesson: lessons/11_unified_view. Test: tests/methods/adapters/test_scaled_parallel_adapter.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.parallel_adapter import ParallelAdapter


class Scaled(nn.Module):
    """An adapter with its output multiplied by a scalar, which is trained where `learned`."""

    def __init__(self, adapter: nn.Module, scale: float, learned: bool = False):
        super().__init__()
        self.adapter = adapter
        self.scale = nn.Parameter(torch.tensor(scale)) if learned else scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.adapter(x)  # (..., hidden)


@dataclass
class ScaledParallelAdapter(ParallelAdapter):
    """Parallel adapters times `scale`; with `learn_scale` each adapter trains its own."""

    scale: float = 4.0
    learn_scale: bool = False

    name = "scaled_parallel_adapter"
    learning_rate_grid = (1e-2, 3e-2, 6e-2, 1e-1)  # a scale of 4 wants smaller steps

    def __post_init__(self):
        super().__post_init__()
        if self.scale <= 0:
            raise UserError(f"The adapter's scale must be above 0, not {self.scale}: at 0 it does nothing.")

    def new_adapter(self, hidden_size: int) -> nn.Module:
        return Scaled(super().new_adapter(hidden_size), float(self.scale), self.learn_scale)
