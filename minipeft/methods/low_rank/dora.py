"""DoRA: learn the length of each output's weights apart from their direction, by low rank.

    V = W + (alpha / rank) B A     y = (m / |V|) (V x) + b     |V|, m: (out,), one length per row

    A: (rank, in)   B: (out, rank)   W: (out, in)

|V| counts as a constant in the backward pass: cheaper, and not quite the gradient of the equation.
Start: A uniform in +-1/sqrt(in), B = 0, m = |W|, so m / |V| is exactly 1 and the first forward pass
the base model's.
Trainable: rank * (in + out) + out parameters per adapted weight. V is computed anew in every
forward pass, which makes a step slower than LoRA's.
Paper: Liu et al. 2024, arXiv:2402.09353.
Lesson: lessons/15_lora_family. Test: tests/methods/low_rank/test_dora.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod


class DoRALinear(nn.Module):
    """A frozen linear layer whose rows are turned by a low-rank update and get a trained length."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear = linear
        self.scaling = alpha / rank
        self.A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)  # fan-in is `in`
        self.magnitude = nn.Parameter(self.lengths())  # (out,)

    def direction(self) -> torch.Tensor:
        """V, (out, in)."""
        return self.linear.weight + self.scaling * (self.B @ self.A)

    @torch.no_grad()
    def lengths(self) -> torch.Tensor:
        """|V|, (out,), without gradient; for a row of zeros the smallest length to divide by."""
        lengths = torch.linalg.vector_norm(self.direction(), dim=1)
        return lengths.clamp_min(torch.finfo(lengths.dtype).tiny)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base = self.linear(x)  # (..., out)
        scale = self.magnitude / self.lengths()  # m / |V|, (out,)
        product = base if self.linear.bias is None else base - self.linear.bias  # W x
        low = self.scaling * (x @ self.A.T) @ self.B.T  # (..., out)
        return base + (scale - 1) * product + scale * low  # what is added is exactly 0 at the start

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with, and what merging writes into W."""
        return (self.magnitude / self.lengths())[:, None] * self.direction()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class DoRA(LinearMethod):
    """DoRA on the linear layers that `targets` name, by default those of every block."""

    rank: int = 8
    alpha: float = 16.0
    targets: Sequence[str] = ("*blocks.*",)

    name = "dora"
    suggested_learning_rate = 5e-3
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 2e-2)

    def __post_init__(self):
        super().__post_init__()
        if self.rank < 1:
            raise UserError(f"DoRA's rank must be at least 1, not {self.rank}.")
        if self.alpha <= 0:
            raise UserError(
                f"DoRA's alpha must be above 0, not {self.alpha}: at 0 the direction cannot move."
            )

    def wrap(self, linear: nn.Linear) -> DoRALinear:
        return DoRALinear(linear, self.rank, self.alpha)
