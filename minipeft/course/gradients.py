"""Whether a finite gradient reaches what an answer should let be trained."""

from collections.abc import Sequence
from typing import Any

import torch

from minipeft.course.watching import Call, copied


def gradient_breach(calls: Sequence[Call], trained: Sequence[str]) -> str | None:
    """Why no finite gradient reaches the arguments `trained` of the first call that has them; None where it does."""
    call = next((call for call in calls if set(trained) <= set(call.before)), None)
    if call is None or not trained:
        return None
    arguments = {key: copied(value) for key, value in call.before.items()}
    leaves = {key: [leaf.detach().clone().requires_grad_() for leaf in flat(arguments[key])] for key in trained}
    arguments |= {key: leaves[key] if isinstance(arguments[key], list) else leaves[key][0] for key in trained}
    with torch.random.fork_rng(), torch.enable_grad():
        try:
            value = call.function(**arguments)
        except Exception as error:
            return f"`{call.name}` stops where `{', '.join(trained)}` are trained: {' '.join(str(error).split())}"
    parts = [part for part in flat(value) if part.is_floating_point() and part.requires_grad]
    total = sum((part * spread(part)).sum() for part in parts)
    for name in trained:
        found = torch.autograd.grad(total, leaves[name], retain_graph=True, allow_unused=True) if parts else [None]
        if any(gradient is None for gradient in found):
            return f"no gradient reaches `{name}`: what `{call.name}` returns is cut off from it"
        if not all(gradient.isfinite().all() for gradient in found):
            return f"the gradient of `{name}` is not finite"
    return None


def spread(part: torch.Tensor) -> torch.Tensor:
    """Numbers that are all different, so that no two gradients cancel."""
    return torch.linspace(0.5, 1.7, max(part.numel(), 1), dtype=part.dtype)[: part.numel()].view(part.shape)


def flat(value: Any) -> list[torch.Tensor]:
    """The tensors in a value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in flat(item)]
    return [value] if isinstance(value, torch.Tensor) else []
