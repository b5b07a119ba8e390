"""A name for the weights of a model: what an adapter was trained on, and whether it is still that."""

import hashlib

import numpy
import torch
from torch import nn

PER_CHANNEL = (torch.per_channel_affine, torch.per_channel_symmetric, torch.per_channel_affine_float_qparams)


def fingerprint(model: nn.Module) -> str:
    """64 hexadecimal digits (SHA-256) that name a plain model's weights: names, shapes, types and every bit of them.

    A hollow model, on the meta device, has names, shapes and types only, unless it says which base it `stands_for`, by
    that one's fingerprint. What is no tensor in a state_dict (a layer's
    extra state) names no weight and is left out.
    """
    if hasattr(model, "stands_for"):
        return model.stands_for
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        if isinstance(weight, torch.Tensor):
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
            if not weight.is_meta:
                digest.update(tensor_bytes(weight))
    return digest.hexdigest()


def tensor_bytes(tensor: torch.Tensor) -> numpy.ndarray:
    """Every bit of a tensor in the order of its indices, as bytes, however it is laid out in memory."""
    tensor = tensor.detach().cpu()
    if tensor.is_quantized:
        scales = tensor.q_per_channel_scales() if tensor.qscheme() in PER_CHANNEL else torch.tensor(tensor.q_scale())
        return numpy.concatenate([tensor_bytes(tensor.int_repr()), tensor_bytes(scales)])
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    plain = tensor.resolve_conj().resolve_neg().contiguous().flatten()
    return plain.view(torch.uint8).numpy()
