"""Prefix tuning: learn keys and values that stand before the real ones in every attention layer.

    softmax(q [P_k; K]^T) [P_v; V]          P_k, P_v: (heads, prefix, head) in each layer

    [P_k; P_v] = W_2 tanh(W_1 e + b_1) + b_2
    e: (prefix, hidden)   W_1: (inner, hidden)   W_2: (2 heads head, inner)

The second line is for training only: e and W_1 are shared by all layers, each layer has its own W_2, and what is stored
are the keys and values that come out. Encoder, decoder and cross-attention have each their own prefix.
Start: random; the prefix takes part of the softmax, so the first output is never the base model's.
Trainable (stored): 2 L prefix heads head numbers per attention type with L layers. With reparametrise, training moves
prefix d + inner (d + 1) + 2 L heads head (inner + 1) numbers instead, at width d.
Paper: Li & Liang 2021, arXiv:2101.00190. Lesson: lessons/06_prefix_tuning.
"""

from dataclasses import dataclass
from itertools import count

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.methods.prompts.prefix_modules import PrefixedAttention, PrefixNetwork, PrefixTable, ShiftedPositions
from minipeft.methods.targets import matches
from minipeft.transformer.positions import LearnedPositions

PLACES = ("encoder.blocks.*.attention", "decoder.blocks.*.attention", "decoder.blocks.*.cross_attention")


@dataclass
class PrefixTuning(Method):
    """A prefix of `prefix_length` keys and values in every attention layer.

    With `reparametrise` they come from a network of size `inner` while training; `finish`, saving and loading keep the
    keys and values alone. Without it they are trained directly, which wants a far higher learning rate.
    """

    prefix_length: int = 10
    reparametrise: bool = True
    inner: int = 512

    name = "prefix_tuning"
    suggested_learning_rate = 3e-3
    learning_rate_grid = (3e-4, 1e-3, 3e-3, 1e-2)
    starts_at_identity = False
    why_no_merge = "a prefix adds positions to attend to, which no weight of the model can do. Keep it attached."

    def __post_init__(self):
        if self.prefix_length < 1 or self.inner < 1:
            raise UserError(f"prefix_length and inner must be at least 1: {self.prefix_length} and {self.inner} given.")
        if not self.reparametrise:  # keys and values themselves need steps of their own size
            self.suggested_learning_rate, self.learning_rate_grid = 0.3, (0.03, 0.1, 0.3, 1.0)

    def install(self, model: nn.Module) -> None:
        for place in PLACES:
            layers = [module for path, module in model.named_modules() if matches(path, place)]
            if layers:
                prefix, numbers = self.new_prefix(layers), count()
                self.replace([place], lambda a, p=prefix, n=numbers: PrefixedAttention(a, p, next(n)))
        if not self._replaced:
            raise UserError(f"prefix_tuning needs attention layers and this model has none called {PLACES}.")
        for path, module in list(model.named_modules()):
            if isinstance(module, LearnedPositions):
                if self.prefix_length >= module.table.num_embeddings:
                    raise UserError(f"A prefix of {self.prefix_length} leaves the text no positions: shorten it.")
                self.replace([path], lambda positions: ShiftedPositions(positions, self.prefix_length))

    def new_prefix(self, layers: list[nn.Module]) -> nn.Module:
        """The prefix of one attention type, shared by its layers."""
        heads, size, like = layers[0].heads, layers[0].head_size, layers[0].query.weight
        if self.reparametrise:
            prefix = PrefixNetwork(len(layers), heads, self.prefix_length, size, like.shape[1], self.inner)
        else:
            prefix = PrefixTable(0.02 * torch.randn(len(layers), 2, heads, self.prefix_length, size))
        return prefix.to(like.device, like.dtype)

    def tables(self) -> dict[str, torch.Tensor]:
        """The keys and values of each attention type, (layers, 2, heads, prefix, head)."""
        self.require_attached()
        modules = list(self.model.named_modules())  # a shared prefix is named once, in its first layer
        return {f"{path}.table": m.table_now() for path, m in modules if isinstance(m, PrefixNetwork | PrefixTable)}

    def finish(self) -> None:
        """Drop the training network and keep the keys and values it gives: the outputs do not change by a bit."""
        tables = {path: PrefixTable(table) for path, table in self.state_dict().items()}
        kept: dict[nn.Module, nn.Module] = {
            self.model.get_submodule(path.removesuffix(".table")): table for path, table in tables.items()
        }
        for wrapper in self.model.modules():
            if isinstance(wrapper, PrefixedAttention):
                wrapper.prefix = kept[wrapper.prefix]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The keys and values alone: what stands for the trained network."""
        return {path: table.detach().clone() for path, table in self.tables().items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.finish()
        super().load_state_dict(state)

    def parameter_count(self) -> int:
        return sum(table.numel() for table in self.state_dict().values())
