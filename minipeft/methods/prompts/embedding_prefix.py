"""Embedding-only prefix: prefix tuning without its keys and values in the layers, to see what those are worth.

    [E; X]        E: (prefix, hidden), trained   X: (length, hidden), the embedded text
    E = W_2 tanh(W_1 e + b_1) + b_2        e: (prefix, hidden)   W_1: (inner, hidden)   W_2: (hidden, inner)

The paper's ablation: vectors before the input of every stack (T5: of the encoder and of the decoder, others: of their
one stack), made by the same kind of network while training. Unlike a prefix, they are computed anew in every layer.
Start: random, without the network of the size of the embeddings, which its steps are then in units of, too
(embedding_size.py); never the base model's output.
Trainable (stored): S prefix d parameters at width d for S stacks. With reparametrise, training moves
S (prefix d + inner (d + 1) + d (inner + 1)) parameters instead.
Paper: Li & Liang 2021, arXiv:2101.00190, table 4.
Lesson: lessons/06_prefix_tuning. Test: tests/methods/prompts/test_embedding_prefix.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.prompts.embedding_size import embedding_size
from minipeft.methods.prompts.reparametrised import PromptTable, Reparametrised


class EmbeddingNetwork(nn.Module):
    """Vectors before a stack, (prefix, hidden), from a network that all of them share."""

    def __init__(self, prefix: int, hidden_size: int, inner: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(prefix, hidden_size))
        self.inner = nn.Linear(hidden_size, inner)
        self.outer = nn.Linear(inner, hidden_size)

    def forward(self) -> torch.Tensor:
        return self.outer(torch.tanh(self.inner(self.positions)))

    def table_now(self) -> torch.Tensor:
        return self()


class PrefixedStack(nn.Module):
    """A stack that reads what `prefix` gives, (prefix, hidden), before its input.

    The stack needs `blocks`, and stack(vectors, mask, *context, caches=...) -> states and mask.
    """

    def __init__(self, stack: nn.Module, prefix: nn.Module):
        super().__init__()
        self.stack = stack
        self.prefix = prefix

    @property
    def blocks(self) -> nn.ModuleList:
        return self.stack.blocks

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor, *context, caches=None):
        """vectors: (batch, length, hidden); mask: (batch, seen); context: what a decoder reads."""
        prefix = self.prefix().expand(len(vectors), -1, -1)  # (batch, prefix, hidden)
        mask = torch.cat([mask.new_ones(prefix.shape[:2]), mask], dim=1)  # (batch, prefix + seen)
        if caches is None or caches[0][0].empty:  # later, the caches hold the prefix already
            vectors = torch.cat([prefix, vectors], dim=1)  # (batch, prefix + length, hidden)
        return self.stack(vectors, mask, *context, caches=caches)


@dataclass
class EmbeddingPrefix(Reparametrised):
    """`prefix_length` vectors before the input of every stack, made by a network of size `inner` while training."""

    prefix_length: int = 10
    reparametrise: bool = True
    inner: int = 512

    name = "embedding_prefix"
    network_rate = 3e-3
    network_grid = (1e-3, 3e-3, 1e-2, 3e-2)
    table_rate = 0.03
    table_grid = (0.003, 0.01, 0.03, 0.1)
    why_no_merge = "vectors make the input longer, which no weight of the model can do. Keep it attached."
    plain = PromptTable

    def __post_init__(self):
        super().__post_init__()
        if self.prefix_length < 1 or self.inner < 1:
            raise UserError(f"prefix_length and inner must be at least 1: {self.prefix_length} and {self.inner} given.")

    @property
    def extra_positions(self) -> int:
        return self.prefix_length

    @property
    def vectors_alone(self) -> bool:
        return not self.reparametrise

    def install(self, model: nn.Module) -> None:
        room = model.max_positions
        if room is not None and self.prefix_length >= room:
            raise UserError(f"A prefix of {self.prefix_length} leaves no room in {room} positions: shorten it.")
        for place in dict.fromkeys((model.reading_stack, "decoder")):
            self.replace([place], lambda stack: PrefixedStack(stack, self.new_prefix(model)))

    def new_prefix(self, model: nn.Module) -> nn.Module:
        like = model.embedding.weight
        if self.reparametrise and self.given is None:  # what was stored needs no network
            prefix = EmbeddingNetwork(self.prefix_length, like.shape[1], self.inner)
        else:
            prefix = PromptTable(torch.randn(self.prefix_length, like.shape[1]).to(like.device) * embedding_size(model))
        return prefix.to(like.device, like.dtype)
