"""SPoT, soft prompt transfer: prompt tuning that starts from the prompt of another task.

    [P; X]        P: (prompt_length, hidden), at first the prompt tuned on a source task

Start: the source's prompt, or several averaged (`task_embeddings.py` finds good sources); without one, prompt tuning's.
Trainable: prompt_length * hidden numbers, as prompt tuning; a prompt belongs to the base on which it was tuned.
Paper: Vu, Lester, Constant, Al-Rfou, Cer 2022, arXiv:2110.07904. Lesson: lessons/08_prompt_transfer.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.methods.prompts.prompt_files import load_prompt
from minipeft.methods.prompts.prompt_tuning import PromptTuning


@dataclass
class SPoT(PromptTuning):
    """source: a bundled prompt ("sentiment") or the file of one; "" starts anew. Its length must be prompt_length."""

    source: str = ""

    name = "spot"

    def expect(self, state: dict[str, torch.Tensor]) -> None:
        self.start = next(iter(state.values()), None)  # replaces the source's prompt, whose file may be gone

    def first_prompt(self, model: nn.Module) -> torch.Tensor:
        if self.start is None and self.source:
            self.start_from(load_prompt(self.source, self.fingerprint))
        return super().first_prompt(model)
