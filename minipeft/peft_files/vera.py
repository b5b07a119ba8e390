"""Files of the type VERA: two vectors for each layer, and the random A and B that all layers share.

A and B are drawn from `projection_prng_key` by peft as from `seed` here, and go along in the file all the same. Where
they are others than those drawn here, the file is refused: ours keep no A and B.

A fused layer has no counterpart: peft takes B's first 3 out rows for `c_attn`, and d once for all, where each of our
query, key and value takes B's first out rows, and has a d of its own.
"""

from collections.abc import Mapping
from typing import Any

import torch

from minipeft.errors import UserError
from minipeft.methods.low_rank.vera import VeRA
from minipeft.peft_files.found import Found
from minipeft.peft_files.places import (
    PREFIX,
    Place,
    adapted_places,
    by_place,
    our_targets,
    require_shape,
    told_of_layers,
)

SHARED = {name: f"base_model.vera_{name}" for name in ("A", "B")}


def write(model, method: VeRA) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and tensors of an attached VeRA."""
    wrappers = dict(method.layers())
    adapted = adapted_places(model, wrappers)
    tensors = {name: getattr(method.shared, ours) for ours, name in SHARED.items()}
    for place in adapted:
        refuse_fused(place)
        wrapper = wrappers[place.ours[0]]
        tensors[f"{PREFIX}{place.theirs}.vera_lambda_d"] = wrapper.d.detach()
        tensors[f"{PREFIX}{place.theirs}.vera_lambda_b"] = wrapper.b.detach()
    settings = {
        "r": method.rank,
        "projection_prng_key": method.seed,
        "save_projection": True,
        **told_of_layers(model, adapted),
    }
    return settings, tensors


def read(model, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Found:
    """The VeRA whose file this is. Raises UserError where the tensors do not fit the settings or this model."""
    own = {name: tensor for name, tensor in tensors.items() if name not in SHARED.values()}
    state = {}
    for place, (d, b) in by_place(model, settings, own, ("vera_lambda_d", "vera_lambda_b")).items():
        refuse_fused(place)
        require_shape(f"vera_lambda_d of {place.theirs}", d, (settings["r"],))
        require_shape(f"vera_lambda_b of {place.theirs}", b, place.outputs)
        state |= {f"{place.ours[0]}.d": d, f"{place.ours[0]}.b": b}
    paths = [name.removesuffix(".d") for name in state if name.endswith(".d")]
    told = {"rank": settings["r"], "seed": settings["projection_prng_key"], "targets": our_targets(model, paths)}

    def check(method: VeRA) -> None:
        for ours, name in SHARED.items():
            drawn = getattr(method.shared, ours)
            if name in tensors and not torch.equal(tensors[name].to(drawn), drawn):
                raise UserError(
                    f"its {name.rpartition('.')[2]} is not what projection_prng_key {settings['projection_prng_key']} "
                    "draws here, for layers of these sizes: it was drawn in another way, and is not kept here"
                )

    return Found(VeRA, told, state, check)


def refuse_fused(place: Place) -> None:
    """Raise UserError for a layer that is one there and several here."""
    if place.fused:
        raise UserError(
            f"{place.theirs} is one layer in peft and {len(place.ours)} here, and VeRA's random B has other rows for "
            "each: it has no counterpart. LoRA has one."
        )
