"""Asked of tensors before they are trained or written into: their type, their places in memory, are they finite."""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import nn

from minipeft.errors import UserError

READABLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # the types that can be computed with


def finite(tensor: torch.Tensor) -> bool:
    """Whether no number of it is infinite or nan; a tensor on the meta device has none."""
    return tensor.is_meta or bool(tensor.isfinite().all())


def overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors in one storage have a number in common, as two views of one tensor may have."""
    if one is other:
        return True
    if one.is_meta:
        return False
    if one.dtype != other.dtype:
        return True  # two types on one storage: taken for an overlap
    marks = torch.zeros(one.untyped_storage().nbytes() // one.element_size(), dtype=torch.bool)
    marks.as_strided(one.shape, one.stride(), one.storage_offset()).fill_(True)
    return bool(marks.as_strided(other.shape, other.stride(), other.storage_offset()).any())


def repeats(tensor: torch.Tensor) -> bool:
    """Whether one place in memory stands for several numbers of it, as after `expand`: nothing can be written there."""
    return any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True))


def require_finite(parameters: Mapping[str, torch.Tensor], advice: str) -> None:
    """Raise UserError where one of these, by name, is infinite or nan somewhere; `advice` says what to do."""
    for name, parameter in parameters.items():
        if not finite(parameter):
            raise UserError(f"{name} is not finite everywhere: {advice}.")


def require_trainable(parameter: torch.Tensor, method: str) -> None:
    """Raise UserError for a parameter that `method` could not train in its place."""
    if parameter.dtype not in READABLE:
        raise UserError(f"{method} cannot train parameters of type {parameter.dtype}: use 16 or 32 bits.")
    if repeats(parameter):
        raise UserError(f"{method} cannot train parameters that repeat numbers (expand): clone them first.")


def tensors_by_storage(model: nn.Module, plain: Mapping[nn.Module, nn.Module]) -> dict[int, list[torch.Tensor]]:
    """What the layers of the base hold, parameters and buffers, by the storage they lie in.

    plain: for each wrapper in `model` the layer that it stands for. Where that layer stands in the model without its
    wrapper as well, what it holds comes twice.
    """
    reached = set()
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module not in plain and module not in reached:
            reached.add(module)
            waiting += module.children()
    held = defaultdict(list)
    for owner in [*plain.values(), *reached]:
        for tensor in [*owner._parameters.values(), *owner._buffers.values()]:
            if tensor is not None and tensor.layout is torch.strided:
                held[tensor.untyped_storage().data_ptr()].append(tensor)
    return held


def require_writable(name: str, path: str, layer: nn.Module, held: Mapping[int, list[torch.Tensor]]) -> None:
    """Raise UserError unless the parameter `name` of `layer`, which stands at `path`, is its own and may be written.

    held: all tensors of the base, as `tensors_by_storage` finds them.
    """
    kept = layer._parameters.get(name)
    if kept is None:
        raise UserError(
            f"The {name} of {path} is computed from other parameters, so nothing can be written into it: take the "
            "parametrization (weight norm, spectral norm, pruning) away before attaching."
        )
    if repeats(kept):
        raise UserError(f"The {name} of {path} repeats numbers (expand): clone() it before attaching.")
    if sum(overlap(kept, other) for other in held[kept.untyped_storage().data_ptr()]) > 1:
        raise UserError(f"{path} shares its {name} with another module, which merging would change too.")
