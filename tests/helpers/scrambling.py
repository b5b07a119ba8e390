"""Attached methods as if they had been trained: parameters that are nowhere at their start."""

import torch


def scramble(method, seed=None):
    """Move every trained parameter by noise; with a seed, the draws that follow are the same each time too."""
    if seed is not None:
        torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))


def redraw(method, seed=0, size=1.0):
    """Draw every trained parameter anew, the same for the same seed in whatever order it was made."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
