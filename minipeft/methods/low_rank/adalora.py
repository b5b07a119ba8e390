"""AdaLoRA: give each matrix the rank it needs, by pruning what matters least while training.

    y = W x + b + (alpha / rank) P diag(lam) Q x     P: (out, rank)   lam: (rank,)   Q: (rank, in)
    loss + gamma * mean over all P and Q of |P^T P - I|^2 and |Q Q^T - I|^2

The penalty keeps P and Q near orthogonal: lam plays the singular values without an SVD. The paper
sums (averaged=False); the released code averages, unsquared. Every `interval` steps the best
triplets (lam_i, column i of P, row i of Q) of all layers keep their lam, as many as the budget
allows (rank_budget.py). The other lam become 0; their vectors stay, and may bring them back until
the choice is fixed. We scale by the starting rank, as peft, the released code by the current one;
its last choice, at t_f, counts one gradient less.
Start: P and Q ~ N(0, 0.02), lam = 0, so the first forward pass is the base model's.
Trainable: rank * (in + out + 1) parameters per adapted weight.
Paper: Zhang et al. 2023, arXiv:2303.10512.
Lesson: lessons/16_adalora. Test: tests/methods/low_rank/test_adalora.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod
from minipeft.methods.low_rank import rank_budget
from minipeft.methods.strict_loading import load_strictly


class AdaLoRALinear(nn.Module):
    """A frozen linear layer plus an update in the form of a singular value decomposition."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear = linear
        self.scaling = alpha / rank
        self.P = nn.Parameter(linear.weight.new_empty(linear.out_features, rank))
        self.lam = nn.Parameter(linear.weight.new_zeros(rank))
        self.Q = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        nn.init.normal_(self.P, std=0.02)
        nn.init.normal_(self.Q, std=0.02)
        self.register_buffer("kept", torch.ones_like(self.lam, dtype=torch.bool), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.scaling * self.lam * (x @ self.Q.T)  # (..., rank)
        return self.linear(x) + low @ self.P.T  # (..., out)

    def update(self) -> torch.Tensor:
        """What merging adds to W, (out, in)."""
        return self.scaling * (self.P * self.lam) @ self.Q

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias

    def gram_errors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """P^T P - I and Q Q^T - I, (rank, rank): zero where the vectors are orthonormal."""
        identity = torch.eye(len(self.lam), dtype=self.P.dtype, device=self.P.device)
        return self.P.T @ self.P - identity, self.Q @ self.Q.T - identity


@dataclass
class AdaLoRA(LinearMethod):
    """AdaLoRA on the layers that `targets` name, from `rank` down to `target_rank` on average."""

    rank: int = 12
    target_rank: int = 8
    alpha: float = 24.0
    targets: Sequence[str] = ("*blocks.*",)
    orthogonality: float = 0.1  # gamma
    averaged: bool = True  # over all P and Q, else summed
    warmup: float = 0.1  # share of the steps before the first pruning
    final: float = 0.3  # share of the steps after the last pruning
    interval: int = 10
    beta1: float = 0.85
    beta2: float = 0.85
    criterion: str = "sensitivity_uncertainty"
    name = "adalora"
    suggested_learning_rate = 2e-2
    learning_rate_grid = (5e-3, 1e-2, 2e-2, 4e-2)
    adds = True

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.target_rank <= self.rank:
            raise UserError(f"target_rank must be from 1 to {self.rank}, not {self.target_rank}.")
        if self.alpha <= 0 or self.orthogonality < 0:
            raise UserError("AdaLoRA's alpha must be above 0, and orthogonality not below it.")
        self.schedule = rank_budget.Schedule(self.warmup, self.final, self.interval)
        self.importance = rank_budget.Importance(self.beta1, self.beta2, self.criterion)

    def install(self, model: nn.Module) -> None:
        self.importance = rank_budget.Importance(self.beta1, self.beta2, self.criterion)
        super().install(model)

    def wrap(self, linear: nn.Linear) -> AdaLoRALinear:
        return AdaLoRALinear(linear, self.rank, self.alpha)

    def penalty(self) -> torch.Tensor:
        errors = [error for _, layer in self.layers() for error in layer.gram_errors()]
        number = len(errors) if self.averaged else 1
        return self.orthogonality * sum(error.float().square().sum() for error in errors) / number

    def after_backward(self, step: int, total: int) -> None:
        if not self.settled(step, total):
            self.importance.update(self.named_parameters())

    @torch.no_grad()
    def after_step(self, step: int, total: int) -> None:
        done = step + 1
        layers = self.layers()
        prunes = self.schedule.prunes(done, total)
        if prunes:
            first, last = self.rank * len(layers), self.target_rank * len(layers)
            budget = self.schedule.budget(done, total, first, last)
            rank_budget.keep_best(layers, self.importance, budget)
        if prunes or self.settled(done, total):
            for _, layer in layers:
                layer.lam.masked_fill_(~layer.kept, 0.0)

    def settled(self, step: int, total: int) -> bool:
        return step >= self.schedule.phases(total)[1]

    def ranks(self) -> dict[str, int]:
        """How many triplets are alive in each layer, by its path."""
        return {path: int(rank_budget.alive(layer).sum()) for path, layer in self.layers()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return rank_budget.without_pruned(self.layers())

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        full = rank_budget.with_pruned(self.layers(), state)
        load_strictly(self.named_parameters(), full, self.name)
        for path, layer in self.layers():
            layer.kept.copy_((layer.lam != 0) | (state[f"{path}.P"].shape[1] == self.rank))

    def training_state(self) -> dict[str, torch.Tensor]:
        """All triplets, the choice, and the moving averages that the next choice rests on."""
        choice = rank_budget.choice(self.layers())
        everything = self.named_parameters() | choice | self.importance.averages
        return {name: tensor.detach().clone() for name, tensor in everything.items()}

    def load_training_state(self, state: dict[str, torch.Tensor]) -> None:
        own = self.named_parameters() | rank_budget.choice(self.layers())
        load_strictly(own, self.importance.take(state), self.name)
