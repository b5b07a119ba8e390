"""Where a token stands: masks as biases, T5's relative buckets, GPT-2's learned and Llama's rotary positions."""

import math

import torch
from torch import nn

from minipeft.errors import UserError


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


def require_room(mask: torch.Tensor, room: int) -> None:
    """Raise UserError where a row of a (batch, seen) mask takes more than `room` positions."""
    taken = positions_taken(mask, room)
    if taken > room:
        raise UserError(f"{taken} positions do not fit the model's {room}: shorten the text or the prompt.")


def causal_bias(mask: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
    """(batch, 1, length, seen): each of the last `length` positions sees itself and the real tokens before it."""
    allowed = mask[:, None, None, :] & causal_mask(length, mask.shape[1], mask.device)
    return mask_bias(allowed, dtype)


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


class RotaryPositions(nn.Module):
    """Llama's: angles in place of vectors, by which attention turns its queries and keys (`rotate`).

    The pair p of a head's numbers turns by theta^(-2 p / head) a position, p = 0 ... head / 2 - 1: the first by one
    radian, each later one more slowly. Nothing is learned. Source: Su et al. 2021, arXiv:2104.09864.

    scaling: (factor, low, high, length) of Llama 3.1, for texts longer than the `length` that was learned first. Pairs
    that turn around fewer than `low` times in it are slowed down by `factor`, those of more than `high` turns are not,
    and what lies between is mixed. Source: its released code.
    """

    def __init__(self, room: int, head_size: int, theta: float, scaling: tuple = ()):
        super().__init__()
        self.room, self.head_size, self.theta, self.scaling = room, head_size, theta, scaling

    def forward(self, mask: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """mask: (batch, seen), all tokens so far -> cosine and sine of the angles of the last `length` of them.

        (batch, 1, length, head / 2) each, in float32; positions count real tokens only, as GPT-2's.
        """
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -length:]
        exponents = torch.arange(0, self.head_size, 2, device=mask.device).float() / self.head_size
        speeds = 1.0 / self.theta**exponents  # (head / 2,), radians a position
        if self.scaling:
            factor, low, high, first_length = self.scaling
            turns = first_length * speeds / (2 * torch.pi)
            kept = ((turns - low) / (high - low)).clamp(0, 1)  # 1: as fast as before
            speeds = kept * speeds + (1 - kept) * speeds / factor
        angles = positions[:, None, :, None] * speeds  # (batch, 1, length, head / 2)
        return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """x: (batch, heads, length, head), each number of its first half turned with its partner in the second.

    A query turned by its position i and a key turned by j then have a product that knows i - j alone:
    (R_i q) . (R_j k) = q . R_(j-i) k. Values are not turned.
    """
    left, right = x.chunk(2, dim=-1)  # (batch, heads, length, head / 2) each
    whole = torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)
    return whole.to(x.dtype)  # under autocast, x may have 16 bits and the angles 32


class ShiftedPositions(nn.Module):
    """Positions whose first `shift` are left to what stands before the text and is no part of it."""

    def __init__(self, positions: nn.Module, shift: int):
        super().__init__()
        self.positions, self.shift = positions, shift

    @property
    def room(self) -> int:
        """How many tokens there are positions for."""
        return self.positions.room - self.shift

    def forward(self, mask: torch.Tensor, length: int):
        """As LearnedPositions or RotaryPositions, with `shift` real tokens before the text."""
        before = mask.new_ones(len(mask), self.shift)
        return self.positions(torch.cat([before, mask], dim=1), length)
