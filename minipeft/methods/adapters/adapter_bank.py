"""Trained Pfeiffer adapters brought back as frozen modules: from the files that `save_adapter` wrote, or from a fusion.

A state names an adapter's tensors as `Pfeiffer.state_dict` does: "decoder.blocks.0.feed_forward.adapter.down.weight".
Files are read without running code.
Test: tests/methods/adapters/test_adapter_fusion.py.
"""

import re
from pathlib import Path

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.pfeiffer import PfeifferAdapter
from minipeft.methods.strict_loading import load_strictly
from minipeft.transformer.tensor_files import read, require

KEYS = {"method": str, "base": str, "weights": dict, "checksum": str}  # of an adapter file, those needed here
INSIDE = re.compile(r"(.*)\.adapters\.(\d+)\.(.*)")  # a fusion's name of a tensor of one of its adapters


def read_state(file: str, base: str) -> dict[str, torch.Tensor]:
    """The state in a file. Raises UserError unless it is of a Pfeiffer adapter of the base with that fingerprint."""
    if not Path(file).is_file():
        raise UserError(f"There is no adapter file {file}: train one with the method pfeiffer.")
    content = read(file, "an adapter file")
    require(content, KEYS, file, "an adapter file")
    method, trained_on, state = (content[key] for key in ("method", "base", "weights"))
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise UserError(f"{file} is damaged: one of its weights is no tensor.")
    if method != "pfeiffer":
        raise UserError(f"{file} holds an adapter of the method {method!r}: only those of pfeiffer can be fused.")
    if trained_on != base:
        raise UserError(f"{file} was trained on another base model: fuse adapters of one base.")
    return state


def states_inside(fused: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """The states of the adapters that the state of an AdapterFusion carries, in their order."""
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in fused.items():
        found = INSIDE.fullmatch(name)
        if found:
            path, number, rest = found.groups()
            states.setdefault(int(number), {})[f"{path}.adapter.{rest}"] = tensor
    return [states[number] for number in sorted(states)]


def frozen_adapter(state: dict[str, torch.Tensor], path: str, like: torch.Tensor) -> nn.Module:
    """The adapter that stood behind the sublayer at `path`, in the type and on the device of `like`."""
    start = f"{path}.adapter."
    own = {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
    if "down.weight" not in own or own["down.weight"].dim() != 2:
        raise UserError(f"An adapter to be fused has nothing for {path}: it belongs to another model.")
    bottleneck, hidden_size = own["down.weight"].shape
    adapter = PfeifferAdapter(hidden_size, bottleneck, device=like.device, dtype=like.dtype)
    load_strictly(dict(adapter.named_parameters()), own, "pfeiffer")
    return adapter.requires_grad_(False)
