"""LoRA: learn a low-rank update of a frozen weight.

    y = W x + b + (alpha / rank) * B A x        A: (rank, in)   B: (out, rank)   W: (out, in)

Start: A ~ uniform in +-1/sqrt(in) (Kaiming; the paper says Gaussian, the released code does this),
B = 0, so the first forward pass is the base model's. A and B take the base's type, 16 bits too,
where peft keeps them in float32.
Trainable: rank * (in + out) parameters per adapted weight.
Paper: Hu et al. 2021, arXiv:2106.09685.
Lesson: lessons/13_lora. Test: tests/methods/low_rank/test_lora.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod, as_linear
from minipeft.methods.low_rank.rank_pattern import ranks_of_layers


class LoRALinear(nn.Module):
    """A frozen linear layer plus a trained update; dropout acts on the update's input only."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0):
        super().__init__()
        self.linear = linear
        self.scaling = alpha / rank
        self.A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)  # fan-in is `in`: A's rows are read by x
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.scaling * (self.dropout(x) @ self.A.T)  # (..., rank)
        return self.linear(x) + low @ self.B.T  # (..., out)

    def update(self) -> torch.Tensor:
        """What merging adds to W, (out, in)."""
        return self.scaling * (self.B @ self.A)

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with; some models read it, torch's attention too."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class LoRA(LinearMethod):
    """LoRA on the linear layers that `targets` name: by default all of attention and feed-forward.

    The paper adapts attention alone, mostly ("query", "value"); Dettmers et al. 2023
    (arXiv:2305.14314) needed all linear layers to match full tuning. `alpha` sets the update's size
    apart from the rank. `rank_pattern` gives some of the layers another rank, {"value": 2,
    "decoder.blocks.0.*": 4}; of several names for a layer the last one counts.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: Sequence[str] = ("*blocks.*",)
    dropout: float = 0.0
    rank_pattern: Mapping[str, int] = field(default_factory=dict)

    name = "lora"
    suggested_learning_rate = 5e-3
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 2e-2)
    adds = True

    def __post_init__(self):
        super().__post_init__()
        lowest = min([self.rank, *self.rank_pattern.values()])
        if lowest < 1:
            raise UserError(f"LoRA's rank must be at least 1, not {lowest}.")
        if self.alpha <= 0:
            raise UserError(
                f"LoRA's alpha must be above 0, not {self.alpha}: at 0 the update does nothing."
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"LoRA's dropout must be from 0 to below 1, not {self.dropout}.")

    def install(self, model: nn.Module) -> None:
        ranks = ranks_of_layers(model, self.targets, self.rank, self.rank_pattern)
        self.replace(self.targets, lambda layer: self.wrap(as_linear(layer), ranks[layer]))

    def wrap(self, linear: nn.Linear, rank: int) -> LoRALinear:
        return LoRALinear(linear, rank, self.alpha, self.dropout)
