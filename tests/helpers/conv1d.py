"""A linear layer that keeps its weight as (in, out), as the GPT-2 of transformers does."""

import torch
from torch import nn


class Conv1D(nn.Module):
    """y = x W + b with W: (in, out), as transformers' GPT-2 has it."""

    def __init__(self, out_features, in_features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, out_features))
        self.bias = nn.Parameter(torch.randn(out_features))

    def forward(self, x):
        return x @ self.weight + self.bias


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Conv1D(7, 5), nn.Linear(7, 3)

    def forward(self, x):
        return self.second(self.first(x).tanh())
