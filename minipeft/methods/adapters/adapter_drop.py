"""AdapterDrop: Pfeiffer adapters, but the lowest n layers do without.

    layer i of the chain:   h <- h + A_i(u)   for i >= n,        h <- h + u   for i < n        u = feed_forward(norm(h))

Layers are counted as they compute: those of one stack from the bottom; T5's encoder from the bottom, then its
decoder. So what is free of adapters is always the beginning of the computation: the backward pass stops above it, and
several tasks that read the same text share it (`shared_lower_layers.py`).
Specialised: n is fixed, and the lowest n layers never get an adapter. Robust: in training, n is drawn uniformly from
0 to `dropped` for each batch, so that one set of adapters serves every n; drop(n) says how many do without later.
A drawn n comes from torch's generator, as dropout does, and is the same in all processes that share a
batch; a layer that is left out has no gradient in that step.
Start: as Pfeiffer's adapters: nearly, not exactly, the base model's first forward pass.
Trainable, at width d and bottleneck m: 2 d m + d + m for each layer with an adapter: E + D or L layers, less n where n
is fixed. The paper's robust n goes up to one below the number of layers.
Paper: Rücklé et al. 2021, arXiv:2010.11918.
Lesson: lessons/10_adapter_fusion. Test: tests/methods/adapters/test_adapter_drop.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.pfeiffer import Pfeiffer
from minipeft.methods.targets import find_modules


class DroppableSublayer(nn.Module):
    """A frozen sublayer whose output goes through an adapter, unless that is `dropped`."""

    def __init__(self, sublayer: nn.Module, adapter: nn.Module):
        super().__init__()
        self.sublayer = sublayer
        self.adapter = adapter
        self.dropped = False

    def forward(self, *inputs, **options) -> torch.Tensor:
        u = self.sublayer(*inputs, **options)  # (batch, length, hidden)
        return u if self.dropped else self.adapter(u)


@dataclass
class AdapterDrop(Pfeiffer):
    """dropped: how many of the lowest layers have no adapter; with robust, the most of them that a batch goes without.

    A robust method reads dev and test with all adapters until drop(n) is called, which may be done before training.
    """

    dropped: int = 1
    robust: bool = False

    name = "adapter_drop"

    def __post_init__(self):
        super().__post_init__()
        if self.place != "feed_forward":
            raise UserError("adapter_drop counts its layers by their feed-forward sublayers: leave place as it is.")
        if self.dropped < 0:
            raise UserError(f"The number of dropped layers must not be negative, got {self.dropped}.")

    def install(self, model: nn.Module) -> None:
        chain = [path for path, _ in find_modules(model, ["feed_forward"])]  # encoder before decoder, from the bottom
        if self.dropped >= len(chain):
            raise UserError(f"The model has {len(chain)} layers: drop fewer than that, not {self.dropped}.")
        self.bare = 0 if self.robust else self.dropped  # layers that never have an adapter
        self.replace(chain[self.bare :], self.wrap)
        self.layers = [model.get_submodule(path) for path in chain[self.bare :]]
        self.drop(self.bare)
        self.drawn: int | None = None  # for all forward passes of the step that the trainer is in
        if self.robust:
            # The lowest layer is passed once in each forward pass. Where gradient checkpointing runs it again, it
            # brings the generator's state back, as dropout needs too, and so the same draw.
            self.layers[0].register_forward_pre_hook(lambda layer, inputs: self.switch(self.draw(layer)))

    def wrap(self, sublayer: nn.Module) -> DroppableSublayer:
        return DroppableSublayer(sublayer, self.new_adapter(sublayer))

    def drop(self, layers: int) -> None:
        """From now on the lowest `layers` layers do without an adapter, outside of training steps that draw."""
        self.require_attached()
        if not self.bare <= layers <= self.bare + len(self.layers):
            raise UserError(f"From {self.bare} to {self.bare + len(self.layers)} layers can go without, not {layers}.")
        self.free = layers
        self.switch(layers)

    def adapters(self) -> dict[str, nn.Module]:
        """The adapters that act now, by the paths of the sublayers that they stand behind."""
        paths = {module: path for path, module in self.model.named_modules()}
        return {paths[layer]: layer.adapter for layer in self.layers if not layer.dropped}

    def before_step(self, step: int, total: int, rows: range) -> None:
        self.drawn = int(torch.randint(self.dropped + 1, ())) if self.robust else None

    def after_step(self, step: int, total: int) -> None:
        self.drawn = None

    def draw(self, layer: nn.Module) -> int:
        """How many layers this forward pass goes without."""
        if not (layer.training and torch.is_grad_enabled()):
            return self.free
        return int(torch.randint(self.dropped + 1, ())) if self.drawn is None else self.drawn

    def switch(self, layers: int) -> None:
        for number, layer in enumerate(self.layers, start=self.bare):
            layer.dropped = number < layers
