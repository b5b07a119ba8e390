"""The modules of shared lower layers: a layer computed once for all tasks, a sublayer with the adapters of all."""

import torch
from torch import nn

from minipeft.errors import UserError


class SharedBlock(nn.Module):
    """A layer that, while `sharing`, computes its output once and then gives it again to everyone."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block, self.sharing, self.output = block, False, None

    def forward(self, *inputs) -> torch.Tensor:
        if not self.sharing:
            return self.block(*inputs)
        if self.output is None:
            self.output = self.block(*inputs)  # (batch, length, hidden)
        return self.output


class TaskSublayer(nn.Module):
    """A frozen sublayer with an adapter for each task behind it; `task` says whose turn it is."""

    def __init__(self, sublayer: nn.Module, adapters: list[nn.Module]):
        super().__init__()
        self.sublayer, self.adapters, self.task = sublayer, nn.ModuleList(adapters), None

    def forward(self, *inputs, **options) -> torch.Tensor:
        if self.task is None:
            raise UserError("Say whose adapters: with shared.only(task): ..., or shared.outputs(batch) for all tasks.")
        return self.adapters[self.task](self.sublayer(*inputs, **options))
