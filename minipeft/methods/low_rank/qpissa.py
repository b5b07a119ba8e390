"""QPiSSA: PiSSA with the frozen residual in 4 bits.

    s B A = best approximation of rank `rank` to W    W_q = quantize(W - s B A)    s = alpha / rank
    y = W_q x + b + s B A x        A: (rank, in)   B: (out, rank)   W, W_q: (out, in)

The strongest directions are trained, in full precision. Only what they leave is quantized: its
entries are smaller than W's, and so is the loss.
Start: as above, so the first forward pass is near the base's and not quite it. W_q is worked out
again at every attach, as in LoftQ, which goes the other way round: it quantizes first and
approximates what was lost.
Trainable: rank * (in + out) parameters per adapted weight.
Paper: Meng et al. 2024, arXiv:2404.02948.
Lesson: lessons/14_qlora. Test: tests/methods/low_rank/test_qpissa.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.methods.low_rank.loftq import best_approximation, start_at
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.methods.low_rank.qlora import QLoRA


@dataclass
class QPiSSA(QLoRA):
    """QLoRA's hyper-parameters; as in PiSSA, `alpha` sets the sizes of A and B, not of B A."""

    alpha: float = 8.0

    name = "qpissa"
    suggested_learning_rate = 1e-2

    @torch.no_grad()
    def wrap(self, linear: nn.Linear, rank: int) -> LoRALinear:
        layer = super().wrap(linear, rank)
        wide = torch.promote_types(linear.weight.dtype, torch.float32)  # there is no SVD in 16 bit
        exact = linear.weight.to(wide)
        left, right = best_approximation(exact, rank)
        layer.linear.store(exact - left @ right)
        return start_at(layer, left, right)
