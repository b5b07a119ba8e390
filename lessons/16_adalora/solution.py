"""The reference answers of chapter 16. Each agrees with minipeft/methods/low_rank; the tests say so."""

import torch
from torch import Tensor


def importance_step(
    weight: Tensor, gradients: Tensor, mean: Tensor, jumps: Tensor, beta1: float, beta2: float
) -> tuple[Tensor, Tensor]:
    """The moving averages of sensitivity (mean) and uncertainty (jumps) after one more step in parts."""
    parts = (weight * gradients).abs()  # (parts, *shape)
    new_mean = beta1 * mean + (1 - beta1) * parts.mean(0)
    new_jumps = beta2 * jumps + (1 - beta2) * (parts - new_mean).abs().mean(0)
    return new_mean, new_jumps


def triplet_scores(lam: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """The score of every triplet, (rank,), from the scores of its numbers."""
    return lam + p.mean(dim=0) + q.mean(dim=1)


def budget(done: int, total: int, first: int, last: int, warmup: float, final: float) -> int:
    """How many triplets the whole model may keep after `done` of `total` steps."""
    start, end = round(warmup * total), total - round(final * total)
    if done >= end:
        return last
    if done <= start:
        return first
    left = 1 - (done - start) / (end - start)
    return int(last + (first - last) * left**3)


def keep_best(scores: list[Tensor], budget: int) -> list[Tensor]:
    """Masks, (rank,) bool each: the best triplet of every layer, then the best of all others, `budget` in all."""
    layer_of = [number for number, layer in enumerate(scores) for _ in layer]  # of each triplet
    order = torch.cat(scores).argsort(descending=True, stable=True).tolist()
    firsts = {}
    for place in order:
        firsts.setdefault(layer_of[place], place)
    rest = [place for place in order if place not in firsts.values()]
    chosen = {*firsts.values(), *rest[: budget - len(firsts)]}
    kept = [place in chosen for place in range(len(order))]
    return [torch.tensor(kept[start : start + len(layer)]) for layer, start in zip(scores, starts(scores), strict=True)]


def starts(scores: list[Tensor]) -> list[int]:
    """The place of each layer's first triplet among all."""
    return [sum(map(len, scores[:number])) for number in range(len(scores))]


def orthogonality_penalty(p: Tensor, q: Tensor) -> Tensor:
    """|P^T P - I|^2 + |Q Q^T - I|^2, squared Frobenius norms: 0 where the vectors are orthonormal."""
    gram_p, gram_q = p.T @ p, q @ q.T
    identity = torch.eye(len(gram_p))
    return (gram_p - identity).square().sum() + (gram_q - identity).square().sum()


ATTENTION, FEED_FORWARD = 36, 18  # matrices: (88, 88); (112, 88) or (88, 112)
COUNTS = {
    "trained": 7 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1)),
    "triplets_at_first": (ATTENTION + FEED_FORWARD) * 7,
    "triplets_at_last": (ATTENTION + FEED_FORWARD) * 4,
    "triplets_after_300_steps": 216 + 162 // 3**3,
    "stored": 3 * ATTENTION * (88 + 88) + 6 * FEED_FORWARD * (112 + 88) + 7 * (ATTENTION + FEED_FORWARD),
    "importance_bytes": 2 * 4 * 7 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1)),
}


def check_prune(prune) -> None:
    """Raise AssertionError unless `prune(p, lam, q, kept)` takes away what is not kept, and nothing else."""
    torch.manual_seed(0)
    p, lam, q = torch.randn(5, 3), torch.tensor([0.5, -2.0, -1.0]), torch.randn(3, 4)
    kept = torch.tensor([False, True, True])
    new_p, new_lam, new_q = prune(p.clone(), lam.clone(), q.clone(), kept)
    expected = -2.0 * torch.outer(p[:, 1], q[1]) - torch.outer(p[:, 2], q[2])
    torch.testing.assert_close((new_p * new_lam) @ new_q, expected)
    assert torch.equal(new_p, p)
    assert torch.equal(new_q, q)
