"""Files of the type IA3: vectors that scale a layer's outputs, (out, 1), or its inputs, (1, in).

A fused layer's vector is that of its parts side by side. A part that is not scaled has ones there, and a part with
nothing but ones beside others is not scaled. Inputs of a fused layer are scaled once for all of its parts, so only
equal vectors on all of them can be written.
"""

from collections.abc import Mapping
from typing import Any

import torch

from minipeft.errors import UserError
from minipeft.methods.multiplicative.ia3 import IA3, ScaledInput
from minipeft.peft_files.found import Found
from minipeft.peft_files.places import (
    PREFIX,
    Place,
    adapted_places,
    by_place,
    our_targets,
    require_shape,
    their_targets,
)


def write(model, method: IA3) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and tensors of an attached (IA)3."""
    wrappers = dict(method.layers())
    adapted = adapted_places(model, wrappers)
    tensors, by_input = {}, set()
    for place in adapted:
        parts = [wrappers.get(path) for path in place.ours]
        if any(isinstance(part, ScaledInput) for part in parts):
            tensors[f"{PREFIX}{place.theirs}.ia3_l"] = common_input(parts, place)[None]
            by_input.add(place)
        else:
            tensors[f"{PREFIX}{place.theirs}.ia3_l"] = outputs_side_by_side(parts, place)[:, None]
    # Of two parts: peft takes every module whose name ends so, without a point before, and "o" would name "wo" too.
    inputs = their_targets(model, [place for place in adapted if place in by_input], parts=2)
    outputs = their_targets(model, [place for place in adapted if place not in by_input])
    settings = {
        "target_modules": outputs + inputs,
        "feedforward_modules": inputs,
        "fan_in_fan_out": all(place.transposed for place in adapted),
        "init_ia3_weights": True,
    }
    return settings, tensors


def outputs_side_by_side(parts: list, place: Place) -> torch.Tensor:
    """The vector that scales the outputs of all parts of a place: ones where a part, None, is not scaled."""
    like = next(part.scale.detach() for part in parts if part is not None)
    scales = [
        like.new_ones(out) if part is None else part.scale.detach()
        for part, out in zip(parts, place.outputs, strict=True)
    ]
    return torch.cat(scales)


def common_input(parts: list, place: Place) -> torch.Tensor:
    """The one vector that scales the inputs of all parts of a place."""
    first = parts[0]
    same = all(isinstance(part, ScaledInput) and torch.equal(part.scale, first.scale) for part in parts)
    if not same:
        raise UserError(
            f"{place.theirs} is one layer in peft, and its inputs are scaled once: {', '.join(place.ours)} would need "
            "the same vector. Scale the outputs of these layers (targets), and no inputs (feed_forward_targets)."
        )
    return first.scale.detach()


def read(model, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Found:
    """The (IA)3 whose file this is. Raises UserError where the tensors do not fit the settings or this model."""
    by_input, by_output = {}, {}
    for place, (vector,) in by_place(model, settings, tensors, ("ia3_l",)).items():
        if scales_input(place, vector, settings["feedforward_modules"]):
            require_shape(f"ia3_l of {place.theirs}", vector, (1, place.inputs))
            by_input |= dict.fromkeys(place.ours, vector[0])
        else:
            require_shape(f"ia3_l of {place.theirs}", vector, (sum(place.outputs), 1))
            parts = dict(zip(place.ours, vector[:, 0].split(list(place.outputs)), strict=True))
            moved = {path: part for path, part in parts.items() if not (part == 1).all()}
            by_output |= moved or parts
    told = {
        "targets": our_targets(model, by_output),
        "feed_forward_targets": our_targets(model, by_input),
    }
    return Found(IA3, told, {f"{path}.scale": scale for path, scale in (by_input | by_output).items()})


def scales_input(place: Place, vector: torch.Tensor, names: list[str] | str) -> bool:
    """Whether the settings say so; where they have a regular expression, which is not run, the vector's shape does."""
    if isinstance(names, str):
        return len(vector) == 1
    return any(place.theirs.endswith(name) for name in names)
