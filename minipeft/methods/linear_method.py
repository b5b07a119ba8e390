"""What all methods share that put a layer with another weight in the place of a linear layer: LoRA and its kin.

    attach    linear -> wrap(linear)        merge    linear.weight <- wrapper.weight   (and the bias, where it differs)

Such a method says `wrap`. Its wrappers have the `weight`, (out, in), and `bias` that they compute with: merging copies
them, and models that read a layer's weight instead of calling the layer (T5 in transformers, torch's attention) do so.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.memory_places import READABLE, finite, require_writable, tensors_by_storage
from minipeft.methods.method import Method
from minipeft.methods.targets import Kind, find_modules
from minipeft.quantization.linear import QuantizedLinear


class TransposedLinear(nn.Module):
    """The face of nn.Linear on a layer whose own weight is (in, out): GPT-2 in transformers calls it Conv1D."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.in_features, self.out_features = layer.weight.shape

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), a view: what is written into it stands in the layer."""
        return self.layer.weight.T

    @property
    def bias(self) -> torch.Tensor | None:
        return self.layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # (..., out)


def linear_kinds(model: nn.Module) -> tuple[type, ...]:
    """The types of linear layers that stand in `model`. Conv1D is known by its name: its library need not be here."""
    kinds = {type(module) for module in model.modules()}
    transposed = {kind for kind in kinds if any(base.__name__ == "Conv1D" for base in kind.__mro__)}
    return (nn.Linear, *transposed, *{kind for kind in kinds if issubclass(kind, QuantizedLinear)})


def as_linear(layer: nn.Module) -> nn.Module:
    """The layer itself, or a face on it that keeps its weight the usual way round."""
    return layer if isinstance(layer, nn.Linear | QuantizedLinear) else TransposedLinear(layer)


def linear_layers(model: nn.Module, targets: Iterable[str]) -> list[tuple[str, nn.Module]]:
    """(path, layer) of each linear layer that a target names. Raises UserError for one that others have quantized."""
    layers = find_modules(model, targets, linear_kinds(model))
    for path, layer in layers:
        if layer.weight.dtype not in READABLE or type(layer.weight) not in (torch.Tensor, nn.Parameter):
            raise UserError(
                f"The weight of {path} is a {type(layer.weight).__name__} of type {layer.weight.dtype}, and cannot be "
                "read here: load the model in 16 or 32 bits, not quantized by another library (qlora quantizes it)."
            )
    return layers


def changed(wrapper: nn.Module, original: nn.Module) -> tuple[str, ...]:
    """What merging writes: the weight, and the bias where the wrapper has one of its own."""
    return ("weight",) if wrapper.bias is as_linear(original).bias else ("weight", "bias")


class LinearMethod(Method):
    """A method that wraps the linear layers that `targets` name, and can be merged into them."""

    can_merge = True
    adds: ClassVar[bool] = False  # merging adds the wrapper's update(), so that it can be subtracted again
    merged: ClassVar[Any] = None  # after such a merge, on the instance: model, parameters, fingerprint

    def wrap(self, linear: nn.Linear) -> nn.Module:
        """The layer that takes the place of `linear`; it starts, and is merged, as the docstring of its file says."""
        raise NotImplementedError

    def install(self, model: nn.Module) -> None:
        self.replace(self.targets, lambda layer: self.wrap(as_linear(layer)))

    def replace(self, targets: Iterable[str], wrap: Callable[[nn.Module], nn.Module], kind: Kind | None = None) -> None:
        """`Method.replace` for linear layers alone; `wrap` gets the layer as it stands in the model."""
        linear_layers(self.model, targets)  # refuses what cannot be read
        super().replace(targets, wrap, kind or linear_kinds(self.model))

    def plain_layers(self) -> dict[nn.Module, nn.Module]:
        """For each wrapper that stands in the model the layer of the base whose place it has."""
        self.require_attached()
        found = {getattr(parent, attribute, None): original for parent, attribute, original in self._replaced}
        if not all(hasattr(wrapper, "weight") for wrapper in found):
            raise UserError(f"A layer of {self.name} was taken out of the model: put it back, or detach().")
        return found

    def layers(self) -> list[tuple[str, nn.Module]]:
        """(path, wrapper) of each wrapper, in the model's order; one that stands in several places comes once."""
        wrappers = self.plain_layers()
        return [(path, module) for path, module in self.model.named_modules() if module in wrappers]

    def merge_weights(self) -> None:
        plain = self.plain_layers()
        held = tensors_by_storage(self.model, plain)
        for path, wrapper in self.layers():
            if isinstance(plain[wrapper], QuantizedLinear):
                raise UserError(
                    f"{path} is quantized, and what is added to its weight would be lost: keep the method attached, or "
                    "use qlora on the plain model, which quantizes it and can be merged."
                )
            for name in changed(wrapper, plain[wrapper]):
                require_writable(name, path, plain[wrapper], held)
                if not finite(getattr(wrapper, name)):
                    raise UserError(f"The merged {name} of {path} would not be finite: nothing was merged.")
        for wrapper, original in plain.items():
            for name in changed(wrapper, original):
                getattr(as_linear(original), name).copy_(getattr(wrapper, name))
        if self.adds:
            self.merged = self.model, self.state_dict(), self.fingerprint

    def unmerge(self) -> None:
        """Undo `merge`: attached again to the same model with the same parameters, which can be trained on.

        (W + update) - update is W to rounding, not bit for bit. A file saved now is for the base as it was before the
        merge: the method keeps its fingerprint. detach() leaves a model that is another one by its bits, so other
        adapter files of the base are to be loaded on a fresh copy of it.
        """
        if not self.adds:
            raise UserError(f"{self.name} cannot be unmerged: its merging is no plain sum. Load the base and attach.")
        if self.merged is None:
            raise UserError(f"There is nothing to unmerge: merge() this {self.name} first.")
        model, state, fingerprint = self.merged
        self.attach(model, state)
        self.fingerprint = fingerprint
        self.merged = None
        with torch.no_grad():
            for wrapper, original in self.plain_layers().items():
                as_linear(original).weight.sub_(wrapper.update())
        self.base.remember()
