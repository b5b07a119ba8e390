"""Files of the type LORA: LoRA, rsLoRA, LoRA+, DoRA and PiSSA.

    peft: W + s B A       s = lora_alpha / r, with use_rslora lora_alpha / sqrt(r)       A and B lie there as here

r and lora_alpha may differ from layer to layer (rank_pattern, alpha_pattern). Here LoRA's rank may, and alpha may not:
where s is another one, B takes the factor. DoRA has one rank here, so smaller ones are filled up with zeros.

PiSSA trains A and B on the residual W - s B_0 A_0, which peft writes into the base. On the untouched base what was
learned is a LoRA of twice the rank, which is what peft's own conversion stores and what is written here:

    s (B A - B_0 A_0) = s [B, -B_0] [A; A_0]        r = 2 rank, lora_alpha = 2 alpha: the same s

It is read as the LoRA that it is. A file that was not converted (init_lora_weights "pissa") is read as PiSSA, whose A_0
and B_0 are worked out again from the base's weights, in peft and here; not for fused layers, whose SVD is another one.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod
from minipeft.methods.low_rank.dora import DoRA, DoRALinear
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.pissa import PiSSA, PiSSALinear
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.peft_files.found import Found, commonest, rounded
from minipeft.peft_files.fused import fuse, split
from minipeft.peft_files.patterns import exceptions, of_layer
from minipeft.peft_files.places import (
    PREFIX,
    adapted_places,
    by_place,
    our_targets,
    plain_layer,
    require_shape,
    told_of_layers,
)

MAGNITUDE = "lora_magnitude_vector"


def write(model, method: LinearMethod) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and tensors of an attached LoRA or kin of it."""
    wrappers = dict(method.layers())
    adapted = adapted_places(model, wrappers)
    dora, root = isinstance(method, DoRA), isinstance(method, RSLoRA)
    tensors, ranks, alphas = {}, {}, {}
    for place in adapted:
        parts = [wrappers.get(path) for path in place.ours]
        scaling = next(part.scaling for part in parts if part is not None)
        A, B = fuse([None if part is None else factors(part, scaling) for part in parts], place.outputs)
        tensors[f"{PREFIX}{place.theirs}.lora_A.weight"] = A
        tensors[f"{PREFIX}{place.theirs}.lora_B.weight"] = B
        ranks[place.theirs] = len(A)
        alphas[place.theirs] = rounded(scaling * (len(A) ** 0.5 if root else len(A)))
        if dora:
            lengths = [lengths_of_rows(model, path) for path in place.ours]
            tensors[f"{PREFIX}{place.theirs}.{MAGNITUDE}"] = torch.cat(lengths)
    r, alpha = commonest(ranks.values()), commonest(alphas.values())
    settings = {
        "r": r,
        "lora_alpha": alpha,
        "rank_pattern": exceptions(ranks, r),
        "alpha_pattern": exceptions(alphas, alpha),
        "lora_dropout": getattr(method, "dropout", 0.0),
        "init_lora_weights": True,
        "use_rslora": root,
        "use_dora": dora,
        **told_of_layers(model, adapted),
    }
    return settings, tensors


def factors(wrapper: nn.Module, scaling: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B of one of our layers, as they count with this `scaling`."""
    A, B = wrapper.A.detach(), wrapper.B.detach()
    if isinstance(wrapper, PiSSALinear):
        A, B = torch.cat([A, wrapper.A_0]), torch.cat([B, -wrapper.B_0], dim=1)
    return A, B if wrapper.scaling == scaling else B * (wrapper.scaling / scaling)


def lengths_of_rows(model, path: str) -> torch.Tensor:
    """DoRA's m of the layer at `path`; of one without DoRA the lengths that its rows have, which change nothing."""
    module = model.get_submodule(path)
    if isinstance(module, DoRALinear):
        return module.magnitude.detach()
    return torch.linalg.vector_norm(plain_layer(model, path).weight.detach(), dim=1)


def read(model, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Found:
    """The method whose file this is. Raises UserError where the tensors do not fit the settings or this model."""
    dora, root = settings["use_dora"], settings["use_rslora"]
    layers = {}  # our path -> A, B, s
    state = {}
    parts = ("lora_A.weight", "lora_B.weight", *([MAGNITUDE] if dora else []))
    for place, (A, B, *magnitude) in by_place(model, settings, tensors, parts).items():
        rank = of_layer(settings, "rank_pattern", place, settings["r"])
        alpha = of_layer(settings, "alpha_pattern", place, settings["lora_alpha"])
        require_shape(f"lora_A of {place.theirs}", A, (rank, place.inputs))
        require_shape(f"lora_B of {place.theirs}", B, (sum(place.outputs), rank))
        own = split(A, B, place.outputs)
        if dora:
            require_shape(f"{MAGNITUDE} of {place.theirs}", magnitude[0], (sum(place.outputs),))
            lengths = magnitude[0].split(list(place.outputs))
            state |= {f"{path}.magnitude": length for path, length in zip(place.ours, lengths, strict=True)}
            own = [part or (A[:0], rows[:, :0]) for part, rows in zip(own, B.split(list(place.outputs)), strict=True)]
        scale = alpha / (rank**0.5 if root else rank)
        layers |= {path: (*part, scale) for path, part in zip(place.ours, own, strict=True) if part is not None}
        if settings["init_lora_weights"] == "pissa" and place.fused:
            raise UserError(
                f"{place.theirs} starts from the SVD of three layers at once, which stand apart here: let peft convert "
                "the adapter, by path_initial_model_for_weight_conversion of save_pretrained"
            )
    kind = DoRA if dora else PiSSA if settings["init_lora_weights"] == "pissa" else RSLoRA if root else LoRA
    return as_ours(model, kind, settings, layers, state)


def as_ours(model, kind: type[LinearMethod], settings: Mapping, layers: dict, state: dict) -> Found:
    """The method `kind` with these `layers`, (A, B, s) by path, which it brings to its one alpha, DoRA to one rank."""
    ranks = {path: len(A) for path, (A, _, _) in layers.items()}
    rank = commonest(ranks.values())
    if kind is DoRA:
        rank = max(1, *ranks.values())
        ranks = dict.fromkeys(layers, rank)
    alphas = {path: rounded(s * ranks[path] ** (0.5 if kind is RSLoRA else 1)) for path, (_, _, s) in layers.items()}
    alpha = commonest(alphas.values())
    if kind is PiSSA and (set(ranks.values()) != {rank} or set(alphas.values()) != {alpha}):
        raise UserError("it is PiSSA with several ranks or alphas, and has one of each here: let peft convert it")
    for path, (A, B, _) in layers.items():
        missing = ranks[path] - len(A)
        factor = alphas[path] / alpha
        state[f"{path}.A"] = torch.cat([A, A.new_zeros(missing, A.shape[1])])
        B = torch.cat([B, B.new_zeros(len(B), missing)], dim=1)
        state[f"{path}.B"] = B if factor == 1 else B * factor
    told = {"rank": rank, "alpha": alpha, "targets": our_targets(model, layers)}
    if kind in (LoRA, RSLoRA):
        told |= {"dropout": float(settings["lora_dropout"]), "rank_pattern": exceptions(ranks, rank)}
    return Found(kind, told, state)
