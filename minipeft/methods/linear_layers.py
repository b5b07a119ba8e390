"""Linear layers of any model, whichever way round they keep their weight.

A method that changes weights asks a layer for what nn.Linear has: in_features, out_features, weight (out, in), bias,
forward. Models from elsewhere may store the weight as (in, out): GPT-2 in transformers does, and calls it Conv1D.
They may also read the weight of a layer, its type or the numbers, so what a method puts in its place should have a
`weight` and a `bias` that do the same, as LoRALinear has: T5 in transformers and torch's own attention read them.
"""

from torch import Tensor, nn


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
    return (nn.Linear, *{type(module) for module in model.modules() if type(module).__name__ == "Conv1D"})


def as_linear(layer: nn.Module) -> nn.Module:
    """The layer itself, or a face on it that keeps its weight the usual way round."""
    return layer if isinstance(layer, nn.Linear) else TransposedLinear(layer)
