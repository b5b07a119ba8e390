"""Chapter 03, full and partial tuning: the answers written out."""

from collections.abc import Callable

import torch
from torch import Tensor


def block_rates(names: list[str], blocks: dict[str, int], rate: float, decay: float) -> list[float]:
    rates = []
    for name in names:
        parts = name.split(".")
        if parts[0] == "head" or parts[1] == "norm":
            depth = 0
        elif parts[0] == "embedding":
            depth = max(blocks.values())
        elif parts[1] == "positions":
            depth = blocks[parts[0]]
        else:
            depth = blocks[parts[0]] - 1 - int(parts[2])
        rates.append(rate * decay**depth)
    return rates


def fit_head(features: Tensor, labels: Tensor, classes: int, strength: float) -> tuple[Tensor, Tensor]:
    h = features.double()
    y = torch.nn.functional.one_hot(labels, classes).double()  # (texts, classes)
    h_mean, y_mean = h.mean(0), y.mean(0)
    h_centred, y_centred = h - h_mean, y - y_mean  # whatever W is, the best b makes the means fit
    square = h_centred.T @ h_centred + strength * torch.eye(h.shape[1], dtype=h.dtype)  # (width, width)
    w = torch.linalg.solve(square, h_centred.T @ y_centred).T  # (classes, width)
    b = y_mean - w @ h_mean
    return w.float(), b.float()


# Parameters of GPT-2 medium, and of one of its blocks.
WHOLE = 50257 * 1024 + 1024 * 1024 + 24 * (12 * 1024**2 + 13 * 1024) + 2 * 1024
BLOCK = 4 * (1024 * 1024 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 4 * 1024

COUNTS = {
    "biases": 24 * (7 * 1024 + 4096) + 1024,
    "norms": (2 * 24 + 1) * 2 * 1024,
    "top three blocks": 3 * BLOCK,
    "bytes, everything": (4 + 4 + 8) * WHOLE,
    "bytes, top three blocks": 4 * WHOLE + (4 + 8) * 3 * BLOCK,
}

BACKWARD = {
    "head": 2070,
    "top five": 2070 + 5 * 1310 + 4 * 1310,
    "seven and eight": 2070 + 8 * 1310 + 1310 + 1310 + 1310,
    "biases": 2070 + 17 * 1310,
    "everything": 2 * 2070 + 2 * 17 * 1310,
    "T5, top two": 2070 + 11 * 2290 + 2 * 2290 + 2 * 1130 + 1130,
}


def accumulated(weight: Tensor, parts: list[tuple[Tensor, Tensor]], rate: float) -> Tensor:
    total, tokens = torch.zeros_like(weight), 0
    for hidden, targets in parts:
        leaf = weight.detach().clone().requires_grad_()
        logits = hidden @ leaf.T  # (texts, length, vocabulary)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum"
        )
        total += torch.autograd.grad(loss, leaf)[0]
        tokens += int((targets != -100).sum())
    return weight.detach() - rate * total / tokens


def check_early_stopping(stop: Callable[[list[float], int], tuple[int, int]]) -> None:
    cases = [  # scores, patience, (looks, kept)
        ([1.0, 3.0, 2.0, 2.5, 9.0], 2, (4, 1)),
        ([1.0, 3.0, 2.0, 4.0, 3.5, 3.9, 8.0], 2, (6, 3)),
        ([5.0, 4.0, 6.0, 5.0, 5.5, 5.9, 7.0], 3, (6, 2)),
        ([2.0, 2.0, 2.0, 5.0], 2, (3, 0)),
        ([2.0, 7.0, 7.0, 1.0, 7.0], 5, (5, 1)),
        ([1.0, 2.0, 3.0, 4.0], 1, (4, 3)),
        ([4.0, 3.0, 5.0], 1, (2, 0)),
        ([-3.0, -1.0, -2.0, -2.5, -0.5], 2, (4, 1)),
        ([-7.0, -9.0, -6.0], 2, (3, 2)),
        ([8.0], 3, (1, 0)),
    ]
    for scores, patience, expected in cases:
        given = list(scores)
        assert tuple(stop(given, patience)) == expected, (scores, patience)
        assert given == scores, "scores is changed"


def chain_thaw_step(
    weights: list[Tensor],
    gradients: list[Tensor],
    momenta: list[Tensor],
    step: int,
    total: int,
    rate: float,
    beta: float,
) -> tuple[list[Tensor], list[Tensor]]:
    last = len(weights) - 1
    phase = step * (len(weights) + 1) // total
    alone = last if phase == 0 else phase - 1
    new_weights, new_momenta = [], []
    for layer, (weight, gradient, momentum) in enumerate(zip(weights, gradients, momenta, strict=True)):
        trained = phase > last or layer == alone
        if trained:
            momentum = beta * momentum + gradient
            weight = weight - rate * momentum
        new_weights.append(weight.clone())
        new_momenta.append(momentum.clone())
    return new_weights, new_momenta
