"""LoftQ: fit the 4-bit weight and the start of its low-rank update to each other and to W.

    T times:   W_q <- quantize(W - s B A)     s B A <- the matrix of rank `rank` nearest to W - W_q
    y = W_q x + b + s B A x    A: (rank, in)   B: (out, rank)   W, W_q: (out, in)   s = alpha / rank

QLoRA starts from what quantization has left; here the update first makes good a part of what was
lost. The product s B A is the same for every alpha, because A and B are divided by sqrt(s) (peft
leaves s out: right where alpha = rank).
Start: B A as above, so the first forward pass is nearer to the base's than QLoRA's, and still not
quite the base's. W_q is worked out again at every attach, by the same steps: another machine's
singular vectors may differ in the last bits, and a few codes with them. The scales are quantized
once more by default, as QLoRA's are; in the paper and peft they are not.
Trainable: rank * (in + out) parameters per adapted weight.
Paper: Li et al. 2023, arXiv:2310.08659.
Lesson: lessons/14_qlora. Test: tests/methods/low_rank/test_loftq.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.methods.low_rank.qlora import QLoRA


def best_approximation(weight: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(out, rank) and (rank, in), of equal size: their product is nearest to `weight`."""
    if rank > min(weight.shape):
        raise UserError(
            f"A weight of {tuple(weight.shape)} has {min(weight.shape)} singular values: "
            f"rank {rank} is more."
        )
    U, S, V_T = torch.linalg.svd(weight, full_matrices=False)
    root = S[:rank].sqrt()
    return U[:, :rank] * root, root[:, None] * V_T[:rank]


@torch.no_grad()
def start_at(layer: LoRALinear, left: torch.Tensor, right: torch.Tensor) -> LoRALinear:
    """The layer with s B A = left right."""
    layer.B.copy_(left / layer.scaling**0.5)
    layer.A.copy_(right / layer.scaling**0.5)
    return layer


@dataclass
class LoftQ(QLoRA):
    """QLoRA's hyper-parameters; `iterations` is T, how often the two are fitted to each other."""

    iterations: int = 5

    name = "loftq"

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.iterations <= 100:  # also where a file asks for them
            raise UserError(f"LoftQ's iterations must be from 1 to 100, not {self.iterations}.")

    @torch.no_grad()
    def wrap(self, linear: nn.Linear, rank: int) -> LoRALinear:
        layer = super().wrap(linear, rank)
        wide = torch.promote_types(linear.weight.dtype, torch.float32)  # there is no SVD in 16 bit
        exact = linear.weight.to(wide)
        left, right = best_approximation(exact - layer.linear.dequantize(exact.dtype), rank)
        for _ in range(self.iterations - 1):
            layer.linear.store(exact - left @ right)
            left, right = best_approximation(exact - layer.linear.dequantize(exact.dtype), rank)
        return start_at(layer, left, right)
