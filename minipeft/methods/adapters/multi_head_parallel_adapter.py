"""Multi-head parallel adapters: every head of attention gets a small adapter of its own.

    y = W_o concat_i(head_i + relu(q_i D_i) U_i)      D_i: (head, bottleneck)   U_i: (bottleneck, head)

q_i, (targets, head), is the query of head i; head_i is what that head gives, before the output
projection W_o. It is prefix tuning with three changes: relu in the place of softmax, a plain sum in
the place of the gate (the lesson's prefix_gate.py), and a start at nothing. D_i stands for the
prefix's keys, U_i for its values. The paper's table writes x W_down; what each D_i reads here is the
head's query W_q x, as in the released code, which is also what makes the counts equal: in a Llama the
turned one, as a prefix meets it (where a group of heads shares its keys, the prefix has fewer).
Start: D ~ uniform in +-1/sqrt(head) (Kaiming), U = 0, so the first forward pass is the base model's.
Trainable, with a = heads * head size: 2 bottleneck a per attention, exactly those of a prefix of that length.
Paper: He et al. 2021, arXiv:2110.04366, table 4.
Lesson: lessons/11_unified_view. Test: tests/methods/adapters/test_multi_head_parallel_adapter.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method


class AdaptedHeads(nn.Module):
    """Frozen attention whose heads each have an adapter from their query to their output.

    The attention needs heads, head_size, `query`, and three steps: project, attend and output.
    """

    def __init__(self, attention: nn.Module, bottleneck: int):
        super().__init__()
        heads = attention.heads
        head = attention.head_size
        like = attention.query.weight
        self.attention = attention
        self.down = nn.Parameter(like.new_empty(heads, head, bottleneck))
        self.up = nn.Parameter(like.new_zeros(heads, bottleneck, head))
        nn.init.uniform_(self.down, -(head**-0.5), head**-0.5)

    def forward(self, hidden: torch.Tensor, context=None, bias=None, cache=None, **positions) -> torch.Tensor:
        """hidden: (batch, targets, hidden); context: (batch, sources, hidden), or hidden itself."""
        query, key, value = self.attention.project(hidden, context, cache, **positions)
        mixed = self.attention.attend(query, key, value, bias)  # (batch, targets, heads * head)
        change = torch.relu(query @ self.down) @ self.up  # (batch, heads, targets, head)
        return self.attention.output(mixed + change.transpose(1, 2).flatten(2))


@dataclass
class MultiHeadParallelAdapter(Method):
    """An adapter of size `bottleneck` in each head of every attention layer, cross-attention included."""

    bottleneck: int = 16

    name = "multi_head_parallel_adapter"
    needs_language_model = True
    suggested_learning_rate = 3e-2
    learning_rate_grid = (1e-2, 3e-2, 6e-2, 1e-1)
    why_no_merge = "an adapter is not linear, so no weight of the model can hold it. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.bottleneck < 1:
            raise UserError(f"An adapter's bottleneck must be at least 1, not {self.bottleneck}.")

    def install(self, model: nn.Module) -> None:
        self.replace(["*attention"], lambda attention: AdaptedHeads(attention, self.bottleneck))
