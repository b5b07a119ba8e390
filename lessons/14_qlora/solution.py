"""Chapter 14, NF4 and QLoRA: the reference answers."""

from collections.abc import Callable

import torch
from torch import Tensor

from minipeft.quantization.blockwise import dequantize, quantize

LAYERS, WIDTH, INNER, VOCABULARY, RANK = 32, 4096, 11008, 32000, 64


def nf4_levels(bits: int = 4) -> Tensor:
    """The levels in rising order, (2^bits,) float32."""
    count = 2**bits
    outermost = 1 - (1 / (2 * count - 2) + 1 / (2 * count)) / 2
    above = torch.linspace(0.5, outermost, count // 2 + 1, dtype=torch.float64)[1:]  # probabilities
    below = torch.linspace(0.5, outermost, count // 2, dtype=torch.float64)[1:]
    zero = torch.zeros(1, dtype=torch.float64)
    levels = torch.cat([-torch.special.ndtri(below), zero, torch.special.ndtri(above)])
    levels = levels.sort().values
    return (levels / levels.max()).float()


def quantize_blocks(values: Tensor, levels: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """(codes, absmax) of (n,) numbers: (n,) int64 and (blocks,)."""
    codes, absmax = [], []
    for block in values.split(block_size):
        largest = block.abs().max()
        scaled = block / largest.clamp(min=1e-38)
        distances = (scaled[:, None] - levels).abs()  # (numbers of the block, levels)
        codes.append(distances.argmin(1))
        absmax.append(largest)
    return torch.cat(codes), torch.stack(absmax)


def pack(codes: Tensor) -> Tensor:
    """(n,) codes from 0 to 15 as (n / 2, rounded up) bytes, uint8."""
    codes = codes.to(torch.uint8)
    if len(codes) % 2:
        codes = torch.cat([codes, codes.new_tensor([7])])
    low, high = codes.view(-1, 2).unbind(1)
    return low + 16 * high


def qlora_output(x: Tensor, codes: Tensor, absmax: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """y = W_q x + (alpha / rank) * B A x, (batch, out)."""
    shape = len(B), A.shape[1]
    weight = dequantize(codes, absmax, shape, "nf4", 64, x.dtype)  # (out, in)
    low = x @ A.T  # (batch, rank)
    return x @ weight.T + (alpha / len(A)) * (low @ B.T)


def check_round_trip(round_trip: Callable[[Tensor, int], Tensor]) -> None:
    """Raise AssertionError unless round_trip(values, block_size) keeps the laws of NF4."""
    for seed in range(10):
        values = torch.randn(150, generator=torch.Generator().manual_seed(seed))
        values *= torch.tensor([1.0, 100.0, 0.01]).repeat_interleave(64)[:150]
        values[::7] = 0.0
        left = round_trip(values.clone(), 64)
        for block, kept in zip(values.split(64), left.split(64), strict=True):
            half_gap = (1 - 0.6961928) / 2
            bound = half_gap * block.abs().max()
            assert ((kept - block).abs() <= 1.0001 * bound).all(), "a number is farther off than half a gap"
            assert len(kept.unique()) <= 16, "4 bits cannot tell so many numbers apart"
        assert (left[values == 0] == 0).all(), "zero has changed"
        assert torch.equal(round_trip(left.clone(), 64), left), "the second time changes something"


QUANTIZED = LAYERS * (4 * WIDTH * WIDTH + 3 * WIDTH * INNER)  # numbers in the linear layers of the blocks
PLAIN = 2 * VOCABULARY * WIDTH + (2 * LAYERS + 1) * WIDTH  # in the embedding, the head and the norms
BLOCKS = QUANTIZED // 64
NF4_BYTES = QUANTIZED // 2 + 4 * BLOCKS + 2 * PLAIN
DOUBLE_NF4_BYTES = QUANTIZED // 2 + (BLOCKS + 4 * BLOCKS // 256 + 4 * 7 * LAYERS) + 2 * PLAIN
ADAPTERS = RANK * LAYERS * (4 * (WIDTH + WIDTH) + 3 * (WIDTH + INNER))  # numbers in A and B
LORA_STATE_BYTES = (4 + 4 + 8) * ADAPTERS


def merge_requantized(
    codes: Tensor, absmax: Tensor, A: Tensor, B: Tensor, alpha: float
) -> tuple[Tensor, Tensor, float]:
    """(codes, absmax, error) of W_q + (alpha / rank) * B A, in NF4 again."""
    shape = len(B), A.shape[1]
    old = dequantize(codes, absmax, shape)
    merged = old + alpha / len(A) * (B @ A)  # (out, in)
    codes, absmax = quantize(merged)
    stored = dequantize(codes, absmax, shape)
    return codes, absmax, float((stored - merged).norm() / merged.norm())
