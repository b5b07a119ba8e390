"""Freezing layers: train the top blocks of the model, and the head if wanted; the rest stays.

    learning rate of a block = rate * decay ** depth    depth 0: the top block of a stack, the head
    a block is frozen before step  unfreeze * total * depth / (layers - 1), rounded

Start: the base model itself; only a new head changes the first forward pass.
Trainable, at width d, feed-forward size f and a = heads * head size: `layers` blocks of each stack.
A GPT-2 block has 4 (d d + d) + 2 d f + f + d + 4 d parameters; in T5 v1.1 an encoder block has
4 d a + 3 d f + 2 d, a decoder block 8 d a + 3 d f + 3 d; a Llama block 2 d (a + k) + 3 d f + 2 d,
with k = key and value heads * head size. A trained head adds V d (V the
vocabulary), a new one (labels + 1) (d + 1).
GPT-2's head is its embedding: a trained head is a copy, so that the embedding below the frozen
blocks stays as it is. In T5 the backward pass crosses the whole decoder, frozen blocks too, to
reach the encoder's top: it saves less there.
Paper: Howard & Ruder 2018, arXiv:1801.06146 (layer-wise rates, gradual unfreezing; theirs wakes a
block an epoch, and first trains the head alone).
Lesson: lessons/03_full_and_partial. Test: tests/methods/selective/test_freeze_layers.py.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.heads import check_label, label_head
from minipeft.methods.method import Method


@dataclass
class FreezeLayers(Method):
    """Train the top `layers` blocks of every stack: T5's encoder and decoder, others' one decoder.

    head: "none" leaves it frozen, "train" trains it too, "new" puts a classifier over `labels` in
    its place; layers 0 with a new head is a linear probe. decay: the factor on the learning rate
    from each block to the one below it; above 1 the lower blocks learn faster. unfreeze: the share
    of all steps after which the lowest of the blocks wakes, the top one being awake from the start.
    """

    layers: int = 1
    head: str = "none"
    labels: Sequence[str] = ()
    decay: float = 1.0
    unfreeze: float = 0.0

    asleep: ClassVar[frozenset[int]] = frozenset()  # ids of parameters, within a training step

    name = "freeze_layers"
    needs_language_model = True
    suggested_learning_rate = 1e-2
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 2e-2)
    starts_at_identity = False  # with a new head; else it does
    why_no_merge = "the model's own head cannot hold the trained one. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.head not in ("none", "train", "new"):
            raise UserError(
                f"The head of freeze_layers must be 'none', 'train' or 'new', not {self.head!r}."
            )
        if self.layers < 0 or (self.layers == 0 and self.head == "none"):
            raise UserError(
                f"With {self.layers} layers and head {self.head!r} nothing is trained: "
                "train at least one."
            )
        if self.decay <= 0:
            raise UserError(f"The decay must be above 0, not {self.decay}.")
        if not 0 <= self.unfreeze < 1:
            raise UserError(
                f"unfreeze is a share of the steps, from 0 to below 1: {self.unfreeze}."
            )
        if self.head == "new" and not self.labels:
            raise UserError("A new head needs the labels: FreezeLayers(head='new', labels=[...]).")

    @property
    def can_merge(self) -> bool:  # what was trained in place is in the model's own weights already
        return self.model is not None and not self._replaced

    def install(self, model: nn.Module) -> None:
        for name in dict.fromkeys((model.reading_stack, "decoder")):
            blocks = list(getattr(model, name).blocks)
            if self.layers > len(blocks):
                raise UserError(
                    f"The {name} has {len(blocks)} blocks, not {self.layers}: train fewer layers."
                )
            for block in blocks[len(blocks) - self.layers :]:
                self.train_in_place(block.parameters())
        if self.head == "new":
            self.replace(["head"], lambda head: label_head(model, self.labels))
        elif self.head == "train" and model.head.weight is model.embedding.weight:
            self.replace(["head"], lambda head: copy.deepcopy(head).requires_grad_(True))
        elif self.head == "train":
            self.train_in_place(model.head.parameters())

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """One group for each depth, from the top down."""
        groups: dict[int, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters().items():
            groups.setdefault(self.depth(name), []).append(parameter)
        return [
            {"params": groups[depth], "lr": learning_rate * self.decay**depth}
            for depth in sorted(groups)
        ]

    def wakes(self, depth: int, total: int) -> int:
        """The first of `total` training steps in which a block of this depth is trained."""
        return round(self.unfreeze * total * depth / max(1, self.layers - 1))

    def before_step(self, step: int, total: int, rows: range) -> None:
        """Freeze the blocks whose time has not come: this step's backward pass ends above them."""
        sleeping = []
        for name, parameter in self.named_parameters().items():
            if step < self.wakes(self.depth(name), total):
                sleeping.append(parameter.requires_grad_(False))
        self.asleep = frozenset(map(id, sleeping))

    def after_backward(self, step: int, total: int) -> None:
        """Between two steps every block counts as trained; without a gradient none is moved."""
        self.wake()

    def wake(self) -> None:
        for parameter in self.named_parameters().values():
            parameter.requires_grad_(True)
        self.asleep = frozenset()

    def require_own_changes_only(self) -> None:
        self.wake()  # a step may have been broken off
        super().require_own_changes_only()

    def settled(self, step: int, total: int) -> bool:
        return step >= self.wakes(self.layers - 1, total)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        self.require_attached()
        named = self.model.named_parameters()
        return {name: p for name, p in named if p.requires_grad or id(p) in self.asleep}

    def depth(self, name: str) -> int:
        """How many blocks of its stack stand above the parameter `name` (decoder.blocks.3...)."""
        if name.startswith("head."):
            return 0
        stack, _, number = name.split(".")[:3]
        return len(getattr(self.model, stack).blocks) - 1 - int(number)

    def answer_ids(self, text: str) -> list[list[int]]:
        if self.head == "new":
            check_label(text, self.labels)
        return super().answer_ids(text)
