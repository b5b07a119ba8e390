"""Chapter 01, two transformers: the answers written out."""

from collections.abc import Callable

import torch
from torch import Tensor


def relative_buckets(
    query_places: Tensor, key_places: Tensor, buckets: int, max_distance: int, bidirectional: bool
) -> Tensor:
    away = key_places[None, :] - query_places[:, None]  # (targets, sources)
    first = torch.zeros_like(away)
    if bidirectional:
        buckets = buckets // 2
        first = torch.where(away > 0, buckets, 0)
        away = away.abs()
    else:
        away = torch.where(away < 0, -away, 0)
    exact = buckets // 2
    edges = [exact * (max_distance / exact) ** (step / (buckets - exact)) for step in range(1, buckets - exact)]
    passed = sum((away >= edge).long() for edge in edges) if edges else torch.zeros_like(away)
    return first + torch.where(away < exact, away, exact + passed)


def may_look(mask: Tensor, two_way: Tensor, targets: int) -> Tensor:
    seen = mask.shape[1]
    places = torch.arange(seen)
    queries = places[seen - targets :]
    before = places[None, :] <= queries[:, None]  # (targets, seen)
    itself = places[None, :] == queries[:, None]
    source = places[None, :] < two_way[:, None]  # (batch, seen)
    within = source[:, seen - targets :, None] & source[:, None, :]  # (batch, targets, seen)
    allowed = (before | within) & mask[:, None, :]
    return (allowed | itself)[:, None]


def attention_by_heads(
    x: Tensor, context: Tensor | None, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, scale: float, bias: Tensor
) -> Tensor:
    read = x if context is None else context
    total = torch.zeros_like(x)
    for i in range(len(w_q)):
        query, key, value = x @ w_q[i].T, read @ w_k[i].T, read @ w_v[i].T
        scores = scale * (query @ key.transpose(1, 2)) + bias[:, i]  # (batch, targets, sources)
        weights = scores.softmax(2)
        total = total + weights @ value @ w_o[i].T
    return total


PARAMETERS = {
    "T5 1.0 small": 32128 * 512
    + 6 * (4 * 512 * 512 + 2 * 512 * 2048 + 2 * 512)
    + 6 * (8 * 512 * 512 + 2 * 512 * 2048 + 3 * 512)
    + 2 * (512 + 32 * 8),
    "T5 v1.1 base, 3 decoder layers": 2 * 32128 * 768
    + 12 * (4 * 768 * 768 + 3 * 768 * 2048 + 2 * 768)
    + 3 * (8 * 768 * 768 + 3 * 768 * 2048 + 3 * 768)
    + 2 * (768 + 32 * 12),
    "GPT-2 small": 50257 * 768
    + 1024 * 768
    + 12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 2 * 2 * 768)
    + 2 * 768,
}

STEP = {
    "multiplications": 8
    * (
        4 * 512 * 384  # own attention: query, key, value, output
        + 2 * 10 * 384  # its scores over ten tokens, and their weighted mean
        + 2 * 512 * 384  # cross-attention: query and output
        + 2 * 50 * 384  # its scores over the source, and their weighted mean
        + 3 * 512 * 1024
    )
    + 512 * 32128,
    "cache bytes": 8 * 2 * (10 + 50) * 384 * 2,
}


class GrowingCache:
    def __init__(self, batch: int, heads: int, room: int, head: int):
        self.keys = torch.zeros(batch, heads, room, head)
        self.values = torch.zeros(batch, heads, room, head)
        self.length = 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + key.shape[2]
        self.keys[:, :, self.length : end] = key
        self.values[:, :, self.length : end] = value
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def cut(self, length: int) -> None:
        self.length = length

    def keep(self, rows: Tensor) -> None:
        self.keys = self.keys[rows]  # a copy: in place, a row would be read that is already written over
        self.values = self.values[rows]


def all_at_once(x: Tensor) -> Tensor:
    places = torch.arange(x.shape[1])
    distance = places[:, None] - places[None, :]  # (length, length)
    scores = (x @ x.transpose(1, 2) - 0.02 * distance**2).masked_fill(distance < 0, -torch.inf)
    return scores.softmax(-1) @ (x * x)


def check_cached(implementation: Callable[[Tensor, list[int]], Tensor]) -> None:
    generator = torch.Generator().manual_seed(5)
    for pieces in ([1] * 7, [7], [3, 1, 1, 2], [1, 4, 2], [2, 2, 2, 3], [9, 1, 1, 6, 5]):
        x = torch.randn(3, sum(pieces), 5, generator=generator, dtype=torch.float64)
        before = x.clone()
        found = implementation(x, pieces)
        torch.testing.assert_close(found, all_at_once(before), rtol=1e-9, atol=1e-9)
        assert torch.equal(x, before), "x is changed"


def shared_heads(x: Tensor, keys: Tensor, values: Tensor, w_q: Tensor, w_o: Tensor) -> Tensor:
    """Attention of x (batch, width) to keys and values (batch, places, head) that all heads share: (batch, width)."""
    queries = torch.einsum("bw,ndw->bnd", x, w_q)  # (batch, heads, head)
    weights = torch.einsum("bnd,bpd->bnp", queries, keys).softmax(-1)  # (batch, heads, places)
    given = torch.einsum("bnp,bpd->bnd", weights, values)
    return torch.einsum("bnd,nwd->bw", given, w_o)


def decoder_step(
    x: Tensor,
    context: Tensor,
    own: tuple[Tensor, Tensor] | None,
    cross: tuple[Tensor, Tensor] | None,
    weights: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]],
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    w_q, w_k, w_v, w_o = weights["own"]
    key, value = (x @ w_k.T)[:, None], (x @ w_v.T)[:, None]  # (batch, 1, head)
    if own is not None:
        key, value = torch.cat([own[0], key], dim=1), torch.cat([own[1], value], dim=1)
    own = key, value
    h = x + shared_heads(x, *own, w_q, w_o)
    cross_q, cross_k, cross_v, cross_o = weights["cross"]
    if cross is None:
        cross = context @ cross_k.T, context @ cross_v.T
    return h + shared_heads(h, *cross, cross_q, cross_o), own, cross
