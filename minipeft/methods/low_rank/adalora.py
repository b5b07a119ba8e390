"""AdaLoRA: give each matrix the rank it needs, by pruning the least important parts of all updates while training.

    y = W x + b + (alpha / rank) P diag(lam) Q x     P: (out, rank)   lam: (rank,)   Q: (rank, in)   W: (out, in)
    loss + gamma * sum over matrices of |P^T P - I|^2 + |Q Q^T - I|^2    squared Frobenius norms (released code: mean)

The penalty keeps P and Q near orthogonal, so that lam plays the singular values without an SVD. Every `interval` steps
the most important triplets (lam_i, column i of P, row i of Q) of all layers together keep their lam, as many as the
budget allows (rank_budget.py); the other lam are set to 0, their vectors stay, and the next steps may bring them back,
until the choice is fixed. The scaling keeps the starting rank, as peft's; the released code takes the current one.
Start: P and Q ~ N(0, 0.02), lam = 0, so the first forward pass is the base model's.
Trainable: rank * (in + out + 1) numbers per adapted weight. Stored: lam, and P and Q of the triplets left.
Paper: Zhang et al. 2023, arXiv:2303.10512. Lesson: lessons/16_adalora.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.rank_budget import Importance, Schedule
from minipeft.methods.low_rank.rank_pruning import RankPruning


class AdaLoRALinear(nn.Module):
    """A frozen linear layer plus an update in the form of a singular value decomposition."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear, self.scaling = linear, alpha / rank
        self.P = nn.Parameter(linear.weight.new_empty(linear.out_features, rank))
        self.values = nn.Parameter(linear.weight.new_zeros(rank))  # lam
        self.Q = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        nn.init.normal_(self.P, std=0.02)
        nn.init.normal_(self.Q, std=0.02)
        self.register_buffer("kept", torch.ones_like(self.values, dtype=torch.bool), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.scaling * self.values * (x @ self.Q.T)  # (..., rank)
        return self.linear(x) + low @ self.P.T  # (..., out)

    def update(self) -> torch.Tensor:
        """What merging adds to W, (out, in)."""
        return self.scaling * (self.P * self.values) @ self.Q

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias

    def gram_errors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """P^T P - I and Q Q^T - I, (rank, rank): zero where the vectors are orthonormal."""
        identity = torch.eye(len(self.values), dtype=self.P.dtype, device=self.P.device)
        return self.P.T @ self.P - identity, self.Q @ self.Q.T - identity


@dataclass
class AdaLoRA(RankPruning):
    """AdaLoRA on the linear layers that `targets` name, from `rank` each down to `target_rank` on average.

    `warmup` and `final` are the shares of steps before the first pruning and after the last; `orthogonality` is gamma.
    """

    rank: int = 12
    target_rank: int = 8
    alpha: float = 24.0
    targets: Sequence[str] = ("*blocks.*",)
    orthogonality: float = 0.1
    warmup: float = 0.1
    final: float = 0.3
    interval: int = 10
    beta1: float = 0.85
    beta2: float = 0.85
    criterion: str = "sensitivity_uncertainty"

    name = "adalora"
    suggested_learning_rate = 2e-2
    learning_rate_grid = (5e-3, 1e-2, 2e-2, 4e-2)
    layer_kind = AdaLoRALinear

    def __post_init__(self):
        if not 1 <= self.target_rank <= self.rank:
            raise UserError(f"target_rank must be from 1 to the starting rank {self.rank}, not {self.target_rank}.")
        if self.alpha <= 0:
            raise UserError(f"AdaLoRA's alpha must be above 0, not {self.alpha}: at 0 the update does nothing.")
        self.schedule = Schedule(self.warmup, self.final, self.interval)
        self.importance = Importance(self.beta1, self.beta2, self.criterion)

    def install(self, model: nn.Module) -> None:
        self.importance = Importance(self.beta1, self.beta2, self.criterion)
        self.replace_linears(self.targets, lambda linear: AdaLoRALinear(linear, self.rank, self.alpha))

    def penalty(self) -> Tensor:
        errors = [error for _, layer in self.layers() for error in layer.gram_errors()]
        return self.orthogonality * sum(error.float().square().sum() for error in errors)
