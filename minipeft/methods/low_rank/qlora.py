"""QLoRA: LoRA on a base whose weights are stored in 4 bits.

    y = W_q x + b + (alpha / rank) * B A x    A: (rank, in)   B: (out, rank)

    W_q: (out, in), W in 4 bits

`attach` quantizes the targeted layers. Every product writes W_q out in the type of x
(quantization/linear.py); the gradient passes through it, and only A and B learn. W is quantized by
the same steps everywhere: a file holds A and B.
Start: A uniform in +-1/sqrt(in), B = 0, so the first forward pass is the quantized model's and not
quite the base's.
Trainable: rank * (in + out) parameters per adapted weight.
Memory: 4.127 bits for each quantized weight in place of 16 or 32. The plain layers stay with the
method, outside of the model, because detach() puts them back: what `compare` counts is the
quantized model, as where the base is dropped.
Paper: Dettmers et al. 2023, arXiv:2305.14314.
Lesson: lessons/14_qlora. Test: tests/methods/low_rank/test_qlora.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import as_linear
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.quantization.data_types import LEVELS
from minipeft.quantization.linear import QuantizedLinear


@dataclass
class QLoRA(LoRA):
    """LoRA's hyper-parameters, and how the base is stored: `format` is nf4, fp4, int4 or int8.

    merge() writes W_q + update into the plain layers: the outputs are those that were trained, each
    weight costs its 16 or 32 bits again, and W is gone, since the update belongs to W_q and not to
    it. merge_requantized() keeps 4 bits and costs what it says.
    """

    format: str = "nf4"
    block_size: int = 64
    double_quantization: bool = True

    name = "qlora"
    starts_at_identity = False
    adds = False  # merging writes W_q + update over W, from where there is no way back

    def __post_init__(self):
        super().__post_init__()
        if self.format not in LEVELS:
            raise UserError(
                f"{self.name}'s format must be one of {', '.join(LEVELS)}, not {self.format!r}."
            )
        if self.block_size < 1:
            raise UserError(f"{self.name}'s block_size must be at least 1, not {self.block_size}.")

    def wrap(self, linear: nn.Linear, rank: int) -> LoRALinear:
        return LoRALinear(self.quantized(linear), rank, self.alpha, self.dropout)

    def quantized(self, linear: nn.Linear) -> QuantizedLinear:
        return QuantizedLinear(linear, self.format, self.block_size, self.double_quantization)

    @torch.no_grad()
    def merge_requantized(self) -> dict[str, float]:
        """Merge and quantize the sum: a model in 4 bits without adapters, whose outputs are only
        near those trained.

        Returns by path |stored - sum| / |sum|, in Frobenius norms. nf4 loses 0.09 of normal
        weights, and an update that is small against that mostly gets lost.
        """
        wrappers = self.plain_layers()
        places = list(self._replaced)
        paths = {wrappers[wrapper]: path for path, wrapper in self.layers()}
        self.merge()
        stored = {plain: self.quantized(as_linear(plain)).train(plain.training) for plain in paths}
        for parent, attribute, plain in places:
            setattr(parent, attribute, stored[plain])
        errors = {}
        for plain, path in paths.items():
            exact = as_linear(plain).weight
            errors[path] = float((stored[plain].weight - exact).norm() / exact.norm())
        return errors
