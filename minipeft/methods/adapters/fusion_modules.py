"""The modules of AdapterFusion: the attention over the adapters of one layer, and the sublayer before it."""

import torch
from torch import nn


class Fusion(nn.Module):
    """Each position's mixture of what its layer's adapters would add. u: (..., hidden), z: (..., adapters, hidden)."""

    def __init__(self, hidden_size: int, device=None, dtype=None):
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size, device=device, dtype=dtype)
        self.key = nn.Linear(hidden_size, hidden_size, device=device, dtype=dtype)
        self.value = nn.Linear(hidden_size, hidden_size, bias=False, device=device, dtype=dtype)
        for linear in (self.query, self.key):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        nn.init.constant_(self.value.weight, 1e-6)
        self.value.weight.data.fill_diagonal_(1.0)

    def weights(self, u: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        scores = (self.key(z) @ self.query(u)[..., None])[..., 0]  # (..., adapters)
        return scores.softmax(-1)  # each position's sum to 1

    def forward(self, u: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        mixed = (self.weights(u, z)[..., None, :] @ z)[..., 0, :]  # (..., hidden)
        return self.value(mixed)  # V is linear: once for the sum in place of once for each adapter

    def distance_from_identity(self) -> torch.Tensor:
        """||I - V||_F^2"""
        identity = torch.eye(len(self.value.weight), device=self.value.weight.device)
        return (identity - self.value.weight).square().sum()


class FusedSublayer(nn.Module):
    """A frozen sublayer with a fusion of frozen adapters behind it; `update` is what an adapter adds to its input."""

    def __init__(self, sublayer: nn.Module, adapters: list[nn.Module], fusion: nn.Module):
        super().__init__()
        self.sublayer, self.adapters, self.fusion = sublayer, nn.ModuleList(adapters), fusion

    def forward(self, *inputs, **options) -> torch.Tensor:
        u = self.sublayer(*inputs, **options)  # (batch, length, hidden)
        z = torch.stack([adapter.update(u) for adapter in self.adapters], -2)  # (batch, length, adapters, hidden)
        return u + self.fusion(u, z)
