"""Double quantization: the absmax numbers of the blocks are quantized too, to 8 bits each.

    offset = mean(absmax)        absmax ~ map[code] * scale + offset        one scale for each 256 blocks

The mean is taken out because absmax is positive and the map is made for both signs. The map is "dynamic": a sign, a
power of ten, and the more places within it the larger that power is; it holds 256 values, 0 and 1 among them.
Cost with blocks of 64: 8 / 64 + 32 / (64 * 256) = 0.127 bits for each weight in place of 32 / 64 = 0.5.
Paper: Dettmers et al. 2023, arXiv:2305.14314, section 3, which says 8-bit floats; its code, and this, take the map.
"""

from functools import cache

import torch

BLOCK_SIZE = 256
STEPS = 65535  # the grid of the table below has one point more


@cache
def dynamic_map(device: torch.device) -> torch.Tensor:
    """The 256 values in rising order, (256,) float32: 127 below zero, zero, and 128 above, the last of them 1."""
    values = [torch.tensor([0.0, 1.0], device="cpu")]
    for power in range(7):  # 10^-6 with one place, 10^-5 with two, ... 10^0 with 64
        edges = torch.linspace(0.1, 1, 2**power + 1, dtype=torch.float32, device="cpu")
        places = (edges[:-1] + edges[1:]) / 2
        values += [10 ** (power - 6) * places, -(10 ** (power - 6)) * places]
    return torch.cat(values).sort().values.to(device)


@cache
def nearest_codes(device: torch.device) -> torch.Tensor:
    """The code nearest to each of 65,536 evenly spaced values from -1 to 1, (65536,) uint8."""
    values = dynamic_map(torch.device("cpu"))
    grid = 2 * torch.arange(STEPS + 1, dtype=torch.float32, device="cpu") / STEPS - 1
    return torch.bucketize(grid, (values[:-1] + values[1:]) / 2).to(device, torch.uint8)


@torch.no_grad()
def compress(absmax: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(codes, scales, offset) of (blocks,) absmax numbers: (blocks,) uint8, (blocks / 256,) and () float32.

    As in bitsandbytes, a number is first rounded to the grid and the table then names its code: near zero, where the
    map is finer than the grid, that may not be the nearest one, which costs 1.5e-5 of the scale at most.
    """
    offset = absmax.mean()
    centred = absmax - offset
    blocks = torch.nn.functional.pad(centred, (0, -len(centred) % BLOCK_SIZE)).view(-1, BLOCK_SIZE)
    scales = blocks.abs().amax(1)
    scaled = (blocks * (1 / scales)[:, None]).clamp_(-1, 1)
    # Rounded once, after the multiplication and addition: float64 holds what is exact in between.
    position = ((scaled + 1) * 0.5).double().mul_(STEPS).add_(0.5).float().nan_to_num_(0).int()
    codes = nearest_codes(absmax.device)[position]
    codes[scales == 0] = 0
    return codes.view(-1)[: len(absmax)], scales, offset


@torch.no_grad()
def restore(codes: torch.Tensor, scales: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """The absmax numbers that `compress` left, (blocks,) float32."""
    scale = scales.repeat_interleave(BLOCK_SIZE)[: len(codes)]  # (blocks,), of the 256 that each is one of
    return dynamic_map(codes.device).index_select(0, codes.int()) * scale + offset
