"""rsLoRA: LoRA whose update keeps its size when the rank grows.

    y = W x + b + (alpha / sqrt(rank)) * B A x     A: (rank, in)   B: (out, rank)   W: (out, in)

With LoRA's alpha / rank, the argument goes, activations and gradients vanish as the rank grows, so
that more rank brings nothing; with the square root they stay as they are. At rank 1 the two are the
same method.
Start: as LoRA, B = 0, so the first forward pass is the base model's.
Trainable: rank * (in + out) parameters per adapted weight.
Paper: Kalajdzievski 2023, arXiv:2312.03732.
Lesson: lessons/15_lora_family. Test: tests/methods/low_rank/test_rslora.py.
"""

from dataclasses import dataclass

from torch import nn

from minipeft.methods.low_rank.lora import LoRA, LoRALinear


@dataclass
class RSLoRA(LoRA):
    """LoRA's hyper-parameters; at rank 8 the same alpha weighs sqrt(8) = 2.8 times as much."""

    name = "rslora"

    def wrap(self, linear: nn.Linear, rank: int) -> LoRALinear:
        alpha = self.alpha * rank**0.5  # divided by the rank: alpha / sqrt(rank)
        return LoRALinear(linear, rank, alpha, self.dropout)
