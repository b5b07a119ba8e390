"""LoRA+: LoRA whose B learns faster than its A.

    y = W x + b + (alpha / rank) * B A x        A: (rank, in)   B: (out, rank)   W: (out, in)
    A <- A - rate * step_A        B <- B - ratio * rate * step_B

B starts at zero and A does not: the paper shows that one rate for both suits neither in a wide
network, and that B's should be the higher. Nothing but the optimizer's parameter groups differs
from LoRA. The learning rate is A's.
Start: as LoRA, B = 0, so the first forward pass is the base model's.
Trainable: rank * (in + out) parameters per adapted weight.
Paper: Hayou et al. 2024, arXiv:2402.12354.
Lesson: lessons/15_lora_family. Test: tests/methods/low_rank/test_lora_plus.py.
"""

from dataclasses import dataclass
from typing import Any

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA


@dataclass
class LoRAPlus(LoRA):
    """`ratio`: B's learning rate over A's. The best one depends on the task; 16 is our choice, and
    1 is LoRA.

    The suggested rates are LoRA's divided by sqrt(16): A learns slower than there, B faster, by the
    same factor.
    """

    ratio: float = 16.0

    name = "lora_plus"
    suggested_learning_rate = 1.25e-3
    learning_rate_grid = (5e-4, 1.25e-3, 2.5e-3, 5e-3)

    def __post_init__(self):
        super().__post_init__()
        if self.ratio < 1:
            raise UserError(
                f"LoRA+'s ratio must be at least 1, not {self.ratio}: "
                "B learns at that multiple of A's rate."
            )

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """All A at `learning_rate`, all B at `ratio` times as much."""
        layers = [layer for _, layer in self.layers()]
        return [
            {"params": [layer.A for layer in layers], "lr": learning_rate},
            {"params": [layer.B for layer in layers], "lr": learning_rate * self.ratio},
        ]
