"""Houlsby adapters: a small bottleneck network behind every frozen sublayer.

    A(x) = x + W_up gelu(W_down x + b_down) + b_up     W_down: (bottleneck, hidden)   W_up: (hidden, bottleneck)
    h <- h + A(sublayer(norm(h)))                      the adapter stands before the residual sum

The paper's BERT normalises after each residual sum; T5 v1.1, GPT-2 and Llama normalise before each sublayer.
Start: weights ~ N(0, 1e-3) cut at two standard deviations, as the released code (the paper says 1e-2), biases 0: the
first forward pass is nearly, not exactly, the base model's.
Trainable, at width d and bottleneck m: 2 d m + d + m per adapter, and every normalisation layer. The paper's BERT has
two sublayers per layer; so has a layer of GPT-2 and Llama (2 L adapters). A T5 decoder layer has a third,
cross-attention, which gets an adapter too (2 E + 3 D adapters).
Paper: Houlsby et al. 2019, arXiv:1902.00751.
Lesson: lessons/09_adapters. Test: tests/methods/adapters/test_houlsby.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.methods.selective.norm_tuning import norm_parameters
from minipeft.methods.targets import find_modules, matches

SUBLAYERS = ("attention", "cross_attention", "feed_forward")


class Adapter(nn.Module):
    """A bottleneck network with a skip connection; `std` small makes it start near the identity."""

    def __init__(self, hidden_size: int, bottleneck: int, std=1e-3, device=None, dtype=None):
        super().__init__()
        self.down = nn.Linear(hidden_size, bottleneck, device=device, dtype=dtype)
        self.up = nn.Linear(bottleneck, hidden_size, device=device, dtype=dtype)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.zeros_(linear.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.gelu(self.down(x))  # (..., bottleneck)
        return x + self.up(inner)  # (..., hidden)


class AdaptedSublayer(nn.Module):
    """A frozen sublayer whose output goes through an adapter."""

    def __init__(self, sublayer: nn.Module, adapter: nn.Module):
        super().__init__()
        self.sublayer = sublayer
        self.adapter = adapter

    def forward(self, *inputs, **options) -> torch.Tensor:
        return self.adapter(self.sublayer(*inputs, **options))


@dataclass
class Houlsby(Method):
    """An adapter of size `bottleneck` behind each sublayer; the norms are trained too."""

    bottleneck: int = 16
    std: float = 1e-3

    name = "houlsby"
    needs_language_model = True
    suggested_learning_rate = 3e-3
    learning_rate_grid = (3e-4, 1e-3, 3e-3, 6e-3)
    starts_at_identity = False
    why_no_merge = "an adapter is not linear, so no weight of the model can hold it. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.bottleneck < 1:
            raise UserError(f"An adapter's bottleneck must be at least 1, not {self.bottleneck}.")
        if self.std <= 0:
            raise UserError(f"An adapter's std must be above 0, not {self.std}: at 0 it would get no gradient.")

    def install(self, model: nn.Module) -> None:
        self.train_in_place(norm_parameters(model))
        paths = [path for path, _ in model.named_modules()]
        present = [name for name in SUBLAYERS if any(matches(path, name) for path in paths)]
        self.replace(present or SUBLAYERS, self.wrap)

    def wrap(self, sublayer: nn.Module) -> AdaptedSublayer:
        """The sublayer with a new adapter, in the type and on the device of its last linear layer."""
        _, last = find_modules(sublayer, ["*"], nn.Linear)[-1]
        like = last.weight
        adapter = Adapter(last.out_features, self.bottleneck, self.std, like.device, like.dtype)
        return AdaptedSublayer(sublayer, adapter)
