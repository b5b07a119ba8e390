"""Parallel adapters: a small bottleneck network beside a frozen sublayer, not behind it.

    h <- h + sublayer(x) + W_up relu(W_down x + b_down) + b_up
    W_down: (bottleneck, hidden)   W_up: (hidden, bottleneck)

x is what the frozen sublayer itself reads. Our blocks normalise before the sublayer, so here x = norm(h); the paper's
BART normalises after the sum, so there x is h itself.
Start: W_down ~ uniform in +-1/sqrt(hidden) (Kaiming), W_up and the biases 0, as the released code: the first forward
pass is the base model's.
Trainable, at width d and bottleneck m: 2 d m + d + m per adapter. On the feed-forward layers there is one in every
layer; on attention a T5 decoder layer has two, for attention and cross-attention.
Paper: He et al. 2021, arXiv:2110.04366.
Lesson: lessons/11_unified_view. Test: tests/methods/adapters/test_parallel_adapter.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.methods.targets import find_modules


class Bottleneck(nn.Module):
    """Down, ReLU, up: no skip connection, and zero at the start."""

    def __init__(self, hidden_size: int, bottleneck: int, device=None, dtype=None):
        super().__init__()
        self.down = nn.Linear(hidden_size, bottleneck, device=device, dtype=dtype)
        self.up = nn.Linear(bottleneck, hidden_size, device=device, dtype=dtype)
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.down(x))  # (..., bottleneck)
        return self.up(inner)  # (..., hidden)


class ParallelSublayer(nn.Module):
    """A frozen sublayer and an adapter that read the same input; their outputs are added."""

    def __init__(self, sublayer: nn.Module, adapter: nn.Module):
        super().__init__()
        self.sublayer = sublayer
        self.adapter = adapter

    def forward(self, x: torch.Tensor, *others, **options) -> torch.Tensor:
        """x: (batch, length, hidden); the others (context, biases, caches) the sublayer reads."""
        return self.sublayer(x, *others, **options) + self.adapter(x)


@dataclass
class ParallelAdapter(Method):
    """An adapter of size `bottleneck` beside each sublayer of one kind; `place` is "feed_forward" or "attention"."""

    bottleneck: int = 16
    place: str = "feed_forward"

    name = "parallel_adapter"
    needs_language_model = True
    suggested_learning_rate = 3e-2
    learning_rate_grid = (3e-2, 6e-2, 1e-1, 2e-1)
    why_no_merge = "an adapter is not linear, so no weight of the model can hold it. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.bottleneck < 1:
            raise UserError(f"An adapter's bottleneck must be at least 1, not {self.bottleneck}.")
        if self.place not in ("feed_forward", "attention"):
            raise UserError(f"An adapter's place must be 'feed_forward' or 'attention', not {self.place!r}.")

    def install(self, model: nn.Module) -> None:
        self.replace([f"*{self.place}"], self.wrap)  # "*attention" is cross_attention too

    def wrap(self, sublayer: nn.Module) -> ParallelSublayer:
        """The sublayer with a new adapter, in the type and on the device of its last linear layer."""
        _, last = find_modules(sublayer, ["*"], nn.Linear)[-1]
        adapter = self.new_adapter(last.out_features)
        return ParallelSublayer(sublayer, adapter.to(last.weight.device, last.weight.dtype))

    def new_adapter(self, hidden_size: int) -> nn.Module:
        return Bottleneck(hidden_size, self.bottleneck)
