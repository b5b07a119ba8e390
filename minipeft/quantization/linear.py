"""A linear layer whose frozen weight is stored in 4 or 8 bits and written out again each time it is needed.

    y = x W_q^T + b        W_q = level[codes] * absmax: (out, in), in the type of x, alive during this one product

Four bits are how the weight is kept, not how it is computed with: every product is one of 16 or 32 bit numbers, and to
write the weight out costs time. The backward pass writes it out anew, so that nothing of it waits in between.
Paper: Dettmers et al. 2023, arXiv:2305.14314, equation 5.
"""

from typing import Any

import torch
from torch import nn

from minipeft.quantization.blockwise import dequantize, quantize
from minipeft.quantization.double_quantization import compress, restore


class QuantizedProduct(torch.autograd.Function):
    """x W_q^T + b, which remembers the layer and no weight."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bias: torch.Tensor | None, layer: "QuantizedLinear") -> torch.Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, layer.dequantize(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        """`gradient`: (..., out). The codes are frozen: there is no gradient for them."""
        for_x, for_bias = None, None
        if ctx.needs_input_grad[0]:
            for_x = gradient @ ctx.layer.dequantize(gradient.dtype)  # (..., in)
        if ctx.needs_input_grad[1]:
            for_bias = gradient.reshape(-1, gradient.shape[-1]).sum(0)
        return for_x, for_bias, None


class QuantizedLinear(nn.Module):
    """What nn.Linear has (in_features, out_features, weight, bias) on a weight in codes; takes over `linear`'s bias.

    `weight` is a copy written out for the occasion: what is written into it is lost. Methods that merge know that and
    refuse, or merge into a plain layer, as QLoRA does.
    """

    def __init__(self, linear: nn.Linear, format: str = "nf4", block_size: int = 64, double_quantization: bool = False):
        super().__init__()
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self.format, self.block_size, self.double_quantization = format, block_size, double_quantization
        self.register_buffer("like", linear.weight.detach().new_empty(0), persistent=False)  # the type of `weight`
        self.store(linear.weight)

    def store(self, weight: torch.Tensor) -> None:
        """Quantize `weight`, (out, in), and keep it in place of what was kept before.

        The scales are kept as bits, in integers: model.to(torch.bfloat16) casts every floating buffer, and they must
        stay as exact as they are.
        """
        codes, absmax = quantize(weight, self.format, self.block_size)
        self.register_buffer("codes", codes)
        if self.double_quantization:
            absmax_codes, scales, offset = compress(absmax)
            self.register_buffer("absmax_codes", absmax_codes)
            self.register_buffer("absmax_scales", scales.view(torch.int32))
            self.register_buffer("absmax_offset", offset.view(torch.int32))
        else:
            self.register_buffer("absmax_bits", absmax.view(torch.int32))

    def absmax(self) -> torch.Tensor:
        """(blocks,) float32."""
        if not self.double_quantization:
            return self.absmax_bits.view(torch.float32)
        scales, offset = self.absmax_scales.view(torch.float32), self.absmax_offset.view(torch.float32)
        return restore(self.absmax_codes, scales, offset)

    def dequantize(self, dtype: torch.dtype) -> torch.Tensor:
        """(out, in)."""
        shape = self.out_features, self.in_features
        return dequantize(self.codes, self.absmax(), shape, self.format, self.block_size, dtype)

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), a copy in the type that the layer's weight had."""
        return self.dequantize(self.like.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        device = x.device.type
        if device != "meta" and torch.is_autocast_enabled(device):  # a model without numbers knows no autocast
            x = x.to(torch.get_autocast_dtype(device))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return QuantizedProduct.apply(x, bias, self)  # (..., out)

    def stored_bytes(self) -> int:
        """Of the codes and of what belongs to the blocks; the bias is no part of it."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())

    def bits_per_parameter(self) -> float:
        """4.5 for nf4 in blocks of 64, 4.127 with double quantization."""
        return 8 * self.stored_bytes() / (self.in_features * self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, format={self.format}, bias={self.bias is not None}"
