"""Blockwise quantization: the numbers of a block are divided by the largest, and each becomes the code nearest to it.

    absmax = max |w_i| over a block      code_i: of the level nearest to w_i / absmax      w_i ~ level[code_i] * absmax

A tensor is read row by row; blocks run on over the ends of rows, and the last one may be shorter. Every format has the
levels 0, 1 and -1, so zeros and the largest number of each block stay what they are.
Two codes of 4 bits share a byte, the first in its high half. Codes, bytes, absmax and the values they stand for are
those of bitsandbytes 0.50, bit for bit, for nf4 and fp4 (tests/parity/test_bitsandbytes.py).
Cost: bits + 32 / block_size bits for each number: 4.5 with blocks of 64.
"""

import math

import torch

from minipeft.errors import UserError
from minipeft.quantization.data_types import data_type

SMALLEST = 1e-38  # what a block of zeros is divided by
CHUNK = 65536  # numbers that a CPU dequantises at a time: they stay in its cache between the two passes


@torch.no_grad()
def quantize(values: torch.Tensor, format: str = "nf4", block_size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """(bytes, absmax) of a tensor of any shape and floating type: (numbers * bits / 8,) uint8 and (blocks,) float32.

    Raises UserError where a number is not finite.
    """
    if block_size < 1:
        raise UserError(f"A block must hold at least 1 number, not {block_size}.")
    kind = data_type(format, values.device)
    scaled, absmax = scale_to_one(values.reshape(-1).float(), block_size)
    if not (absmax.is_meta or absmax.isfinite().all()):
        raise UserError("The weights hold a number that is not finite: they cannot be quantized.")
    if kind.bits == 4 and len(scaled) % 2:
        scaled = torch.nn.functional.pad(scaled, (0, 1))  # half a byte would be left over: it holds a zero
    rank = torch.bucketize(scaled, kind.midpoints, out_int32=True)  # halfway between two levels the lower one is taken
    codes = kind.order.index_select(0, rank)
    return (codes[::2] << 4 | codes[1::2] if kind.bits == 4 else codes), absmax


def scale_to_one(flat: torch.Tensor, block_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every number over the largest of its block, and these: (numbers,) in [-1, 1] and (blocks,).

    Whole blocks are multiplied by 1 / absmax, the last, partial one is divided: bitsandbytes does, and the last bits
    depend on it.
    """
    whole = len(flat) // block_size * block_size
    blocks, rest = flat[:whole].view(-1, block_size), flat[whole:]
    absmax = blocks.abs().amax(1)
    scaled = (blocks * (1 / absmax.clamp(min=SMALLEST))[:, None]).clamp_(-1, 1).view(-1)
    if len(rest):
        last = rest.abs().amax(0, keepdim=True).clamp(min=SMALLEST)
        scaled, absmax = torch.cat([scaled, (rest / last).clamp_(-1, 1)]), torch.cat([absmax, last])
    return scaled, absmax


@torch.no_grad()
def dequantize_plainly(
    codes: torch.Tensor, absmax: torch.Tensor, shape, format: str = "nf4", block_size: int = 64, dtype=torch.float32
) -> torch.Tensor:
    """level[code] * absmax, number by number, in `shape`: computed in float32, then rounded to `dtype`."""
    kind, count = data_type(format, codes.device), math.prod(shape)
    if kind.bits == 4:
        codes = torch.stack([codes >> 4, codes & 15], 1).view(-1)  # (numbers,), one more where their count is odd
    block = torch.arange(count, device=codes.device) // block_size  # (numbers,), the block that each stands in
    return (kind.levels[codes[:count].long()] * absmax[block]).to(dtype).view(shape)


@torch.no_grad()
def dequantize(
    codes: torch.Tensor, absmax: torch.Tensor, shape, format: str = "nf4", block_size: int = 64, dtype=torch.float32
) -> torch.Tensor:
    """`dequantize_plainly`, bit for bit, several times as fast.

    One look into a table of 256 pairs turns a byte into two numbers, which beats taking the halves of the byte apart;
    and only so many numbers are written out at a time as a CPU's cache holds.
    """
    kind, count = data_type(format, codes.device), math.prod(shape)
    result = torch.empty(count, dtype=dtype, device=codes.device)
    at_once = CHUNK if codes.device.type == "cpu" else count
    step = max(1, at_once // (2 * block_size)) * 2 * block_size  # numbers: whole blocks and whole bytes
    bytes_at_once = min(step * kind.bits // 8, len(codes))
    index = torch.empty(bytes_at_once, dtype=torch.int32, device=codes.device)  # both are used again for every part
    looked_up = kind.lookup.new_empty(bytes_at_once)
    for number, packed in enumerate(codes.split(bytes_at_once or 1)):
        index[: len(packed)].copy_(packed)
        torch.index_select(kind.lookup, 0, index[: len(packed)], out=looked_up[: len(packed)])
        part = result[number * step : (number + 1) * step]
        factors = absmax[number * step // block_size :]
        multiply_blocks(looked_up.view(torch.float32)[: len(part)], factors, block_size, out=part)
    return result.view(shape)


def multiply_blocks(values: torch.Tensor, factors: torch.Tensor, block_size: int, out: torch.Tensor) -> None:
    """out = each number times the factor of its block; there may be more factors than blocks."""
    blocks, rest = divmod(len(values), block_size)
    whole = blocks * block_size
    torch.mul(values[:whole].view(-1, block_size), factors[:blocks, None], out=out[:whole].view(-1, block_size))
    if rest:
        torch.mul(values[whole:], factors[blocks], out=out[whole:])
