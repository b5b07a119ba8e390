"""PiSSA: LoRA that starts from the strongest directions of the weight, not from nothing.

    W ~ U S V^T, its first `rank` singular values        s = alpha / rank
    A_0 = sqrt(S / s) V^T: (rank, in)        B_0 = U sqrt(S / s): (out, rank)
    y = (W - s B_0 A_0) x + b + s B A x   =   W x + b + s (B A - B_0 A_0) x

The paper trains A and B on the frozen (perhaps quantized) residual W - s B_0 A_0; the right-hand
form leaves W alone.
Start: A = A_0, B = B_0, so what is added is exactly 0 and the first forward pass the base model's.
A_0 and B_0 are not stored but worked out again from W: on another machine they may come out turned,
and their product, which is all that counts, the same to rounding (unless singular values rank and
rank + 1 are equal). From a merged W there is no way back.
Trainable: rank * (in + out) parameters per adapted weight.
Paper: Meng et al. 2024, arXiv:2404.02948.
Lesson: lessons/15_lora_family. Test: tests/methods/low_rank/test_pissa.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod, as_linear, linear_layers


class PiSSALinear(nn.Module):
    """A linear layer whose strongest `rank` directions are trained; the other ones stay frozen."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear = linear
        self.scaling = alpha / rank
        weight = linear.weight.detach()
        wide = torch.promote_types(weight.dtype, torch.float32)  # there is no SVD in 16 bit
        exact = weight.to(wide)
        U, S, V_T = torch.linalg.svd(exact, full_matrices=False)
        root = (S[:rank] / self.scaling).sqrt()  # (rank,)
        self.register_buffer("A_0", (root[:, None] * V_T[:rank]).to(weight.dtype), persistent=False)
        self.register_buffer("B_0", (U[:, :rank] * root).to(weight.dtype), persistent=False)
        self.A = nn.Parameter(self.A_0.clone())
        self.B = nn.Parameter(self.B_0.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        trained = (x @ self.A.T) @ self.B.T  # (..., out)
        start = (x @ self.A_0.T) @ self.B_0.T  # (..., out)
        return self.linear(x) + self.scaling * (trained - start)

    def update(self) -> torch.Tensor:
        """What merging adds to W, (out, in)."""
        return self.scaling * (self.B @ self.A - self.B_0 @ self.A_0)

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class PiSSA(LinearMethod):
    """PiSSA on the linear layers that `targets` name; `alpha` sets the sizes of A and B alone."""

    rank: int = 8
    alpha: float = 8.0
    targets: Sequence[str] = ("*blocks.*",)

    name = "pissa"
    suggested_learning_rate = 1e-2
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 2e-2)

    def __post_init__(self):
        super().__post_init__()
        for name in ("rank", "alpha"):
            if getattr(self, name) <= 0:
                raise UserError(f"PiSSA's {name} must be above 0, not {getattr(self, name)}.")

    def install(self, model: nn.Module) -> None:
        for path, layer in linear_layers(model, self.targets):
            most = min(as_linear(layer).weight.shape)
            if self.rank > most:
                raise UserError(
                    f"{path} has {most} singular values: PiSSA's rank can be {most} at most."
                )
        super().install(model)

    def wrap(self, linear: nn.Linear) -> PiSSALinear:
        return PiSSALinear(linear, self.rank, self.alpha)
