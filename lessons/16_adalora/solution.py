"""The reference answers of chapter 16. Each agrees with minipeft/methods/low_rank; the tests say so."""

import torch
from torch import Tensor


def importance_step(
    weight: Tensor, gradient: Tensor, mean: Tensor, jumps: Tensor, beta1: float, beta2: float
) -> tuple[Tensor, Tensor]:
    """The moving averages of sensitivity (mean) and uncertainty (jumps) after one more step."""
    now = (weight * gradient).abs()
    new_mean = beta1 * mean + (1 - beta1) * now
    new_jumps = beta2 * jumps + (1 - beta2) * (now - new_mean).abs()
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
    """Masks, (rank,) bool each: True for the `budget` best triplets of all layers together."""
    order = torch.cat(scores).argsort(descending=True, stable=True)
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[:budget]] = True
    return list(kept.split([len(layer) for layer in scores]))


def orthogonality_penalty(p: Tensor, q: Tensor) -> Tensor:
    """|P^T P - I|^2 + |Q Q^T - I|^2, squared Frobenius norms: 0 where the vectors are orthonormal."""
    gram_p, gram_q = p.T @ p, q @ q.T
    identity = torch.eye(len(gram_p))
    return (gram_p - identity).square().sum() + (gram_q - identity).square().sum()


ATTENTION, FEED_FORWARD = 36, 18  # matrices: (88, 88); (112, 88) or (88, 112)
COUNTS = {
    "trained": 5 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1)),
    "triplets_at_first": (ATTENTION + FEED_FORWARD) * 5,
    "triplets_at_last": (ATTENTION + FEED_FORWARD) * 2,
    "triplets_after_240_steps": 108 + 162 // 2**3,
    "stored": ATTENTION * (88 + 88) + 4 * FEED_FORWARD * (112 + 88) + 5 * (ATTENTION + FEED_FORWARD),
    "importance_bytes": 2 * 4 * 5 * (ATTENTION * (88 + 88 + 1) + FEED_FORWARD * (112 + 88 + 1)),
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
