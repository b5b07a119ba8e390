"""Loading that takes every expected tensor and no other: a half-loaded method would look trained and not be."""

import torch
from torch import Tensor, nn

from minipeft.errors import UserError


def load_strictly(own: dict[str, nn.Parameter], state: dict[str, Tensor], what: str) -> None:
    """Copy `state` into the parameters `own`; `what` names the method in the errors.

    Raises UserError, and copies nothing, where a name is missing or unexpected or a shape differs.
    """
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
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
