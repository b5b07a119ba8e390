"""Chapter 16, AdaLoRA: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/16_adalora
    python -m minipeft hint 16

Letters: the update of a layer is P diag(lam) Q with P (out, rank), lam (rank,), Q (rank, in). Triplet i is column i
of P, the number lam_i and row i of Q.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def importance_step(
    weight: Tensor, gradients: Tensor, mean: Tensor, jumps: Tensor, beta1: float, beta2: float
) -> tuple[Tensor, Tensor]:
    """Implement: one step of the two moving averages that a score is made of, where a batch came in several parts.

    weight, mean, jumps: all of one shape. gradients: (parts, *that shape), what each part of the batch gave. Leave all
    of them as they are. `mean` is the average of the sensitivity so far, `jumps` that of the uncertainty. With parts,
    the sensitivity of the step is the mean of their sensitivities (not that of their mean gradient), and its
    uncertainty is how far the parts' sensitivities are from the new average, again on average. Return both averages as
    they are after this step, new tensors of the same shape: (mean, jumps).
    """
    raise NotImplementedError


def triplet_scores(lam: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Implement: the score S_i of every triplet of one layer.

    lam (rank,), p (out, rank) and q (rank, in) are not the triplets here but the scores s of their numbers. Return
    (rank,).
    """
    raise NotImplementedError


def budget(done: int, total: int, first: int, last: int, warmup: float, final: float) -> int:
    """Implement: how many triplets the whole model may keep after `done` of `total` steps, by the cubic schedule.

    first, last: the budgets b_0 and b_T. warmup, final: the shares of all steps before t_i and after t_f, rounded to
    whole steps: t_i = round(warmup * total), t_f = total - round(final * total). A budget that is no whole number is
    cut off, not rounded.
    """
    raise NotImplementedError


def keep_best(scores: list[Tensor], budget: int) -> list[Tensor]:
    """Implement: which triplets keep their lam, where no layer may lose its last one.

    scores: one tensor (rank,) for each layer; ranks may differ, and scores may be negative. Every layer keeps its best
    triplet. The places left go to the best of all others together. Return one mask (rank,) of bool for each layer, with
    exactly `budget` times True in all of them together; len(scores) <= budget <= number of triplets. Among equal scores
    the earlier layer goes first, and in a layer the earlier triplet (topk and a plain argsort promise no order of
    equals; sort with stable=True does).
    """
    raise NotImplementedError


def orthogonality_penalty(p: Tensor, q: Tensor) -> Tensor:
    """Repair: the penalty of one matrix, |P^T P - I|^2 + |Q Q^T - I|^2, squared Frobenius norms.

    p: (out, rank). q: (rank, in). Return a number (a tensor without dimensions).
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    gram_p, gram_q = p @ p.T, q @ q.T
    identity_p, identity_q = torch.eye(len(gram_p)), torch.eye(len(gram_q))
    return (gram_p - identity_p).square().sum() + (gram_q - identity_q).square().sum()


# Predict: AdaLoRA(rank=7, target_rank=4) on t5-0.8m, which has 36 matrices of (88, 88) in its attentions and 18 of
# (112, 88) or (88, 112) in its feed-forward layers. 600 steps, warmup=0.1, final=0.3, float32. Whole numbers, or
# arithmetic.
COUNTS = {
    # Parameters that the optimizer moves from the first step on.
    "trained": ...,
    # Triplets in the whole model before the first pruning.
    "triplets_at_first": ...,
    # Triplets in the whole model after the last pruning.
    "triplets_at_last": ...,
    # Triplets that the schedule allows after 300 steps.
    "triplets_after_300_steps": ...,
    # Parameters in the file, if at the end every attention matrix has 3 triplets and every feed-forward matrix 6.
    "stored": ...,
    # Bytes of the two moving averages while training: float32, one of each kind for every trained parameter.
    "importance_bytes": ...,
}


def check_prune(prune: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
    """Prove: raise AssertionError where `prune` is wrong, return nothing where it is right.

    prune(p, lam, q, kept) -> (p, lam, q), with p: (out, rank), lam: (rank,), q: (rank, in) and
    kept: (rank,) bool. It may work in place or return new tensors, as it likes. It has to keep two laws:
    1. The update P diag(lam) Q afterwards is that of the kept triplets alone, as they were.
    2. All vectors are still there, bit for bit and in their places, so that a pruned triplet can come back.
    """
    raise NotImplementedError
