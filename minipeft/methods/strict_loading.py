"""Loading a state whole or not at all: a half-loaded method would look trained and not be."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from minipeft.errors import UserError


def require_tensors(state: Any, what: str) -> None:
    """Raise UserError unless `state` maps names to plain tensors with numbers; `what` names the method."""
    if not isinstance(state, Mapping):
        raise UserError(f"The state of {what} must be a dictionary of tensors, not a {type(state).__name__}.")
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            raise UserError(f"{name!r} in the state of {what} is a {type(tensor).__name__}, not a tensor.")
        real = tensor.is_floating_point() or tensor.dtype is torch.bool  # a choice among parameters is kept as bool
        if not real or tensor.is_meta or tensor.layout is not torch.strided:
            kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"
            raise UserError(f"{name!r} in the state of {what} is no plain tensor of real numbers ({kind}).")


def load_strictly(own: dict[str, nn.Parameter], state: dict[str, torch.Tensor], what: str) -> None:
    """Copy `state` into the parameters `own`.

    `what` names the method in the errors. Raises UserError, and copies nothing, where a name is missing or unexpected
    or a shape differs.
    """
    require_tensors({name: tensor for name, tensor in state.items() if not (name in own and own[name].is_meta)}, what)
    for problem, names in (("lacks", own.keys() - state.keys()), ("has unexpected", state.keys() - own.keys())):
        if names:
            raise UserError(
                f"The saved {what} {problem} {min(names)!r} ({len(names)} in all): "
                "it was saved with other hyper-parameters or for another model."
            )
    for name, parameter in own.items():
        if state[name].shape != parameter.shape:
            raise UserError(
                f"{name!r} is {tuple(state[name].shape)} in the saved {what} and {tuple(parameter.shape)} here: "
                "use the hyper-parameters it was saved with."
            )
        if state[name].is_floating_point() != parameter.is_floating_point():
            raise UserError(f"{name!r} is of type {state[name].dtype} in the saved {what} and {parameter.dtype} here.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
