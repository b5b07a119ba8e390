"""Other right answers to the exercises of chapter 16, each put behind the solution: all must pass."""

RIGHT = {
    "importance_step": [
        """
def importance_step(weight, gradients, mean, jumps, beta1, beta2):
    sensitivities = [(weight * gradient).abs() for gradient in gradients]
    average = sum(sensitivities) / len(sensitivities)
    mean = beta1 * mean + (1 - beta1) * average
    away = sum((one - mean).abs() for one in sensitivities) / len(sensitivities)
    return [mean, beta2 * jumps + (1 - beta2) * away]
""",
        """
def importance_step(weight, gradients, mean, jumps, beta1, beta2):
    parts = weight.abs()[None] * gradients.abs()
    mean = torch.lerp(parts.mean(dim=0), mean, beta1)
    return mean, jumps.lerp((parts - mean[None]).abs().mean(dim=0), 1 - beta2)
""",
    ],
    "triplet_scores": [
        """
def triplet_scores(lam, p, q):
    return torch.stack([lam[i] + p[:, i].mean() + q[i].mean() for i in range(len(lam))])
""",
        """
def triplet_scores(lam, p, q):
    return (lam + p.sum(0) / p.shape[0] + q.sum(1) / q.shape[1]).double()
""",
    ],
    "budget": [
        """
from fractions import Fraction
from math import floor

def budget(done, total, first, last, warmup, final):
    start, end = round(warmup * total), total - round(final * total)
    if done <= start:
        return first
    if done >= end:
        return last
    return floor(last + (first - last) * Fraction(end - done, end - start) ** 3)
""",
        """
import numpy

def budget(done, total, first, last, warmup, final):
    start, end = round(warmup * total), total - round(final * total)
    left, whole = min(max(end - done, 0), end - start), end - start
    return numpy.int64(last + (first - last) * left**3 // whole**3)
""",
    ],
    "keep_best": [
        """
def keep_best(scores, budget):
    everything = [(-float(score), layer, i) for layer, part in enumerate(scores) for i, score in enumerate(part)]
    everything.sort()
    best = {}
    for entry in everything:
        best.setdefault(entry[1], entry)
    others = [entry for entry in everything if entry not in best.values()]
    chosen = list(best.values()) + others[: budget - len(best)]
    masks = [torch.zeros(len(part), dtype=torch.bool) for part in scores]
    for _, layer, place in chosen:
        masks[layer][place] = True
    return tuple(masks)
""",
        """
def keep_best(scores, budget):
    flat = torch.cat(scores).clone().double()
    lengths, start = [len(part) for part in scores], 0
    for length in lengths:
        flat[start + int((flat[start : start + length] == flat[start : start + length].max()).nonzero()[0])] = torch.inf
        start += length
    kept = torch.zeros(len(flat), dtype=torch.bool)
    kept[torch.sort(flat, descending=True, stable=True).indices[:budget]] = True
    return torch.split(kept, lengths)
""",
    ],
    "orthogonality_penalty": [
        """
def orthogonality_penalty(p, q):
    total = 0
    for vectors in (p.T, q):
        gram = vectors @ vectors.T
        total = total + torch.linalg.matrix_norm(gram - torch.eye(len(gram))) ** 2
    return total
""",
        """
def orthogonality_penalty(p, q):
    rank = p.shape[1]
    first, second = torch.einsum("oi,oj->ij", p, p), torch.einsum("in,jn->ij", q, q)
    return sum(((gram - torch.eye(rank)) ** 2).sum() for gram in (first, second)).double()
""",
    ],
    "counts": [
        "COUNTS = dict(reversed(COUNTS.items()))",
        "import numpy\nCOUNTS = {key: numpy.int64(value) for key, value in COUNTS.items()}",
    ],
    "check_prune": [
        """
def check_prune(prune):
    for kept in ([True, False, False, True], [False, True, True, False], [False, False, True, False]):
        kept = torch.tensor(kept)
        p, lam, q = torch.randn(3, 4), torch.tensor([1.5, -0.5, -2.0, 0.25]), torch.randn(4, 6)
        new_p, new_lam, new_q = prune(p.clone(), lam.clone(), q.clone(), kept.clone())
        assert new_p.shape == p.shape and (new_p == p).all()
        assert new_q.shape == q.shape and (new_q == q).all()
        wanted = sum(lam[i] * torch.outer(p[:, i], q[i]) for i in range(4) if kept[i])
        assert torch.allclose(new_p @ torch.diag(new_lam) @ new_q, wanted, atol=1e-5)
""",
        """
def check_prune(prune):
    generator = torch.Generator().manual_seed(5)
    p, q = torch.randn(7, 5, generator=generator), torch.randn(5, 2, generator=generator)
    lam, kept = torch.tensor([-1.0, 2.0, 3.0, -4.0, 5.0]), torch.tensor([False, False, True, True, False])
    outcome = prune(p.clone(), lam.clone(), q.clone(), kept)
    if not (torch.equal(outcome[0], p) and torch.equal(outcome[2], q)):
        raise AssertionError("vectors")
    torch.testing.assert_close(outcome[1], torch.tensor([0.0, 0.0, 3.0, -4.0, 0.0]))
""",
    ],
}
