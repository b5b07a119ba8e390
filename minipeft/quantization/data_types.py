"""Number formats of 4 and 8 bits: the values in [-1, 1] that a code stands for.

    nf4     16 quantiles of a normal distribution: each code is used about equally often, if weights are normal
    fp4     1 sign bit, 2 bits of exponent, 1 of mantissa, in the order of bitsandbytes
    int4    k / 7 for k = -8 ... 7: evenly spaced (-8 / 7 lies outside of [-1, 1] and is never used)
    int8    k / 127 for k = -128 ... 127, likewise

NF4 is a table and no floating point number: it has no exponent and no mantissa.
Paper: Dettmers et al. 2023, arXiv:2305.14314. Its equation 4 does not give the levels that its code uses; these do.
"""

from dataclasses import dataclass
from functools import cache

import torch

from minipeft.errors import UserError

OUTERMOST = (
    0.9677083  # the quantile of level 1: the mean of 1 - 1/30 and 1 - 1/32, to seven digits as in the paper's code
)


@dataclass(frozen=True)
class DataType:
    """A format as tables on one device; `levels` stands in the order of the codes, the others in rising order."""

    bits: int
    levels: torch.Tensor  # (2^bits,) float32
    midpoints: torch.Tensor  # (2^bits - 1,), between neighbours
    order: torch.Tensor  # (2^bits,) uint8, the code of the lowest level, of the next, ...
    lookup: torch.Tensor  # (256,), what a byte holds: two float32 seen as one float64 (4 bits), or one float32 (8 bits)


@cache
def data_type(name: str, device: torch.device) -> DataType:
    """The format `name`, one of LEVELS. Raises UserError for any other."""
    if name not in LEVELS:
        raise UserError(f"There is no number format {name!r}: choose one of {', '.join(LEVELS)}.")
    levels = LEVELS[name]()
    ordered, order = levels.sort(stable=True)
    bits = 4 if len(levels) == 16 else 8
    lookup = levels
    if bits == 4:
        byte = torch.arange(256, device="cpu")
        lookup = levels[torch.stack([byte >> 4, byte & 15], 1)].view(torch.float64)[:, 0]  # the high half comes first
    tables = levels, (ordered[:-1] + ordered[1:]) / 2, order.to(torch.uint8), lookup
    return DataType(bits, *(table.to(device) for table in tables))


def nf4_levels() -> torch.Tensor:
    """-1, seven quantiles below 0, 0, and eight above, of which the last is 1: (16,) float32.

    The steps are those of the published table: rounded where it was rounded, all levels agree to the last bit.
    """
    sides = []
    for count in (8, 9):  # with the quantile 0.5, whose value is 0; both sides have it, it counts once
        points = torch.linspace(OUTERMOST, 0.5, count, dtype=torch.float32, device="cpu")
        sides.append(torch.special.ndtri(points[:-1].double()))
    levels = torch.cat([-sides[0], sides[1].new_zeros(1), sides[1].flip(0)]).float()
    return levels / levels[-1]


def fp4_levels() -> torch.Tensor:
    """0, 1/16, 8, 12, 4, 6, 2, 3 and their negatives, over 12: (16,) float32. Here 0 may be code 0 or code 8."""
    magnitudes = []
    for code in range(8):
        exponent, mantissa = code >> 1, code & 1
        magnitudes.append((1 + mantissa / 2) * 2 ** (4 - exponent) if exponent else mantissa / 16)
    positive = torch.tensor(magnitudes, dtype=torch.float32, device="cpu") / 12
    return torch.cat([positive, 0 - positive])


def integer_levels(bits: int) -> torch.Tensor:
    """k / (2^(bits-1) - 1) for the whole numbers k of that many bits, from the lowest on: (2^bits,) float32."""
    highest = 2 ** (bits - 1) - 1
    return torch.arange(-highest - 1, highest + 1, dtype=torch.float32, device="cpu") / highest


LEVELS = {
    "nf4": nf4_levels,
    "fp4": fp4_levels,
    "int4": lambda: integer_levels(4),
    "int8": lambda: integer_levels(8),
}
