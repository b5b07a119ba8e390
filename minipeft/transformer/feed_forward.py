"""The position-wise network of a transformer block, in its two forms."""

import torch
from torch import nn

ACTIVATIONS = ("gelu", "relu")  # those of a T5


class GatedFeedForward(nn.Module):
    """T5 v1.1 (GELU) and Llama (SiLU): down(activation(gate x) * up x). Source: Shazeer 2020, arXiv:2002.05202."""

    def __init__(self, hidden_size: int, inner_size: int, activation: str = "gelu", dropout: float = 0.0):
        super().__init__()
        self.gate = nn.Linear(hidden_size, inner_size, bias=False)
        self.up = nn.Linear(hidden_size, inner_size, bias=False)
        self.down = nn.Linear(inner_size, hidden_size, bias=False)
        self.activation = {"gelu": nn.GELU(approximate="tanh"), "relu": nn.ReLU(), "silu": nn.SiLU()}[activation]
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.activation(self.gate(x)) * self.up(x)  # (batch, length, inner)
        return self.down(self.dropout(inner))  # (batch, length, hidden)


class FeedForward(nn.Module):
    """GPT-2 (with biases, GELU) and T5 1.0 (without biases, ReLU): down(activation(up x))."""

    def __init__(self, hidden_size: int, inner_size: int, activation: str, bias: bool, dropout: float = 0.0):
        super().__init__()
        self.up = nn.Linear(hidden_size, inner_size, bias=bias)
        self.down = nn.Linear(inner_size, hidden_size, bias=bias)
        self.activation = {"gelu": nn.GELU(approximate="tanh"), "relu": nn.ReLU()}[activation]
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.dropout(self.activation(self.up(x))))  # (batch, length, hidden)
