"""Pfeiffer adapters: one small bottleneck network in each layer, behind the frozen feed-forward sublayer.

    u = feed_forward(norm(h))
    A(u) = u + W_up relu(W_down u + b_down) + b_up     W_down: (bottleneck, hidden)   W_up: (hidden, bottleneck)
    h <- h + A(u)                                      before the residual sum; the norms stay frozen

The paper's BERT normalises after each sum: there the network reads LN(u + h), the skip connection carries u, and the
same frozen LN stands behind the second sum as well. T5 v1.1, GPT-2 and Llama normalise before each sublayer and have no
norm behind the sum, so here the network reads u itself, and no norm is used twice. The rest is the same.
Start: weights ~ N(0, 0.02), biases 0: the first forward pass is nearly, not exactly, the base model's.
Trainable, at width d and bottleneck m: 2 d m + d + m per layer (E + D of T5, L of others), behind attention E + 2 D of
T5; the paper's m is d / 16.
Paper: Pfeiffer et al. 2021, arXiv:2005.00247, appendix.
Lesson: lessons/09_adapters. Test: tests/methods/adapters/test_pfeiffer.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.houlsby import AdaptedSublayer
from minipeft.methods.method import Method
from minipeft.methods.targets import find_modules


class PfeifferAdapter(nn.Module):
    """A bottleneck network with a skip connection; `update` is what it adds."""

    def __init__(self, hidden_size: int, bottleneck: int, std=0.02, device=None, dtype=None):
        super().__init__()
        self.down = nn.Linear(hidden_size, bottleneck, device=device, dtype=dtype)
        self.up = nn.Linear(bottleneck, hidden_size, device=device, dtype=dtype)
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)

    def update(self, u: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.relu(self.down(u))  # (..., bottleneck)
        return self.up(inner)  # (..., hidden)

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        return u + self.update(u)  # (..., hidden)


@dataclass
class Pfeiffer(Method):
    """An adapter of size `bottleneck` behind each feed-forward sublayer; nothing else is trained.

    place: "feed_forward", as the paper has it, or "attention", which a T5 decoder layer has twice.
    """

    bottleneck: int = 16
    std: float = 0.02
    place: str = "feed_forward"

    name = "pfeiffer"
    needs_language_model = True
    suggested_learning_rate = 1e-2
    learning_rate_grid = (3e-3, 1e-2, 2e-2, 4e-2)
    starts_at_identity = False
    why_no_merge = "an adapter is not linear, so no weight of the model can hold it. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.bottleneck < 1:
            raise UserError(f"An adapter's bottleneck must be at least 1, not {self.bottleneck}.")
        if self.std <= 0:
            raise UserError(f"An adapter's std must be above 0, not {self.std}: at 0 it would get no gradient.")
        if self.place not in ("feed_forward", "attention"):
            raise UserError(f"An adapter's place must be 'feed_forward' or 'attention', not {self.place!r}.")

    def install(self, model: nn.Module) -> None:
        self.replace([f"*{self.place}"], self.wrap)  # "*attention" is cross_attention too

    def wrap(self, sublayer: nn.Module) -> nn.Module:
        """The sublayer with a new adapter behind it."""
        return AdaptedSublayer(sublayer, self.new_adapter(sublayer))

    def new_adapter(self, sublayer: nn.Module) -> PfeifferAdapter:
        """An adapter in the width and type and on the device of the sublayer's last linear layer."""
        _, last = find_modules(sublayer, ["*"], nn.Linear)[-1]
        return PfeifferAdapter(last.out_features, self.bottleneck, self.std, last.weight.device, last.weight.dtype)
