"""(IA)3: learn vectors that scale keys, values and the feed-forward layers' inner activations.

    k = l_k * (W_k x + b_k)    v = l_v * (W_v x + b_v)    y = W_down (l_ff * inner) + b_down
    l_k, l_v: (heads * head,)   l_ff: (feed_forward,)   * multiplies entry by entry

Start: all vectors 1, so the first forward pass is the base model's.
Trainable, with a = heads (of keys and values) * head size and feed-forward size f: T5 of E encoder
and D decoder layers E (2 a + f) + D (4 a + f), cross-attention included; GPT-2 or Llama of L layers
L (2 a + f).
The paper trains with Adafactor; the rates here are for AdamW. Its extra loss terms are left out.
Paper: Liu et al. 2022, arXiv:2205.05638.
Lesson: lessons/12_ia3. Test: tests/methods/multiplicative/test_ia3.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.methods.linear_method import LinearMethod, as_linear, linear_layers


class ScaledOutput(nn.Module):
    """A frozen linear layer whose output, bias included, is scaled, row by row of its weight."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.linear = linear
        self.scale = nn.Parameter(linear.weight.new_ones(linear.out_features))  # l_k or l_v

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.scale  # (..., out)

    @property
    def weight(self) -> torch.Tensor:
        return self.linear.weight * self.scale[:, None]  # (out, in) * (out, 1)

    @property
    def bias(self) -> torch.Tensor | None:
        return None if self.linear.bias is None else self.linear.bias * self.scale


class ScaledInput(nn.Module):
    """A frozen linear layer whose input is scaled, column by column of its weight, bias apart."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.linear = linear
        self.scale = nn.Parameter(linear.weight.new_ones(linear.in_features))  # l_ff

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x * self.scale)  # (..., out)

    @property
    def weight(self) -> torch.Tensor:
        return self.linear.weight * self.scale  # (out, in) * (in,)

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class IA3(LinearMethod):
    """(IA)3: the linear layers in `targets` get their output scaled, those in
    `feed_forward_targets` their input.

    A layer that both name gets its input scaled.
    """

    targets: Sequence[str] = ("key", "value")
    feed_forward_targets: Sequence[str] = ("down",)

    name = "ia3"
    suggested_learning_rate = 6e-2
    learning_rate_grid = (3e-2, 6e-2, 1e-1, 2e-1)

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.targets, str):
            self.targets = (self.targets,)
        if isinstance(self.feed_forward_targets, str):
            self.feed_forward_targets = (self.feed_forward_targets,)

    def install(self, model: nn.Module) -> None:
        inputs = set()
        if self.feed_forward_targets:
            inputs = {layer for _, layer in linear_layers(model, self.feed_forward_targets)}

        def wrap(layer: nn.Module) -> nn.Module:
            return (ScaledInput if layer in inputs else ScaledOutput)(as_linear(layer))

        self.replace([*self.targets, *self.feed_forward_targets], wrap)
