"""Chapter 13, LoRA: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/13_lora
    python -m minipeft hint 13

Letters: x (batch, in) are inputs, one a row; w (out, in) is frozen; a (rank, in) and b (out, rank) are trained.
"""

from collections.abc import Callable

import torch  # noqa: F401  you will need it
from torch import Tensor


def lora_output(x: Tensor, w: Tensor, a: Tensor, b: Tensor, alpha: float, tasks: Tensor) -> Tensor:
    """Implement: what the layer gives, (batch, out), where every row x has the update of its own task.

    There are several updates on one frozen w, all of one rank: a (number of tasks, rank, in) and b (number of tasks,
    out, rank). tasks (batch,), int64, says which of them row i takes, and may name one several times or never:
    y_i = W x_i + (alpha / rank) B_t A_t x_i with t = tasks[i]. Build no (out, in) matrix B A: go through the `rank`
    numbers in the middle. Gradients must reach a and b; x, w, a and b stay as they are.
    """
    raise NotImplementedError


def initial_factors(inputs: int, outputs: int, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Implement: the start (a, b): a (rank, inputs), b (outputs, rank), float32.

    One of them is zero. The other is uniform between -1/sqrt(inputs) and +1/sqrt(inputs), and the same `seed` always
    gives the same numbers. The program's own random state (torch.manual_seed) is not touched: others rely on it.
    """
    raise NotImplementedError


def merged_weight(w: Tensor, updates: list[tuple[Tensor, Tensor, float]]) -> Tensor:
    """Implement: one matrix (out, in) that alone does what w and all updates side by side do; w itself stays as it is.

    updates: at least one (a, b, alpha) in float32: a (rank, in), b (out, rank). Their ranks may differ. w is float32 or
    bfloat16, and so is the result: add in float32, and round once, at the end.
    """
    raise NotImplementedError


# Predict: how many parameters does LoRA train? No code: write the arithmetic, as 3 * (4 + 5).
TRAINED_NUMBERS = {
    # 12 layers of width 768; rank 6 on the query and value matrices (768 x 768), and on both matrices of the
    # feed-forward layers (768 -> 3,072 and 3,072 -> 768).
    "RoBERTa-base": ...,
    # 96 layers of width 12,288; rank 3 on the key, value and output matrices, which are 12,288 x 12,288.
    "GPT-3": ...,
    # Our base: 3 encoder and 3 decoder layers of width 88. Attention has a query, key, value and output matrix, 88 x 88
    # each; a decoder layer has two attentions (to itself, and to the source). A feed-forward layer has gate and up
    # (88 -> 112) and down (112 -> 88). Rank 5 on all of these in the decoder, and on nothing in the encoder.
    "t5-0.8m": ...,
}


class SwitchableLoRA:
    """Repair: a layer whose update can be moved into its own copy of the weight, and out again.

    Merging and unmerging, in whatever order and however often, changes no output. a and b may be trained (changed in
    place, by somebody else) at any time. A merged layer answers as it did when it was merged, until it is unmerged.
    An unmerged one answers with a and b as they are now, and `layer.w` is then what it was at first.
    """

    def __init__(self, w: Tensor, a: Tensor, b: Tensor, alpha: float):
        raise NotImplementedError  # remove this line, then find the mistake below
        self.w, self.a, self.b = w.clone(), a, b
        self.factor = alpha / len(a)
        self.merged = False

    def update(self) -> Tensor:
        return self.factor * (self.b @ self.a)

    def merge(self) -> None:
        if not self.merged:
            self.w += self.update()
            self.merged = True

    def unmerge(self) -> None:
        if self.merged:
            self.w -= self.update()
            self.merged = False

    def __call__(self, x: Tensor) -> Tensor:
        y = x @ self.w.transpose(0, 1)
        return y if self.merged else y + x @ self.update().T


def check_merge(merge: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """Prove: a test of other people's `merge(w, a, b, alpha)`, which should give W + (alpha / rank) B A.

    Return nothing for a right one; fail with `assert`, or `torch.testing.assert_close`, for every wrong one. Make your
    own inputs, such that no mistake can hide in them. A right one takes w (out, in), a (rank, in) and b (out, rank) of
    any sizes and of one float type, gives a new matrix of that type, exact up to the rounding of float64 where all are
    float64, and leaves w as it is.
    """
    raise NotImplementedError


def stabilised_output(x: Tensor, w: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Extend: the layer of rank-stabilised LoRA, whose factor is alpha / sqrt(rank) instead of alpha / rank.

    x (batch, in), w (out, in), a (rank, in), b (out, rank); returns (batch, out), y = W x + factor B A x for every row
    x. Gradients must reach a and b.
    """
    raise NotImplementedError
