"""Prompts that a network gives while training, and that are stored as the plain parameters that come out of it.

A network is a module with `table_now()`: the parameters that it stands for. `finish` puts a plain table in its place.
Test: tests/methods/prompts/test_prefix_tuning.py.
"""

from typing import ClassVar

import torch
from torch import nn

from minipeft.methods.method import Method
from minipeft.methods.prompts.embedding_size import embedding_size


class PromptTable(nn.Module):
    """The vectors as free parameters, (prompt, hidden)."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self) -> torch.Tensor:
        return self.table

    def table_now(self) -> torch.Tensor:
        return self.table


class Reparametrised(Method):
    """What methods share whose training moves other parameters than they store."""

    needs_language_model = True
    starts_at_identity = False
    network_rate: ClassVar[float]  # the suggested one, and its grid, while a network is trained
    network_grid: ClassVar[tuple[float, ...]]
    table_rate: ClassVar[float]  # where the parameters themselves are trained, they need larger steps
    table_grid: ClassVar[tuple[float, ...]]
    vectors_alone = False  # whether nothing but vectors among the words is trained: their steps are in units of these
    plain: ClassVar[type[nn.Module]]  # what `finish` leaves: made from one tensor, its parameter `table`

    @property
    def suggested_learning_rate(self) -> float:
        return self.network_rate if self.reparametrise else self.table_rate

    @property
    def learning_rate_grid(self) -> tuple[float, ...]:
        return self.network_grid if self.reparametrise else self.table_grid

    def parameter_groups(self, learning_rate: float) -> list[dict]:
        unit = float(embedding_size(self.model)) if self.vectors_alone else 1.0
        return super().parameter_groups(learning_rate * unit)

    def networks(self) -> dict[str, nn.Module]:
        """What gives the prompts now, a network or a plain table; one that many layers share is named once."""
        self.require_attached()
        return {path: module for path, module in self.model.named_modules() if hasattr(module, "table_now")}

    def finish(self) -> None:
        """Drop the training networks and keep the parameters they give: the outputs do not change by a bit."""
        kept = {network: self.plain(network.table_now().detach().clone()) for network in self.networks().values()}
        for parent in list(self.model.modules()):
            for name, child in parent.named_children():
                if child in kept:
                    setattr(parent, name, kept[child].train(child.training))
        self.base.own_types = {name: parameter.dtype for name, parameter in self.named_parameters().items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What stands for the networks, and whatever else is trained: a head, or the base itself."""
        networks = self.networks()
        state = {f"{path}.table": network.table_now().detach().clone() for path, network in networks.items()}
        for name, parameter in self.named_parameters().items():
            if not any(name.startswith(f"{path}.") for path in networks):
                state[name] = parameter.detach().clone()
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.finish()
        super().load_state_dict(state)
