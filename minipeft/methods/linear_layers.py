"""Linear layers of any model, whichever way round they keep their weight.

A method that changes weights asks a layer for what nn.Linear has: in_features, out_features, weight (out, in), bias,
forward. Models from elsewhere may store the weight as (in, out): GPT-2 in transformers does, and calls it Conv1D.
They may also read the weight of a layer, its type or the numbers, so what a method puts in its place should have a
`weight` and a `bias` that do the same, as LoRALinear has: T5 in transformers and torch's own attention read them.
A quantized layer has that face too, but its weight is a copy: it can be wrapped and not merged into.
"""

from torch import Tensor, nn

from minipeft.errors import UserError
from minipeft.quantization.linear import QuantizedLinear


class TransposedLinear(nn.Module):
    """The face of nn.Linear on a layer whose own weight is (in, out)."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.in_features, self.out_features = layer.weight.shape

    @property
    def weight(self) -> Tensor:
        """(out, in), a view: what is written into it stands in the layer."""
        return self.layer.weight.T

    @property
    def bias(self) -> Tensor | None:
        return self.layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # (..., out)


def linear_kinds(model: nn.Module) -> tuple[type, ...]:
    """The types of linear layers that stand in `model`. Conv1D is known by its name: its library need not be here."""
    kinds = {type(module) for module in model.modules()}
    return (nn.Linear, *{kind for kind in kinds if kind.__name__ == "Conv1D" or issubclass(kind, QuantizedLinear)})


def as_linear(layer: nn.Module) -> nn.Module:
    """The layer itself, or a face on it that keeps its weight the usual way round."""
    return layer if isinstance(layer, nn.Linear | QuantizedLinear) else TransposedLinear(layer)


def refuse_quantized(path: str, layer: nn.Module) -> None:
    """Raise where merging would write into the weight of a quantized layer, which is a copy made for the occasion."""
    if isinstance(layer, QuantizedLinear):
        raise UserError(
            f"{path} is quantized, and what is added to its weight would be lost: keep the method attached, or use "
            "qlora on the plain model, which quantizes it and can be merged."
        )
