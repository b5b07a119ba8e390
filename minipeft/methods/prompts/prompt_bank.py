"""Several prompts before one stack, each row of a batch reading its own.

    [P_r; X]        P: (n, prompt_length, hidden)   r: the row's prompt   X: (length, hidden)

Prompt ensembles and batches of many tasks both stand on it.
Test: tests/methods/prompts/test_prompt_bank.py.
"""

import torch
from torch import nn


class PromptBank(nn.Module):
    """A stack that reads one of `prompts`, (n, prompt_length, hidden), before each row.

    `rows`, (batch,), names each row's prompt; in a batch of several rows for each, neighbours have
    the same. Where it is None, row i has prompt 0, and in training prompt `turns`[i], or i mod n
    where no turns are given. The stack needs what PromptedStack asks of one.
    """

    def __init__(self, stack: nn.Module, prompts: torch.Tensor):
        super().__init__()
        self.stack = stack
        self.prompts = nn.Parameter(prompts)
        self.rows = None
        self.turns = None

    @property
    def blocks(self) -> nn.ModuleList:
        return self.stack.blocks

    def choose(self, batch: int) -> torch.Tensor:
        """The number of each row's prompt, (batch,)."""
        if self.rows is not None:
            return self.rows.repeat_interleave(batch // len(self.rows))
        numbers = torch.arange(batch, device=self.prompts.device)
        if not self.training:
            return torch.zeros_like(numbers)
        return numbers % len(self.prompts) if self.turns is None else self.turns

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor, caches: list | None = None):
        """vectors: (batch, length, hidden), new places; mask: (batch, seen), without the prompt."""
        front = mask.new_ones(len(mask), self.prompts.shape[1])
        mask = torch.cat([front, mask], dim=1)  # (batch, prompt + seen)
        if caches is None or caches[0][0].empty:  # later, the caches hold the prompts already
            prompt = self.prompts[self.choose(len(vectors))]  # (batch, prompt, hidden)
            vectors = torch.cat([prompt, vectors], dim=1)  # (batch, prompt + length, hidden)
        return self.stack(vectors, mask, caches=caches)
