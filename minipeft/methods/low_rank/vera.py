"""VeRA: frozen random matrices, shared by all layers, and two trained vectors that scale them.

    y = W x + b_W + Lam_b B Lam_d A x    Lam_d = diag(d): (rank, rank)   Lam_b = diag(b): (out, out)

    A: (rank, in)   B: (out, rank)   W: (out, in)     A and B frozen

One A and one B serve every adapted layer. They are made for the largest one; a layer with fewer
inputs uses A's first columns, one with fewer outputs B's first rows (as peft does). They come from
`seed` alone, drawn on the CPU in float32, so a file holds d and b only.
Start: A ~ uniform in +-sqrt(6/in), B ~ uniform in +-sqrt(6/rank) (Kaiming), d = 0.1, b = 0, so the
first forward pass is the base model's.
Trainable: rank + out parameters per adapted weight. The rank costs time and memory but hardly any
trained parameters.
Paper: Kopiczko et al. 2023, arXiv:2310.11454.
Lesson: lessons/17_vera_and_oft. Test: tests/methods/low_rank/test_vera.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod, as_linear, linear_layers


class SharedProjections(nn.Module):
    """The frozen random A and B, the same for the same seed on every device."""

    def __init__(self, in_features: int, out_features: int, rank: int, seed: int, device="cpu"):
        super().__init__()
        generator = torch.Generator("cpu").manual_seed(seed)
        for name, shape in (("A", (rank, in_features)), ("B", (out_features, rank))):
            bound = (6 / shape[1]) ** 0.5  # shape[1]: how many inputs each row has
            matrix = torch.empty(shape, dtype=torch.float32, device=device)
            matrix.uniform_(-bound, bound, generator=generator)
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, in_features: int, out_features: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A: (rank, in) and B: (out, rank), cut to a layer's size."""
        return self.A[:, :in_features], self.B[:out_features]


class VeRALinear(nn.Module):
    """A frozen linear layer plus the shared random update, scaled by this layer's own vectors."""

    def __init__(self, linear: nn.Linear, shared: nn.Module):
        super().__init__()
        self.linear = linear
        self.shared = shared
        self.d = nn.Parameter(linear.weight.new_full((len(shared.A),), 0.1))  # (rank,)
        self.b = nn.Parameter(linear.weight.new_zeros(linear.out_features))  # (out,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        A, B = self.shared(self.linear.in_features, self.linear.out_features)
        low = self.d * (x @ A.T)  # (..., rank)
        return self.linear(x) + self.b * (low @ B.T)  # (..., out)

    def update(self) -> torch.Tensor:
        """What merging adds to W, (out, in)."""
        A, B = self.shared(self.linear.in_features, self.linear.out_features)
        return (self.b[:, None] * B) @ (self.d[:, None] * A)

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class VeRA(LinearMethod):
    """VeRA on the linear layers that `targets` name, by default those of every block."""

    rank: int = 64
    targets: Sequence[str] = ("*blocks.*",)
    seed: int = 0

    name = "vera"
    suggested_learning_rate = 6e-2
    learning_rate_grid = (3e-2, 6e-2, 1e-1, 2e-1)
    adds = True

    def __post_init__(self):
        super().__post_init__()
        if self.rank < 1:
            raise UserError(f"VeRA's rank must be at least 1, not {self.rank}.")

    def install(self, model: nn.Module) -> None:
        layers = [as_linear(layer) for _, layer in linear_layers(model, self.targets)]
        most_in = max(layer.in_features for layer in layers)
        most_out = max(layer.out_features for layer in layers)
        # A hollow model has sizes and no values, and takes none.
        device = "meta" if layers[0].weight.is_meta else "cpu"
        shared = SharedProjections(most_in, most_out, self.rank, self.seed, device)
        self.shared = shared.to(layers[0].weight)
        super().install(model)

    def wrap(self, linear: nn.Linear) -> VeRALinear:
        return VeRALinear(linear, self.shared)
