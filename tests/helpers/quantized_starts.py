"""Weights to be quantized, and how far a quantized weight and its update together are from them."""

import numpy
import torch
from torch import nn


def weight_of(shape, seed=0, strong=0.0):
    """A random (out, in) matrix; `strong` adds a few directions that are larger than the rest."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(shape[0], 3, generator=generator) @ torch.randn(3, shape[1], generator=generator)
    return 0.05 * (torch.randn(*shape, generator=generator) + strong * directions)


def attached(method, weight):
    """The layer that `method` puts around a linear layer with this weight."""
    layer = nn.Linear(*reversed(weight.shape), dtype=weight.dtype)
    layer.weight.data.copy_(weight)
    model = nn.Sequential(layer)
    method.targets = ("0",)
    method.attach(model)
    return model[0]


def error(method, weight):
    """|W - (W_q + s B A)|, in float64."""
    layer = attached(method, weight)
    whole = layer.linear.weight.double() + layer.scaling * layer.B.double() @ layer.A.double()
    return float((weight.double() - whole).norm().detach())


def nearest_of_rank(matrix, rank):
    """By Eckart and Young, with numpy's own singular value decomposition."""
    U, S, V_T = numpy.linalg.svd(matrix.double().numpy())
    return torch.from_numpy(U[:, :rank] @ numpy.diag(S[:rank]) @ V_T[:rank])
