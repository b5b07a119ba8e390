"""What gives the vectors of virtual tokens, (prompt, hidden): free numbers, or a network while training."""

import torch
from torch import nn


class PromptTable(nn.Module):
    """The vectors as free parameters, (prompt, hidden)."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self) -> torch.Tensor:
        return self.table

    def table_now(self) -> torch.Tensor:
        return self.table


class LSTMEncoder(nn.Module):
    """An LSTM reads the virtual tokens from both sides, so that each knows of the others; then two linear layers."""

    def __init__(self, prompt: int, hidden_size: int):
        super().__init__()
        half = (hidden_size + 1) // 2  # an odd hidden size is rounded up, and the last layer brings it back
        self.positions = nn.Parameter(torch.randn(prompt, hidden_size))
        self.lstm = nn.LSTM(hidden_size, half, num_layers=2, bidirectional=True)
        self.inner, self.outer = nn.Linear(2 * half, 2 * half), nn.Linear(2 * half, hidden_size)

    def forward(self) -> torch.Tensor:
        # With and without gradients PyTorch picks different LSTM kernels, on a CPU and in cuDNN, whose last bits differ
        # (and cuDNN's has no backward pass in eval mode): fixed here, so that what is stored is what was evaluated.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            states, _ = self.lstm(self.positions)  # (prompt, 2 * half)
        return self.outer(torch.relu(self.inner(states)))  # (prompt, hidden)

    def table_now(self) -> torch.Tensor:
        return self()


class MLPEncoder(nn.Module):
    """Three linear layers that all virtual tokens share, each on its own: the encoder of Hugging Face's peft."""

    def __init__(self, prompt: int, hidden_size: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(prompt, hidden_size))
        self.first, self.second, self.third = (nn.Linear(hidden_size, hidden_size) for _ in range(3))

    def forward(self) -> torch.Tensor:
        inner = torch.relu(self.second(torch.relu(self.first(self.positions))))
        return self.third(inner)  # (prompt, hidden)

    def table_now(self) -> torch.Tensor:
        return self()
