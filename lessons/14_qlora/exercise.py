"""Chapter 14, NF4 and QLoRA: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/14_qlora
    python -m minipeft hint 14

Letters: x (batch, in) are inputs; W_q (out, in) is stored as codes and absmax; A (rank, in) and B (out, rank) are
trained.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minipeft.quantization.blockwise import dequantize, quantize  # noqa: F401  (for the last exercises)


def nf4_levels(bits: int = 4) -> Tensor:
    """Implement: the levels of NF4, and of its brothers with 2 to 8 bits: 2^bits of them in rising order, float32.

    With n = 2^bits, there are n/2 - 1 quantiles below zero, zero, and n/2 above it, over the largest: 7, 1 and 8 for
    NF4. On each side the probabilities are evenly spaced from 0.5 (which gives the zero, and counts once) to the
    outermost one, the mean of 1 - 1/(2n - 2) and 1 - 1/(2n). The quantile of a probability p is torch.special.ndtri(p).
    """
    raise NotImplementedError


def quantize_blocks(values: Tensor, levels: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Implement: (codes, absmax) of (n,) numbers, (n,) int64 and (blocks,).

    levels: (k,) in rising order. A block is `block_size` numbers that follow one another; the last one may be shorter.
    code_i is the index of the level nearest to w_i / absmax of its block. A block of zeros has absmax 0, and its codes
    are those of the level 0. `values` stays as it is.
    """
    raise NotImplementedError


def pack(codes: Tensor) -> Tensor:
    """Repair: (n,) codes from 0 to 15, any whole type, as (n / 2, rounded up) bytes, uint8, in the order of llama.cpp.

    The first code of each two neighbours goes into the low half of their byte, the second into the high half. With an
    odd n half a byte is left over: it gets code 7, which is the level 0. `codes` stays as it is.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    codes = codes.to(torch.uint8)
    if len(codes) % 2:
        codes = torch.cat([codes, codes.new_tensor([7])])
    low, high = codes.view(2, -1)
    return low + 16 * high


def qlora_output(x: Tensor, codes: Tensor, absmax: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """Implement: y = W_q x + (alpha / rank) * B A x, (batch, out), in the type of x.

    x: (batch, in) of any floating type, A: (rank, in) and B: (out, rank) of the same type. codes and absmax are what
    `quantize` made of W (out, in), in NF4 and blocks of 64: dequantize(codes, absmax, shape, "nf4", 64, dtype) writes
    it out. Gradients must reach x, A and B.
    """
    raise NotImplementedError


def check_round_trip(round_trip: Callable[[Tensor, int], Tensor]) -> None:
    """Prove: raise AssertionError unless `round_trip` keeps the laws of NF4; return nothing where it does.

    round_trip(values, block_size) takes (n,) numbers and gives (n,): what is left of them after they were quantized
    and dequantised. The laws, for any numbers: none is farther off than half the widest gap between levels (-1 and
    -0.6961928) times the absmax of its block; zero stays zero; a block holds at most 16 different numbers; a second
    round trip changes nothing.
    """
    raise NotImplementedError


# A model of the shape of LLaMA-7B: 32 layers, each with four matrices of 4096 x 4096 and three of
# 4096 x 11008. Besides: an embedding and a head of 32,000 x 4096 each, and 65 norms of 4096 numbers.
# You may write sums, as in 4 * 4096 * 4096.

# Predict: how many bytes are the weights, with the layers' matrices in NF4 (blocks of 64, one float32 absmax each) and
# all the rest in 16 bits?
NF4_BYTES = ...

# Predict: the same with double quantization, which takes one byte for each absmax, one float32 for each 256 of them,
# and one float32 (the mean) for each matrix.
DOUBLE_NF4_BYTES = ...

# Predict: how many bytes takes LoRA of rank 64 on all of the layers' matrices, in float32? Its weights, their gradients
# and the two moving averages of Adam together.
LORA_STATE_BYTES = ...


def merge_requantized(
    codes: Tensor, absmax: Tensor, A: Tensor, B: Tensor, alpha: float
) -> tuple[Tensor, Tensor, float]:
    """Extend: (codes, absmax, error) of W_q + (alpha / rank) * B A, stored in NF4 again.

    codes and absmax: of W_q (out, in), in blocks of 64, as `quantize` makes them. A: (rank, in), B: (out, rank).
    error: |stored - sum| / |sum| in Frobenius norms, where `sum` is what was to be stored.
    """
    raise NotImplementedError
