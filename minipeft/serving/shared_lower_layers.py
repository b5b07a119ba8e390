"""Several tasks, one text: the layers below all adapters are computed once, those above once for each task.

    x -> free layers, once -> h         h -> the other layers with the adapters of task t -> logits of task t

What comes out is what each task gives alone; what is saved is the free layers of all tasks but the first. This is for
serving: nothing is trained, and the texts to read and to write are the same for all tasks.
Paper: Rücklé et al. 2021, arXiv:2010.11918, section 3.
Lesson: lessons/10_adapter_fusion. Test: tests/serving/test_shared_lower_layers.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_drop import AdapterDrop
from minipeft.methods.method import Method
from minipeft.methods.targets import find_modules
from minipeft.transformer.batch import Batch


class SharedBlock(nn.Module):
    """A layer that, while `sharing`, computes its output once and gives it again to everyone."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block
        self.sharing = False
        self.output = None

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
        self.sublayer = sublayer
        self.adapters = nn.ModuleList(adapters)
        self.task = None

    def forward(self, *inputs, **options) -> torch.Tensor:
        return self.adapters[self.task](self.sublayer(*inputs, **options))


@dataclass
class SharedLowerLayers(Method):
    """The adapters `states`, each the `state_dict` of a method with the hyper-parameters of `method`.

        shared = SharedLowerLayers(AdapterDrop(dropped=3), [adapters_of_topic, adapters_of_sentiment])
        shared.attach(model)
        logits_of_topic, logits_of_sentiment = shared.outputs(batch)

    free: how many of the lowest layers do without adapters, where it is not the method's own number.
    """

    method: AdapterDrop
    states: Sequence[dict[str, torch.Tensor]]
    free: int | None = None

    name = "shared_lower_layers"
    needs_language_model = True
    why_no_merge = "every task has adapters of its own. Keep it attached."

    def attach(self, model: nn.Module) -> None:
        if not self.states:
            raise UserError("There are no adapters to share layers: give at least one state_dict.")
        self.banks: list[dict[str, nn.Module]] = [self.trained_adapters(model, state) for state in self.states]
        super().attach(model)

    def trained_adapters(self, model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, nn.Module]:
        """The adapters of one task by the paths of their sublayers; refuses a state that does not fit."""
        self.method.attach(model)
        try:
            self.method.load_state_dict(state)
            self.method.drop(self.method.dropped if self.free is None else self.free)
            return self.method.adapters()
        finally:
            self.method.detach()

    def install(self, model: nn.Module) -> None:
        self.tops: list[TaskSublayer] = []
        self.shared: list[SharedBlock] = []
        for path, _ in find_modules(model, ["feed_forward"]):
            adapters = [bank[path].requires_grad_(False) for bank in self.banks if path in bank]
            if adapters:
                self.replace([path], lambda sublayer, own=adapters: TaskSublayer(sublayer, own))
                self.tops.append(model.get_submodule(path))
                self.tops[-1].register_forward_pre_hook(self.require_task)
            else:
                block = path.rpartition(".")[0]  # "encoder.blocks.0.feed_forward" -> "encoder.blocks.0"
                self.replace([block], SharedBlock)
                self.shared.append(model.get_submodule(block))

    def require_task(self, top: nn.Module, inputs: tuple) -> None:
        """Before every forward pass: no task may get another's adapters in silence."""
        if top.task is None:
            raise UserError("Say whose adapters: with shared.only(task): ..., or shared.outputs(batch) for all tasks.")

    @contextmanager
    def only(self, task: int) -> Iterator[None]:
        """Inside, the model is that of this one task: it answers, scores and writes as with its adapters alone."""
        self.require_attached()
        if not 0 <= task < len(self.states):
            raise UserError(f"Tasks are numbers from 0 to {len(self.states) - 1}, not {task}.")
        for top in self.tops:
            top.task = task
        try:
            yield
        finally:
            for top in self.tops:
                top.task = None

    @torch.no_grad()
    def outputs(self, batch: Batch) -> list[torch.Tensor]:
        """The logits of each task, (batch, target_length, vocabulary)."""
        self.require_attached()
        for block in self.shared:
            block.sharing = True
        try:
            return [self.logits(task, batch) for task in range(len(self.states))]
        finally:
            for block in self.shared:
                block.sharing = False
                block.output = None

    def logits(self, task: int, batch: Batch) -> torch.Tensor:
        """The logits of one task."""
        with self.only(task):
            return self.model(batch)
