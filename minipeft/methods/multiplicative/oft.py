"""OFT: turn the weight instead of adding to it, so that angles between neurons stay.

    y = W R^T x + b     R = (I + Q)(I - Q)^-1     Q^T = -Q     W: (out, in)   R, Q: (in, in)

Each neuron, a row w of W, becomes R w: all are turned alike, so every length, every angle between
two of them and with them the hyperspherical energy is kept. (The paper writes neurons as columns,
and therefore R W.) Cayley's formula makes R orthogonal for every skew Q. R is block-diagonal:
blocks of `block_size` inputs turn among themselves. The bound on |Q| that makes it the paper's COFT
is left out.
Start: Q = 0, so R is exactly I and the first forward pass the base model's.
Trainable: in / block_size * block_size (block_size - 1) / 2 parameters per adapted weight, Q's
upper triangles.
Paper: Qiu et al. 2023, arXiv:2306.07280.
Lesson: lessons/17_vera_and_oft. Test: tests/methods/multiplicative/test_oft.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod, as_linear, linear_layers


class OFTLinear(nn.Module):
    """A frozen linear layer that reads its input turned by a block-diagonal orthogonal matrix."""

    def __init__(self, linear: nn.Linear, block_size: int):
        super().__init__()
        self.linear = linear
        self.block_size = block_size
        blocks = linear.in_features // block_size
        entries = block_size * (block_size - 1) // 2
        self.skew = nn.Parameter(linear.weight.new_zeros(blocks, entries))  # Q above its diagonal

    def rotation(self) -> torch.Tensor:
        """The blocks of R, (blocks, block_size, block_size), in float32 at least, to be solved."""
        size = self.block_size
        skew = self.skew.to(torch.promote_types(self.skew.dtype, torch.float32))
        above = torch.ones(size, size, dtype=torch.bool, device=skew.device).triu(1)
        upper = skew.new_zeros(len(skew), size, size).masked_scatter(above, skew)  # row by row
        Q = upper - upper.mT
        identity = torch.eye(size, dtype=skew.dtype, device=skew.device)
        return torch.linalg.solve(identity - Q, identity + Q)  # the factors commute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blocks = x.unflatten(-1, (-1, self.block_size))  # (..., blocks, block_size)
        # x holds rows, so x R stands for R^T x.
        turned = torch.einsum("...nb, nbc -> ...nc", blocks, self.rotation().to(x.dtype))
        return self.linear(turned.flatten(-2))  # (..., out)

    @property
    def weight(self) -> torch.Tensor:
        """W R^T, (out, in), what this layer computes with, and what merging writes into W."""
        weight = self.linear.weight
        rotation = self.rotation()
        rows = weight.to(rotation.dtype).unflatten(1, (-1, self.block_size))
        # rows: (out, blocks, block_size)
        turned = torch.einsum("onb, ncb -> onc", rows, rotation)
        return turned.flatten(1).to(weight.dtype)

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class OFT(LinearMethod):
    """OFT on the linear layers that `targets` name; `block_size` divides the inputs of each."""

    block_size: int = 8
    targets: Sequence[str] = ("*blocks.*",)

    name = "oft"
    suggested_learning_rate = 5e-3
    learning_rate_grid = (5e-3, 1e-2, 2e-2, 4e-2)

    def __post_init__(self):
        super().__post_init__()
        if self.block_size < 2:
            raise UserError(
                f"OFT's block_size must be at least 2, not {self.block_size}: "
                "one input alone cannot be turned."
            )

    def install(self, model: nn.Module) -> None:
        layers = linear_layers(model, self.targets)
        inputs = {path: as_linear(layer).in_features for path, layer in layers}
        for path, size in inputs.items():
            if size % self.block_size:
                largest = gcd(*inputs.values())
                raise UserError(
                    f"OFT's block_size {self.block_size} does not divide the {size} inputs of "
                    f"{path}: the largest that divides those of all targets is {largest}. "
                    "Choose another, or fewer targets."
                )
        super().install(model)

    def wrap(self, linear: nn.Linear) -> OFTLinear:
        return OFTLinear(linear, self.block_size)
