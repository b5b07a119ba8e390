"""Chapter 03, full and partial tuning: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/03_full_and_partial
    python -m minipeft hint 03

Letters: W (classes, width) is the matrix of a head, b (classes,) its bias; h (width,) is what a head reads, one vector
for each text. A block is one layer of a stack, number 0 the lowest.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def block_rates(names: list[str], blocks: dict[str, int], rate: float, decay: float) -> list[float]:
    """Implement: the learning rate of every parameter of a model, in the order of `names`, where all are trained.

    names: as "encoder.blocks.2.attention.query.weight". blocks: how many blocks each stack has, as {"encoder": 7,
    "decoder": 3}, or {"decoder": 12} for a GPT. A block has the rate times decay to the power of the number of blocks
    above it in its own stack. The other parameters: the head ("head.weight") and the norm that ends a stack
    ("decoder.norm.weight") have the rate itself. The positions of a stack ("encoder.positions.table.weight") lie one
    place below its lowest block. The embedding ("embedding.weight"), which all stacks read, lies one place below the
    lowest block of the stack that has most of them.
    """
    raise NotImplementedError


def fit_head(features: Tensor, labels: Tensor, classes: int, strength: float) -> tuple[Tensor, Tensor]:
    """Implement: the best head over frozen features, found at once and not in steps: (W, b).

    features (texts, width) are the h of all texts, float32; labels (texts,), int64, from 0 to classes - 1; a class may
    have no text. y_i (classes,) is 1 at the label of text i and 0 elsewhere. W (classes, width) and b (classes,)
    minimise the sum over the texts of |W h_i + b - y_i|^2, plus `strength` > 0 times |W|^2, the sum of all squares in
    W. The bias is not held back. There may be fewer texts than the width.
    """
    raise NotImplementedError


# Predict: GPT-2 medium has 24 blocks, width 1,024, feed-forward layers 1,024 -> 4,096 -> 1,024, a vocabulary of 50,257,
# 1,024 positions, biases in every linear map and norm of a block, one norm on top, and a head that is the embedding.
# Whole numbers, or arithmetic.
COUNTS = {
    # Parameters that BitFit trains.
    "biases": ...,
    # Parameters that norm tuning trains.
    "norms": ...,
    # Parameters in the top three blocks.
    "top three blocks": ...,
    # Bytes of weights, gradients and AdamW's state, all in float32, where everything is trained ...
    "bytes, everything": ...,
    # ... and where only the top three blocks are.
    "bytes, top three blocks": ...,
}

# Predict: the multiplications of one backward pass, in millions. A block takes as many to hand the gradient on to what
# is below it as it took forward, and as many again for the gradients of its own matrices; it does neither where nobody
# needs it. The same holds for a head. Biases, norms and the embedding need no multiplications for their own gradients.
# The GPT has 17 blocks, which took 1,310 million multiplications each, and a head of its own, which took 2,070.
BACKWARD = {
    # The head alone is trained.
    "head": ...,
    # The top 5 blocks are trained, not the head.
    "top five": ...,
    # Blocks number 7 and 8, counted from the bottom with 0, are trained and nothing else.
    "seven and eight": ...,
    # All biases are trained, the lowest of them where the lowest block begins: the gradient passes through it, too.
    "biases": ...,
    # Everything is trained, the embedding, too.
    "everything": ...,
    # Another model, with an encoder of 7 blocks at 1,130 million each, a decoder of 11 at 2,290 million, a head at
    # 2,070. The top 2 blocks of *both* stacks are trained. All decoder blocks read the encoder's output.
    "T5, top two": ...,
}


def accumulated(weight: Tensor, parts: list[tuple[Tensor, Tensor]], rate: float) -> Tensor:
    """Repair: one step of gradient descent on a batch that does not fit into memory at once, so it is read in parts.

    weight (vocabulary, width), the matrix of a head, stays as it is. Each part is (hidden, targets): hidden (texts,
    length, width) is what the head reads, targets (texts, length), int64, the right tokens, -100 where there is
    padding. Parts may have different numbers of texts and lengths; each has a real token. Return the new weight: that
    which the whole batch gives in one piece, with the mean cross-entropy over all its real tokens as its loss.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    total = torch.zeros_like(weight)
    for hidden, targets in parts:
        leaf = weight.detach().clone().requires_grad_()
        logits = hidden @ leaf.T  # (texts, length, vocabulary)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
        total += torch.autograd.grad(loss / len(parts), leaf)[0]
    return weight - rate * total


def check_early_stopping(stop: Callable[[list[float], int], tuple[int, int]]) -> None:
    """Prove: raise AssertionError where `stop` is wrong, return nothing where it is right.

    stop(scores, patience) -> (looks, kept) says how a run would have ended, had its looks at the dev split given these
    scores, one or more, in their order; higher is better, any numbers are possible. It ends after the first look at
    which the last `patience` >= 1 looks have brought nothing better than the best before them, or else with the last
    score. looks: how many there were until then. kept: the number, from 0, of the look whose weights are kept: the best
    until then, of equals the first. `scores` stays as it is, and each call is by itself.
    """
    raise NotImplementedError


def chain_thaw_step(
    weights: list[Tensor],
    gradients: list[Tensor],
    momenta: list[Tensor],
    step: int,
    total: int,
    rate: float,
    beta: float,
) -> tuple[list[Tensor], list[Tensor]]:
    """Extend: one step of *chain-thaw* (Felbo et al. 2017), with momentum: (weights, momenta) after it.

    weights, gradients, momenta: one tensor for each layer, from the bottom up, the last that of a new head; those given
    stay as they are. Training has one phase more than there are layers: first the head alone, then each other layer
    alone, the lowest first, and at the end all together. The phases share the `total` steps out: step s, from 0, is in
    the phase that the whole part of s * phases / total names, counted from 0. A layer that is trained takes m <- beta m
    + g and w <- w - rate m. One that is not keeps its weight and its momentum, to the bit.
    """
    raise NotImplementedError
