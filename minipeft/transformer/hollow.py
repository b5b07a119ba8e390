"""A model without its parameters' values: every module, name, shape and type, on the meta device, without memory.

What a method would do to a model can be tried on it, and what a training step would keep can be counted, before a byte
is asked for.
"""

import copy
from itertools import chain

import torch
from torch import nn


def build_hollow(kind: type[nn.Module], config) -> nn.Module:
    """A `kind` of model of these sizes on the meta device: no memory is taken and no random number is drawn."""
    with torch.device("meta"):
        return kind(config)


def hollow(model: nn.Module) -> nn.Module:
    """A copy of `model` on the meta device; the tokenizer is shared."""
    empty = {}  # deepcopy takes what is here in place of a copy
    for tensor in chain(model.parameters(), model.buffers()):
        empty[id(tensor)] = torch.empty_like(tensor, device="meta")
        if isinstance(tensor, nn.Parameter):
            empty[id(tensor)] = nn.Parameter(empty[id(tensor)], tensor.requires_grad)
    tokenizer = getattr(model, "tokenizer", None)
    empty[id(tokenizer)] = tokenizer
    return copy.deepcopy(model, empty)
