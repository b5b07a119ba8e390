"""Where an adapter sits, by both names: the linear layers of a Hugging Face model and ours.

    transformer.h.0.attn.c_proj  =  decoder.blocks.0.attention.output
    transformer.h.0.attn.c_attn  =  decoder.blocks.0.attention.query, ...key, ...value: their outputs side by side

The names are those by which `transformer/hugging_face.py` reads weights: a family that it knows is known here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError, quoted
from minipeft.transformer.hugging_face import is_transposed, their_names
from minipeft.transformer.language_model import LanguageModel

PREFIX = "base_model.model."  # peft wraps the model twice, and its files say so


@dataclass(frozen=True)
class Place:
    """One linear layer of theirs, and ours that compute the same, with the number of outputs of each."""

    theirs: str
    ours: tuple[str, ...]
    inputs: int
    outputs: tuple[int, ...]
    transposed: bool  # whether theirs keeps its weight as (in, out), as GPT-2's Conv1D does; A and B lie as ever

    @property
    def fused(self) -> bool:
        return len(self.ours) > 1


def places(model: LanguageModel) -> dict[str, Place]:
    """Every linear layer of `model`, plain or with wrappers that keep theirs as `linear`, by the name of theirs."""
    names = their_names(model.config) | {"lm_head.weight": ("head.weight",)}
    found = {}
    for name, weights in names.items():
        theirs, _, kind = name.rpartition(".")
        ours = tuple(weight.rpartition(".")[0] for weight in weights)
        layers = [plain_layer(model, path) for path in ours]
        if kind == "weight" and all(isinstance(layer, nn.Linear) for layer in layers):
            outputs = tuple(layer.out_features for layer in layers)
            found[theirs] = Place(theirs, ours, layers[0].in_features, outputs, is_transposed(name))
    return found


def plain_layer(model: nn.Module, path: str) -> nn.Module:
    """What stands at `path`, without the wrapper of a method."""
    module = model.get_submodule(path)
    return getattr(module, "linear", module)


def adapted_places(model: LanguageModel, wrapped: Collection[str]) -> list[Place]:
    """The places of which some part is in `wrapped`, our paths. Raises UserError for a layer that theirs does not have.

    The order is that of the model.
    """
    known = places(model)
    unknown = set(wrapped) - {path for place in known.values() for path in place.ours}
    if unknown:
        raise UserError(f"{min(unknown)} is no linear layer of the Hugging Face model: adapt others.")
    return [place for place in known.values() if any(path in wrapped for path in place.ours)]


def is_named(path: str, names: Iterable[str]) -> bool:
    """Whether `path` is one of `names` or ends in one of them, as peft and our targets understand a name."""
    return any(path == name or path.endswith(f".{name}") for name in names)


def shortest_names(chosen: Collection[str], everything: Iterable[str], parts: int = 1) -> list[str]:
    """Names that name the paths `chosen` and none of the others in `everything`; each of at least so many parts."""
    others = [path for path in everything if path not in chosen]
    names = {}
    for path in chosen:
        words = path.split(".")
        for count in range(min(parts, len(words)), len(words) + 1):
            name = ".".join(words[-count:])
            if not any(is_named(other, [name]) for other in others):
                break
        names[name] = None
    return list(names)


def their_targets(model: LanguageModel, adapted: Iterable[Place], parts: int = 1) -> list[str]:
    """`target_modules` for these places."""
    return shortest_names([place.theirs for place in adapted], places(model), parts)


def told_of_layers(model: LanguageModel, adapted: Collection[Place]) -> dict:
    """What peft's settings say of the layers, whatever the method."""
    return {
        "target_modules": their_targets(model, adapted),
        "fan_in_fan_out": all(place.transposed for place in adapted),
        "bias": "none",
    }


def our_targets(model: LanguageModel, paths: Collection[str]) -> list[str]:
    """`targets` for these paths of ours."""
    return shortest_names(paths, [path for place in places(model).values() for path in place.ours])


def by_place(
    model: LanguageModel, settings: Mapping, tensors: Mapping[str, torch.Tensor], parts: tuple[str, ...]
) -> dict[Place, list[torch.Tensor]]:
    """The tensors of each adapted place, in the order of `parts`, their names there: ("lora_A.weight", ...).

    Raises UserError where one is missing or of no place, and where `target_modules` names other layers. A text there is
    a regular expression and is not run, for some never end: then the tensors alone say what is adapted, as they do with
    `exclude_modules` and `layers_to_transform`.
    """
    known, left, found = places(model), dict(tensors), {}
    for theirs, place in known.items():
        own = [left.pop(f"{PREFIX}{theirs}.{part}", None) for part in parts]
        if any(tensor is not None for tensor in own):
            for part, tensor in zip(parts, own, strict=True):
                if tensor is None:
                    raise UserError(f"it lacks {theirs}.{part}, so a part of it is missing")
            found[place] = own
    if left:
        name = quoted(min(left).removeprefix(PREFIX))
        raise UserError(f"{name} is no tensor of such an adapter of this model, so it was made for another one")
    targets = settings["target_modules"]
    if isinstance(targets, list):
        named = {theirs for theirs in known if is_named(theirs, targets)}
        adapted = {place.theirs for place in found}
        fewer = any(settings.get(field) not in (None, []) for field in ("exclude_modules", "layers_to_transform"))
        if adapted - named:
            raise UserError(f"it has tensors for {min(adapted - named)}, which its target_modules do not name")
        if named - adapted and not fewer:
            raise UserError(f"its target_modules name {min(named - adapted)}, for which it has no tensors")
    if not found:
        raise UserError("it has no tensors for any layer of this model")
    return found


def require_shape(name: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
    """Raise UserError where a tensor of the file is of another shape than this model and its settings ask for."""
    if tuple(tensor.shape) != shape:
        raise UserError(
            f"{name} is {tuple(tensor.shape)} and not {shape}, as this model and its settings have it: it belongs to "
            "another model, or its two files to different adapters"
        )
