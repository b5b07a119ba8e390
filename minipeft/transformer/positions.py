"""Where a token stands: masks as additive biases, T5's relative position buckets, GPT-2's learned positions."""

import math

import torch
from torch import nn


def mask_bias(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A mask that is True where looking is allowed, as a bias: 0 there, the lowest finite number elsewhere."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def causal_mask(targets: int, sources: int, device=None) -> torch.Tensor:
    """(targets, sources): query i is source number `sources - targets + i` and sees itself and what came before."""
    return torch.ones(targets, sources, dtype=torch.bool, device=device).tril(sources - targets)


def relative_bucket(distance: torch.Tensor, buckets: int, max_distance: int, bidirectional: bool) -> torch.Tensor:
    """T5's bucket number of each distance (key index - query index), same shape as `distance`.

    Half of a direction's buckets hold one distance each; the other half grow logarithmically up to `max_distance`,
    and everything farther shares the last. Bidirectional: keys to the right use the upper half of the buckets.
    """
    bucket = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        bucket = buckets * (distance > 0).long()
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    growth = (distance.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)  # 0 at exact, 1 at max
    far = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
    return bucket + torch.where(distance < exact, distance, far)


class RelativePositionBias(nn.Module):
    """One learned number for each (bucket, head), added to the attention scores. Raffel et al. 2019, section 2.1."""

    def __init__(self, heads: int, buckets: int, max_distance: int, bidirectional: bool):
        super().__init__()
        self.table = nn.Embedding(buckets, heads)
        self.max_distance, self.bidirectional = max_distance, bidirectional

    def forward(self, targets: int, sources: int) -> torch.Tensor:
        """(1, heads, targets, sources); the queries are the last `targets` of the `sources` positions."""
        positions = torch.arange(sources, device=self.table.weight.device)
        distance = positions[None, :] - positions[sources - targets :, None]  # (targets, sources)
        bucket = relative_bucket(distance, self.table.num_embeddings, self.max_distance, self.bidirectional)
        return self.table(bucket).permute(2, 0, 1)[None]


def positions_taken(mask: torch.Tensor, room: int) -> int:
    """How many positions the longest row of a (batch, seen) mask takes; looked at only where `seen` exceeds `room`."""
    seen = mask.shape[1]
    return seen if seen <= room or mask.is_meta else int(mask.sum(1).max())  # padding takes none


class LearnedPositions(nn.Module):
    """GPT-2's position vectors; positions count real tokens only, so padding does not shift a text."""

    def __init__(self, max_length: int, hidden_size: int):
        super().__init__()
        self.table = nn.Embedding(max_length, hidden_size)

    @property
    def room(self) -> int:
        """How many tokens there are positions for."""
        return self.table.num_embeddings

    def forward(self, mask: torch.Tensor, length: int) -> torch.Tensor:
        """mask: (batch, seen), all tokens so far -> vectors of the last `length` of them, (batch, length, hidden)."""
        return self.table((mask.long().cumsum(1) - 1).clamp(min=0)[:, -length:])


class ShiftedPositions(nn.Module):
    """Learned positions whose first `shift` are left to what stands before the text and is no part of it."""

    def __init__(self, positions: nn.Module, shift: int):
        super().__init__()
        self.positions, self.shift = positions, shift

    @property
    def room(self) -> int:
        """How many tokens there are positions for."""
        return self.positions.room - self.shift

    def forward(self, mask: torch.Tensor, length: int) -> torch.Tensor:
        """As LearnedPositions, with `shift` real tokens before the text."""
        before = mask.new_ones(len(mask), self.shift)
        return self.positions(torch.cat([before, mask], dim=1), length)
