"""The arithmetic of prefix tuning: see `prefix_tuning.py` for the equations."""

import torch
from torch import nn

from minipeft.errors import UserError


class PrefixTable(nn.Module):
    """Keys and values as free parameters, (layers, 2, heads, prefix, head)."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer, (heads, prefix, head) each."""
        return self.table[layer, 0], self.table[layer, 1]

    def table_now(self) -> torch.Tensor:
        return self.table


class PrefixNetwork(nn.Module):
    """Keys and values as the output of a network that all prefix positions share."""

    def __init__(self, layers: int, heads: int, prefix: int, head: int, hidden_size: int, inner: int):
        super().__init__()
        self.shape = (prefix, 2, heads, head)
        self.positions = nn.Parameter(torch.randn(prefix, hidden_size))
        self.inner = nn.Linear(hidden_size, inner)
        self.outer = nn.ModuleList(nn.Linear(inner, 2 * heads * head) for _ in range(layers))

    def forward(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer, (heads, prefix, head) each."""
        flat = self.outer[layer](torch.tanh(self.inner(self.positions)))  # (prefix, 2 * heads * head)
        key, value = flat.view(self.shape).permute(1, 2, 0, 3)  # (2, heads, prefix, head)
        return key, value

    def table_now(self) -> torch.Tensor:
        """Keys and values of all layers, (layers, 2, heads, prefix, head)."""
        return torch.stack([torch.stack(self(layer)) for layer in range(len(self.outer))])


class PrefixedAttention(nn.Module):
    """Attention with a prefix before its keys and values. Caches do not hold the prefix; its positions have no bias."""

    def __init__(self, attention: nn.Module, prefix: nn.Module, layer: int):
        super().__init__()
        self.attention, self.prefix, self.layer = attention, prefix, layer

    def forward(self, hidden: torch.Tensor, context=None, bias=None, cache=None) -> torch.Tensor:
        """hidden: (batch, targets, hidden); bias: broadcast to (batch, heads, targets, sources), without the prefix."""
        query, key, value = self.attention.project(hidden, context, cache)
        prefix_key, prefix_value = (x.expand(len(key), -1, -1, -1) for x in self.prefix(self.layer))
        key = torch.cat([prefix_key, key], dim=2)  # (batch, heads, prefix + sources, head)
        value = torch.cat([prefix_value, value], dim=2)
        if bias is not None:
            bias = nn.functional.pad(bias, (prefix_key.shape[2], 0))  # zeros: every query may look at the prefix
        return self.attention.output(self.attention.attend(query, key, value, bias))


class ShiftedPositions(nn.Module):
    """GPT-2's position vectors with the first `shift` of them left to the prefix."""

    def __init__(self, positions: nn.Module, shift: int):
        super().__init__()
        self.positions, self.shift = positions, shift

    def forward(self, mask: torch.Tensor, length: int) -> torch.Tensor:
        """As LearnedPositions, with `shift` real tokens before the text."""
        before, room = mask.new_ones(len(mask), self.shift), self.positions.table.num_embeddings
        if self.shift + mask.shape[1] > room:
            raise UserError(f"{self.shift + mask.shape[1]} positions do not fit the model's {room}: shorten the text.")
        return self.positions(torch.cat([before, mask], dim=1), length)
