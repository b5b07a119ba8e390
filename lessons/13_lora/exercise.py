"""Chapter 13, LoRA: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/13_lora
    python -m minipeft hint 13

Letters: x (batch, in) are inputs, one a row; w (out, in) is frozen; a (rank, in) and b (out, rank) are trained.
"""

from collections.abc import Callable

import torch  # noqa: F401  you will need it
from torch import Tensor


def lora_output(x: Tensor, w: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Implement: what the layer gives, (batch, out): y = W x + (alpha / rank) B A x for every row x.

    The rank can be read off `a`. Do not build the (out, in) matrix B A: go through the `rank` numbers in the middle.
    """
    raise NotImplementedError


def initial_factors(inputs: int, outputs: int, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Implement: the start (a, b): a (rank, inputs), b (outputs, rank), float32.

    One of them is zero. The other is uniform between -1/sqrt(inputs) and +1/sqrt(inputs), and the same `seed` always
    gives the same numbers.
    """
    raise NotImplementedError


def merged_weight(w: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Implement: one matrix (out, in) that alone does what w, a and b do together; `w` itself stays as it is."""
    raise NotImplementedError


# Predict: how many parameters does LoRA train? No code: write the arithmetic, as 3 * (4 + 5).
TRAINED_NUMBERS = {
    # 12 layers of width 768; rank 8 on the query and value matrices, which are 768 x 768.
    "RoBERTa-base": ...,
    # 24 layers of width 1,024; rank 4 on the query and value matrices, which are 1,024 x 1,024. (The paper prints
    # 0.35 million. Is it right?)
    "GPT-2 medium": ...,
    # Our base: 3 encoder and 3 decoder layers of width 88. Attention has a query, key, value and output matrix, 88 x 88
    # each; a decoder layer has two attentions (to itself, and to the source). A feed-forward layer has gate and up
    # (88 -> 112) and down (112 -> 88). Rank 6 on all value and all down matrices, and on no others.
    "t5-0.8m": ...,
}


class SwitchableLoRA:
    """Repair: a layer that can move its update into its own copy of the weight and out again, and take other factors.

    `layer(x)` is always W x + (alpha / rank) B A x, for every row x, with the factors that it was given last: whatever
    has been called before, in whatever order and however often. Only merge and unmerge change `merged`. The new
    factors may have another rank; alpha stays.
    """

    def __init__(self, w: Tensor, a: Tensor, b: Tensor, alpha: float):
        raise NotImplementedError  # remove this line, then find the mistake below
        self.w, self.a, self.b, self.alpha = w.clone(), a, b, alpha
        self.merged = False

    def update(self) -> Tensor:
        return self.alpha / len(self.a) * (self.b @ self.a)

    def merge(self) -> None:
        if not self.merged:
            self.w += self.update()
            self.merged = True

    def unmerge(self) -> None:
        if self.merged:
            self.w -= self.update()
            self.merged = False

    def load(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b

    def __call__(self, x: Tensor) -> Tensor:
        y = x @ self.w.transpose(0, 1)
        if not self.merged:
            y = y + x @ self.update().T
        return y


def check_merge(merge: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """Prove: a test of other people's `merge(w, a, b, alpha)`, which should do what `merged_weight` does.

    Return for a right one; fail with `assert`, or `torch.testing.assert_close`, for every wrong one. Make your own
    inputs, such that no mistake can hide in them. A right one is exact up to the rounding of float64, for any shapes.
    """
    raise NotImplementedError


def stabilised_output(x: Tensor, w: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Extend: as `lora_output`, with the factor of rank-stabilised LoRA: alpha / sqrt(rank) instead of alpha / rank."""
    raise NotImplementedError
