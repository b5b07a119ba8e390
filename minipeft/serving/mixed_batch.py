"""Many tasks in one batch: one frozen model, and for every row of the batch the prompt or the LoRA of its own task.

    prompts: [P_r; X]                               P: (tasks, prompt_length, hidden)
    LoRA:    y = W x + scaling * B_r A_r x          A: (tasks, rank, in)   B: (tasks, out, rank)

r is the row's task; scaling is alpha / rank, or rsLoRA's. The frozen matrices are read once for all rows; what each row
adds is small. This is for serving: nothing is trained, and a row's answer is the one its own adapter gives alone.
Paper: Lester, Al-Rfou, Constant 2021, arXiv:2104.08691, for prompts.
Lesson: lessons/19_merging_and_serving. Test: tests/serving/test_mixed_batch.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.methods.method import Method
from minipeft.methods.prompts.prompt_bank import PromptBank
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.template import Template
from minipeft.serving.lora_sum import PLAIN_LORAS


class MixedLoRALinear(nn.Module):
    """A frozen linear layer whose row i of the batch gets the update of task rows[i].

    A: (tasks, rank, in), B: (tasks, out, rank). `rows`, (batch,), names each row's task; a batch of several rows for
    each of them repeats it for neighbours.
    """

    def __init__(self, linear: nn.Linear, A: torch.Tensor, B: torch.Tensor, scaling: float):
        super().__init__()
        self.linear = linear
        self.scaling = scaling
        self.rows = None
        self.register_buffer("A", A)
        self.register_buffer("B", B)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (batch, ..., in)"""
        rows = self.rows.repeat_interleave(len(x) // len(self.rows))  # (batch,)
        flat = x.flatten(1, -2) if x.dim() > 2 else x[:, None]  # (batch, length, in)
        low = self.scaling * (flat @ self.A[rows].transpose(1, 2))  # (batch, length, rank)
        update = low @ self.B[rows].transpose(1, 2)  # (batch, length, out)
        return self.linear(x) + update.view(*x.shape[:-1], -1)


@dataclass
class MixedBatch(Method):
    """The adapters `states`, each the `state_dict` of a method with the hyper-parameters of `method`.

        mixed = MixedBatch(LoRA(rank=4), [lora_of_topic, lora_of_sentiment])
        mixed.attach(model)
        with mixed.rows([1, 0, 0]):
            model.generate(batch_of_three, 8)

    `method` is a LoRA, rsLoRA, LoRA+ or PromptTuning that is not attached; dropout is left out.
    """

    method: Method
    states: Sequence[dict[str, torch.Tensor]]

    name = "mixed_batch"
    needs_language_model = True
    why_no_merge = "every row has an adapter of its own. Keep it attached, or merge one of them alone."

    def __post_init__(self):
        if type(self.method) not in (*PLAIN_LORAS, PromptTuning):
            kinds = "lora, rslora, lora_plus or prompt_tuning"
            raise UserError(f"One batch can mix adapters of {kinds}, not of {self.method.name}.")
        if not self.states:
            raise UserError("There are no adapters to mix: give at least one state_dict.")

    def attach(self, model: nn.Module) -> None:
        self.method.attach(model)
        try:
            for state in self.states:
                self.method.load_state_dict(state)  # refuses what does not fit the hyper-parameters or the model
            layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}
            self.scalings = {path: {"scaling": layer.scaling} for path, layer in layers.items()}  # none for a prompt
        finally:
            self.method.detach()
        super().attach(model)

    def install(self, model: nn.Module) -> None:
        like = model.embedding.weight
        wrap = self.bank if type(self.method) is PromptTuning else MixedLoRALinear
        stacked = {name: torch.stack([state[name] for state in self.states]).to(like) for name in self.states[0]}
        for path in dict.fromkeys(name.rpartition(".")[0] for name in stacked):  # "encoder", or "....query"
            parts = {name.rpartition(".")[2]: stack for name, stack in stacked.items() if name.startswith(f"{path}.")}
            parts |= self.scalings.get(path, {})
            self.replace([path], lambda module, parts=parts: wrap(module, **parts))
        self.wrappers = [module for module in model.modules() if isinstance(module, PromptBank | MixedLoRALinear)]
        for wrapper in self.wrappers:
            wrapper.register_forward_pre_hook(self.require_rows)

    def bank(self, stack: nn.Module, prompt: torch.Tensor) -> PromptBank:
        """prompt: (tasks, prompt_length, hidden)"""
        return PromptBank(stack, prompt).requires_grad_(False)

    @contextmanager
    def rows(self, tasks: Sequence[int]) -> Iterator[None]:
        """Inside, row i of every batch belongs to `tasks[i]`; one number alone is for all rows."""
        self.require_attached()
        if not tasks or not all(0 <= task < len(self.states) for task in tasks):
            raise UserError(f"Rows are numbers of adapters, from 0 to {len(self.states) - 1}; got {list(tasks)}.")
        self.set_rows(torch.tensor(list(tasks), device=self.model.embedding.weight.device))
        try:
            yield
        finally:
            self.set_rows(None)

    def set_rows(self, rows: torch.Tensor | None) -> None:
        for wrapper in self.wrappers:
            wrapper.rows = rows

    def require_rows(self, wrapper: nn.Module, inputs: tuple) -> None:
        """Before every forward pass: a row without a task of its own must not get somebody's adapter in silence."""
        if wrapper.rows is None:
            raise UserError("Say which adapter each row of the batch has: with mixed.rows([...]): ...")
        if len(inputs[0]) % len(wrapper.rows):
            raise UserError(f"{len(wrapper.rows)} rows were named and the batch has {len(inputs[0])}: name each row's.")

    @property
    def extra_positions(self) -> int:
        return self.method.extra_positions

    def source_ids(self, text: str) -> list[int]:
        return Template(getattr(self.method, "template", "{source}")).encode(text, self.model.tokenizer)
