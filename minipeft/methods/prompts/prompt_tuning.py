"""Prompt tuning: learn vectors that stand before the embedded text; the model itself is frozen.

    [P; X]        P: (prompt_length, hidden), trained   X: (length, hidden), the embedded source
    P <- P - lr s u        s: the size of the base's embeddings (embedding_size.py)   u: the step

With a template, X is the source with hand-written words around it: a hybrid prompt (Gu et al. 2022).
Start: uniform in +-1/2, or embeddings of frequent tokens, or of the class labels, or a prompt trained elsewhere: never
the base model's output.
Trainable: prompt_length * hidden parameters. T5 has its prompt before the encoder only, others before their one stack.
The paper's defaults are length 100, class labels and weight decay 1e-5; ours length 20, vocabulary and no decay.
The paper's learning rate 0.3, for 30,000 steps of Adafactor without parameter scaling, is not in units of s.
Paper: Lester, Al-Rfou, Constant 2021, arXiv:2104.08691.
Lesson: lessons/05_prompt_tuning. Test: tests/methods/prompts/test_prompt_tuning.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.methods.prompts.embedding_size import embedding_size
from minipeft.methods.prompts.template import Template

FREQUENT = 5000  # tokens to sample from (paper, section 3.2)


class PromptedStack(nn.Module):
    """A stack that reads `prompt`, (prompt_length, hidden), before its input.

    The stack needs `blocks`, and stack(vectors, mask, caches=...) -> states and mask: both grow.
    """

    def __init__(self, stack: nn.Module, prompt: torch.Tensor):
        super().__init__()
        self.stack = stack
        self.prompt = nn.Parameter(prompt)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.stack.blocks

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor, caches: list | None = None):
        """vectors: (batch, length, hidden), new places; mask: (batch, seen), without the prompt."""
        front = mask.new_ones(len(mask), len(self.prompt))
        mask = torch.cat([front, mask], dim=1)  # (batch, prompt + seen)
        if caches is None or caches[0][0].empty:  # later, the caches hold the prompt already
            prompt = self.prompt.expand(len(vectors), -1, -1)  # (batch, prompt, hidden)
            vectors = torch.cat([prompt, vectors], dim=1)  # (batch, prompt + length, hidden)
        return self.stack(vectors, mask, caches=caches)


@dataclass
class PromptTuning(Method):
    """A prompt of `prompt_length` vectors.

    init: "vocabulary" samples from the most frequent tokens, "labels" takes the words of `labels` (a label of several
    tokens is averaged, places left over are sampled), "uniform" needs no tokenizer. template: hand-written words around
    the source, such as "{source} It was". sentinel: answers begin with the first sentinel, as the
    targets of span corruption do, for bases that know nothing else (paper, section 3.2).
    """

    prompt_length: int = 20
    init: str = "vocabulary"
    labels: Sequence[str] = ()
    template: str = "{source}"
    sentinel: bool = False

    start: ClassVar[torch.Tensor | None] = None  # set by start_from, on the instance
    labels_are_for_the_start: ClassVar[bool] = True  # and for nothing else
    name = "prompt_tuning"
    needs_language_model = True
    suggested_optimizer = "adafactor"
    suggested_learning_rate = 0.3
    learning_rate_grid = (0.03, 0.1, 0.3, 1.0)
    starts_at_identity = False
    why_no_merge = "a prompt makes the input longer, which no weight of the model can do. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.prompt_length < 1:
            raise UserError(f"The prompt_length must be at least 1, not {self.prompt_length}.")
        if self.init not in ("vocabulary", "labels", "uniform"):
            raise UserError(f"The prompt's init must be 'vocabulary', 'labels' or 'uniform', not {self.init!r}.")
        if self.init == "labels" and not self.labels:
            raise UserError("A prompt with init 'labels' needs the labels: PromptTuning(init='labels', labels=[...]).")
        if isinstance(self.labels, str):
            raise UserError(f"The labels are a list of words, not the text {self.labels!r}: labels=[{self.labels!r}].")
        if self.labels and self.init != "labels" and self.labels_are_for_the_start:
            raise UserError(f"A prompt with init {self.init!r} reads no labels: give init='labels' with them.")
        if self.init == "labels" and len(self.labels) > self.prompt_length:
            raise UserError(f"{self.prompt_length} vectors have no place for {len(self.labels)} labels: take more.")
        Template(self.template)

    def start_from(self, prompt: torch.Tensor) -> None:
        """Begin with `prompt`, (prompt_length, hidden), when attached, whatever `init` says."""
        if not prompt.isfinite().all():
            raise UserError("The prompt to start from holds values that are not finite: take another start.")
        self.start = prompt.detach().clone()

    def source_ids(self, text: str) -> list[int]:
        return Template(self.template).encode(text, self.model.tokenizer)

    @property
    def extra_positions(self) -> int:
        return self.prompt_length

    def answer_ids(self, text: str) -> list[list[int]]:
        opening = [self.model.tokenizer.sentinel(0)] if self.sentinel else []
        return [[*opening, *ids] for ids in super().answer_ids(text)]

    def parameter_groups(self, learning_rate: float) -> list[dict]:
        return super().parameter_groups(learning_rate * float(embedding_size(self.model)))

    def install(self, model: nn.Module) -> None:
        room = model.max_positions
        if room is not None and self.prompt_length >= room:
            raise UserError(f"A prompt of {self.prompt_length} leaves no room in {room} positions: shorten it.")
        self.replace([model.reading_stack], lambda stack: self.wrap(stack, model))

    def wrap(self, stack: nn.Module, model: nn.Module) -> nn.Module:
        """The stack of `model` with a new prompt before it."""
        return PromptedStack(stack, self.first_prompt(model))

    def first_prompt(self, model: nn.Module) -> torch.Tensor:
        """Where training starts, (prompt_length, hidden)."""
        table = model.embedding.weight.detach()  # (vocabulary, hidden)
        shape = self.prompt_length, table.shape[1]
        if self.given is not None:  # what was trained takes its place
            return table.new_zeros(shape)
        if self.start is not None:
            if self.start.shape != shape:
                raise UserError(f"The start is {tuple(self.start.shape)}, the prompt {shape}.")
            return self.start.to(table.device, table.dtype, copy=True)
        if self.init == "uniform":
            return table.new_empty(shape).uniform_(-0.5, 0.5)
        tokenizer = getattr(model, "tokenizer", None)
        if tokenizer is None:
            raise UserError("The model has no tokenizer to take words from: use minipeft.load, or init='uniform'.")
        tokens = [tokenizer.encode(word) for word in (self.labels if self.init == "labels" else ())]
        if [] in tokens:
            raise UserError(f"The label {self.labels[tokens.index([])]!r} holds no token to start from: use words.")
        rows = [table[ids].mean(0, keepdim=True) for ids in tokens]  # (1, hidden) for each label
        frequent = torch.tensor(tokenizer.most_frequent(FREQUENT), device=table.device)
        left = self.prompt_length - len(rows)  # places for frequent tokens, none twice while there are enough
        order = torch.randperm(len(frequent)).repeat(left // len(frequent) + 1)[:left]
        return torch.cat([*rows, table[frequent[order.to(table.device)]]])  # (prompt_length, hidden)
