"""Multi-head attention in three steps that can be read, and replaced, one by one: project, attend, output.

    scores = scale * q k^T + bias          (batch, heads, targets, sources)
    mixed  = softmax(scores) v             (batch, heads, targets, head)
    y      = W_o concat(heads)             (batch, targets, hidden)

`bias` carries everything that is added to the scores: the mask (minus infinity where a query may not look) and T5's
relative positions. T5 has scale = 1, GPT-2 has scale = 1 / sqrt(head). Source: Vaswani et al. 2017, arXiv:1706.03762.
Where there are fewer heads of keys and values than of queries, each serves a group of neighbours among these: less to
keep in a cache. Source: Ainslie et al. 2023, arXiv:2305.13245.
"""

import torch
from torch import nn


class KeyValueCache:
    """The keys and values that one attention layer has computed, (batch, key_value_heads, sources, head) each."""

    def __init__(self, key: torch.Tensor | None = None, value: torch.Tensor | None = None):
        self.key, self.value = key, value

    @property
    def empty(self) -> bool:
        return self.key is None

    def append(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Remember new positions behind the old ones and return all of them."""
        if not self.empty:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def repeat(self, times: int) -> "KeyValueCache":
        """Each row `times` times, next to each other."""
        return KeyValueCache(self.key.repeat_interleave(times, 0), self.value.repeat_interleave(times, 0))


class Attention(nn.Module):
    """Attention of `hidden` over itself, or over `context` where one is given.

    `head_size * heads` need not equal `hidden_size`; `key_value_heads` is `heads` unless said otherwise. With `fused`
    set, the scores are computed by PyTorch's fused kernel instead of the explicit lines: the same numbers to rounding,
    less memory on a GPU.
    """

    def __init__(
        self,
        hidden_size: int,
        heads: int,
        head_size: int,
        *,
        key_value_heads: int | None = None,
        bias: bool = False,
        scale: float = 1.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.heads, self.head_size, self.scale = heads, head_size, scale
        self.key_value_heads = key_value_heads or heads
        self.query = nn.Linear(hidden_size, heads * head_size, bias=bias)
        self.key = nn.Linear(hidden_size, self.key_value_heads * head_size, bias=bias)
        self.value = nn.Linear(hidden_size, self.key_value_heads * head_size, bias=bias)
        self.output = nn.Linear(heads * head_size, hidden_size, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.fused = False

    def forward(
        self,
        hidden: torch.Tensor,
        context: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        cache: "KeyValueCache | None" = None,
    ) -> torch.Tensor:
        """hidden: (batch, targets, hidden); context: (batch, sources, hidden); bias: broadcast to the scores."""
        query, key, value = self.project(hidden, context, cache)
        mixed = self.attend(query, key, value, bias)
        return self.output(mixed)  # (batch, targets, hidden)

    def project(
        self, hidden: torch.Tensor, context: torch.Tensor | None = None, cache: "KeyValueCache | None" = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries of `hidden`, keys and values of everything it may look at, split into heads."""
        query = self.split_heads(self.query(hidden))
        if context is not None and cache is not None and not cache.empty:
            return query, cache.key, cache.value  # the context does not change while the answer grows
        attended = hidden if context is None else context
        key, value = self.split_heads(self.key(attended)), self.split_heads(self.value(attended))
        if cache is not None:
            key, value = cache.append(key, value)
        return query, key, value

    def split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, heads * head) -> (batch, heads, length, head)"""
        return x.view(x.shape[0], x.shape[1], x.shape[2] // self.head_size, self.head_size).transpose(1, 2)

    def for_every_head(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, key_value_heads, sources, head) -> (batch, heads, sources, head)"""
        group = self.heads // self.key_value_heads
        return x if group == 1 else x.repeat_interleave(group, dim=1)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Each query's weighted mean of the values, heads side by side: (batch, targets, heads * head)."""
        key, value = self.for_every_head(key), self.for_every_head(value)
        if self.fused:
            dropout = self.dropout.p if self.training else 0.0
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, bias, dropout, scale=self.scale)
        else:
            scaled = query if self.scale == 1.0 else self.scale * query
            scores = scaled @ key.transpose(-1, -2)  # (batch, heads, targets, sources)
            if bias is not None:
                scores = scores + bias
            weights = scores.softmax(-1)  # rows sum to 1
            mixed = self.dropout(weights) @ value  # (batch, heads, targets, head)
        return mixed.transpose(1, 2).flatten(2)  # (batch, targets, heads * head)
