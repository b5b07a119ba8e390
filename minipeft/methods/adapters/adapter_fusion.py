"""AdapterFusion: adapters of several tasks, trained before and frozen, and in each layer an attention that mixes them.

    u = feed_forward(norm(h))   z_n = W_up,n relu(W_down,n u + b_down,n) + b_up,n      what adapter n would add
    s = softmax_n( (Q u + b_Q) . (K z_n + b_K) )        one weight for each adapter, anew for each position
    h <- h + u + sum_n s_n V z_n                        Q, K, V: (hidden, hidden)   b_Q, b_K: (hidden,)

The skip connection u is added once, behind the mixture, so z_n is without it, as in the authors' library. b_K adds the
same to all scores of a position, so that the softmax does not see it: it is kept for that library's layout.
Start: Q, K ~ N(0, 0.02), their biases 0; V = the identity with 1e-6 beside the diagonal: of one adapter alone, its own
output. Added to the loss: identity_penalty * ||I - V||_F^2, summed over the layers; the paper only says l2 on V.
Trainable, at width d: 3 d d + 2 d per layer (E + D of T5, L of others): not tiny, 21.3 million for BERT-base.
Stored along with them: the frozen adapters, 2 d m_n + d + m_n each per layer, so that the saved file needs no other.
Paper: Pfeiffer et al. 2021, arXiv:2005.00247.
Lesson: lessons/10_adapter_fusion. Test: tests/methods/adapters/test_adapter_fusion.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_bank import frozen_adapter, read_state, states_inside
from minipeft.methods.method import Method
from minipeft.methods.strict_loading import load_strictly
from minipeft.methods.targets import find_modules
from minipeft.transformer.batch import Batch


class Fusion(nn.Module):
    """Mixes z, what each adapter would add, (..., adapters, hidden), by u, what the sublayer gives, (..., hidden)."""

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
    """A frozen sublayer with a fusion of frozen adapters behind it.

    An adapter needs update(u), what it adds to its input; the fusion reads u and all of these.
    """

    def __init__(self, sublayer: nn.Module, adapters: list[nn.Module], fusion: nn.Module):
        super().__init__()
        self.sublayer = sublayer
        self.adapters = nn.ModuleList(adapters)
        self.fusion = fusion

    def forward(self, *inputs, **options) -> torch.Tensor:
        u = self.sublayer(*inputs, **options)  # (batch, length, hidden)
        updates = [adapter.update(u) for adapter in self.adapters]
        return u + self.fusion(u, torch.stack(updates, -2))  # z: (batch, length, adapters, hidden)


@dataclass
class AdapterFusion(Method):
    """adapters: files that `save_adapter` wrote of Pfeiffer adapters of this base, of any bottlenecks."""

    adapters: Sequence[str] = ()
    identity_penalty: float = 0.01

    name = "adapter_fusion"
    needs_language_model = True
    suggested_learning_rate = 1e-3
    learning_rate_grid = (3e-4, 1e-3, 3e-3, 6e-3)
    starts_at_identity = False
    why_no_merge = "which adapters act is decided anew for each position. Keep it attached."

    def __post_init__(self):
        files = [self.adapters] if isinstance(self.adapters, str | Path) else self.adapters
        if isinstance(files, list | tuple):
            self.adapters = [str(file) if isinstance(file, Path) else file for file in files]
        super().__post_init__()
        if self.identity_penalty < 0:
            raise UserError(f"The identity_penalty must not be negative, got {self.identity_penalty}.")

    def install(self, model: nn.Module) -> None:
        if self.given is not None:  # a fusion carries its adapters along: their own files may be gone
            states = states_inside(self.given)
        else:
            states = [read_state(file, self.fingerprint) for file in self.adapters]
        if not states:
            raise UserError("Nothing to fuse: train adapters with pfeiffer and give their files, adapters=[...].")
        self.layers: dict[str, FusedSublayer] = {}
        for path, sublayer in find_modules(model, ["feed_forward"]):
            _, last = find_modules(sublayer, ["*"], nn.Linear)[-1]
            adapters = [frozen_adapter(state, path, last.weight) for state in states]
            fusion = Fusion(last.out_features, last.weight.device, last.weight.dtype)
            self.layers[path] = FusedSublayer(sublayer, adapters, fusion)
            self.replace([path], lambda sublayer, path=path: self.layers[path])

    def penalty(self) -> torch.Tensor:
        return self.identity_penalty * sum(layer.fusion.distance_from_identity() for layer in self.layers.values())

    def stored(self) -> dict[str, nn.Parameter]:
        """What is trained, and the frozen adapters."""
        self.require_attached()
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad or ".adapters." in name}

    def training_state(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.stored().items()}

    def load_training_state(self, state: dict[str, torch.Tensor]) -> None:
        load_strictly(self.stored(), state, self.name)

    @torch.no_grad()
    def attention_over_adapters(self, batch: Batch) -> dict[str, torch.Tensor]:
        """For each layer the weights of the adapters at each position that it sees, (batch, length, adapters).

        Padding has weights too, and GPT-2 sees source and target as one text with its padding in front.
        """
        self.require_attached()
        weights: dict[str, torch.Tensor] = {}

        def keep(path: str, fusion: Fusion, inputs: tuple, output: torch.Tensor) -> None:
            weights[path] = fusion.weights(*inputs)

        hooks = [layer.fusion.register_forward_hook(partial(keep, path)) for path, layer in self.layers.items()]
        try:
            self.model(batch)
        finally:
            for hook in hooks:
                hook.remove()
        return weights
