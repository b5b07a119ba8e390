"""Whether a finite gradient reaches what an answer should let be trained, and whether it is that of the value.

A part of the way may be cut off, as where one of two uses of a tensor is detached: a gradient arrives all the same, but
it is another one. So it is compared with what the value does when the argument is moved a little.
"""

from collections.abc import Sequence
from typing import Any

import torch

from minipeft.course.watching import Call, copied, is_generator


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
        if is_another(call, name, leaves[name], found):
            return f"the gradient of `{name}` is not that of the value: a part of it is cut off in `{call.name}`"
    return None


def is_another(call: Call, name: str, leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> bool:
    """Whether the gradient says something else than the value's own slope, where that can be measured.

    Looked at in three directions, with two steps each: where these disagree, the value has an edge nearby.
    """
    if any(map(is_generator, call.before.values())):
        return False  # each call would draw other numbers
    drawn = torch.Generator().manual_seed(0)
    size = float(sum(gradient.double().square().sum() for gradient in gradients)) ** 0.5
    for _ in range(3):
        ways = [torch.randn(leaf.shape, generator=drawn) for leaf in leaves]
        told = float(sum((gradient.double() * way).sum() for gradient, way in zip(gradients, ways, strict=True)))
        try:
            coarse, fine = (slope(call, name, leaves, ways, step) for step in (0.01, 0.005))
        except Exception:  # a value that cannot be moved has no slope
            return False
        margin = 0.03 * max(size, abs(fine)) + 1e-3
        if abs(coarse - fine) < margin / 3 and abs(fine - told) > margin:
            return True
    return False


def slope(call: Call, name: str, leaves: Sequence[torch.Tensor], ways: Sequence[torch.Tensor], step: float) -> float:
    """How fast the weighted sum of the value grows as the argument `name` moves along `ways`."""
    sums = []
    for sign in (1, -1):
        moved = [(leaf + sign * step * way).detach() for leaf, way in zip(leaves, ways, strict=True)]
        arguments = {key: copied(value) for key, value in call.before.items()}
        arguments[name] = moved if isinstance(arguments[name], list) else moved[0]
        with torch.random.fork_rng(), torch.no_grad():
            parts = [part for part in flat(call.function(**arguments)) if part.is_floating_point()]
        sums.append(sum(float((part.double() * spread(part).double()).sum()) for part in parts))
    return (sums[0] - sums[1]) / (2 * step)


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
