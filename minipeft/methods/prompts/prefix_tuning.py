"""Prefix tuning: learn keys and values that stand before the real ones in every attention layer.

    softmax(q [P_k; K]^T) [P_v; V]          P_k, P_v: (heads, prefix, head) in each layer, heads as K and V have them
    [P_k; P_v] = W_2 tanh(W_1 e + b_1) + b_2     e: (prefix, hidden)   W_1: (inner, hidden)   W_2: (2 heads head, inner)

The second equation is for training only; its outputs are stored. All layers share e and W_1, each has its own W_2.
Encoder, decoder and cross-attention have each their own prefix. In one stack (GPT-2, Llama) the text begins behind it;
where positions turn keys (Llama), P_k is turned already, for the places of a prefix are always the same.
Start: a network as PyTorch makes it; a table N(0, 0.02), where the released code and peft take N(0, 1); or what the
model computes on real words. The prefix takes part of the softmax, so the first output is never the base model's.
Trainable (stored): 2 L prefix heads head parameters per attention type with L layers. With reparametrise, training
moves prefix d + inner (d + 1) + 2 L heads head (inner + 1) parameters instead, at width d.
Paper: Li & Liang 2021, arXiv:2101.00190.
Lesson: lessons/06_prefix_tuning. Test: tests/methods/prompts/test_prefix_tuning.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.prompts.reparametrised import Reparametrised
from minipeft.methods.prompts.word_activations import word_activations
from minipeft.methods.targets import matches
from minipeft.transformer.positions import ShiftedPositions


class PrefixTable(nn.Module):
    """Keys and values as free parameters, (layers, 2, heads, prefix, head)."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer, (heads, prefix, head) each."""
        return self.table[layer, 0], self.table[layer, 1]

    def table_now(self) -> torch.Tensor:
        return self.table


class PrefixNetwork(nn.Module):
    """Keys and values as the output of a network that all prefix positions share."""

    def __init__(self, layers: int, heads: int, prefix: int, head: int, hidden: int, inner: int):
        super().__init__()
        self.shape = (prefix, 2, heads, head)
        self.positions = nn.Parameter(torch.randn(prefix, hidden))
        self.inner = nn.Linear(hidden, inner)
        self.outer = nn.ModuleList(nn.Linear(inner, 2 * heads * head) for _ in range(layers))

    def forward(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one layer, (heads, prefix, head) each."""
        inner = torch.tanh(self.inner(self.positions))  # (prefix, inner)
        flat = self.outer[layer](inner)  # (prefix, 2 * heads * head)
        return flat.view(self.shape).permute(1, 2, 0, 3).unbind()  # of (2, heads, prefix, head)

    def table_now(self) -> torch.Tensor:
        return torch.stack([torch.stack(self(layer)) for layer in range(len(self.outer))])


class PrefixedAttention(nn.Module):
    """Attention with prefix(layer), keys and values, before its own; caches do not hold them.

    The attention needs three steps: project (to queries, keys, values by head), attend and output.
    """

    def __init__(self, attention: nn.Module, prefix: nn.Module, layer: int):
        super().__init__()
        self.attention = attention
        self.prefix = prefix
        self.layer = layer

    def forward(self, hidden: torch.Tensor, context=None, bias=None, cache=None, **positions) -> torch.Tensor:
        """hidden: (batch, targets, hidden); bias: broadcast to the scores, without the prefix."""
        query, key, value = self.attention.project(hidden, context, cache, **positions)
        prefix_key, prefix_value = (x.expand(len(key), -1, -1, -1) for x in self.prefix(self.layer))
        key = torch.cat([prefix_key, key], dim=2)  # (batch, heads, prefix + sources, head)
        value = torch.cat([prefix_value, value], dim=2)
        if bias is not None:
            bias = nn.functional.pad(bias, (prefix_key.shape[2], 0))  # 0: all may look there
        return self.attention.output(self.attention.attend(query, key, value, bias))


@dataclass
class PrefixTuning(Reparametrised):
    """A prefix of `prefix_length` keys and values in every attention layer.

    reparametrise: a network of size `inner` gives them while training. init: "words" starts from those of `words`.
    """

    prefix_length: int = 10
    reparametrise: bool = True
    inner: int = 512
    init: str = "random"
    words: str = ""

    name = "prefix_tuning"
    network_rate = 3e-3
    network_grid = (3e-4, 1e-3, 3e-3, 1e-2)
    table_rate = 0.3
    table_grid = (0.03, 0.1, 0.3, 1.0)
    why_no_merge = "a prefix adds positions to attend to, which no weight of the model can do. Keep it attached."
    places = ("encoder.blocks.*.attention", "decoder.blocks.*.attention", "decoder.blocks.*.cross_attention")
    plain = PrefixTable
    keys_as_scored = True  # whether these are keys as queries meet them, or as the layer's key projection gives them

    def __post_init__(self):
        super().__post_init__()
        if self.prefix_length < 1 or self.inner < 1:
            raise UserError(f"prefix_length and inner must be at least 1: {self.prefix_length} and {self.inner} given.")
        if self.init not in ("random", "words"):
            raise UserError(f"The prefix's init must be 'random' or 'words', not {self.init!r}.")
        if bool(self.words) != (self.init == "words"):
            raise UserError("init='words' and words='...' go together: give both, or neither.")
        if self.words and self.reparametrise:
            raise UserError("init='words' sets the keys and values themselves: give reparametrise=False with it.")

    @property
    def extra_positions(self) -> int:
        return self.prefix_length

    def install(self, model: nn.Module) -> None:
        if model.max_positions is not None and self.prefix_length >= model.max_positions:
            raise UserError(f"A prefix of {self.prefix_length} leaves the text no positions: shorten it.")
        found = ([p for p, _ in model.named_modules() if matches(p, place)] for place in self.places)
        prefixes = [(own, self.new_prefix(model, own)) for paths in found if paths and (own := self.chosen(paths))]
        for paths, prefix in prefixes:  # all are made before any is put in: the plain model reads words
            for n, path in enumerate(paths):
                self.replace([path], lambda attention, p=prefix, n=n: PrefixedAttention(attention, p, n))
        if model.max_positions is not None:  # the first positions of its one stack are left to the prefix
            self.replace(["decoder.positions"], lambda positions: ShiftedPositions(positions, self.prefix_length))

    def chosen(self, paths: list[str]) -> list[str]:
        """Which of the layers of one attention type, lowest first, get a prefix: all."""
        return paths

    def new_prefix(self, model: nn.Module, paths: list[str]) -> nn.Module:
        """The prefix of one attention type, shared by its layers."""
        layers = [model.get_submodule(path) for path in paths]
        heads, size, like = layers[0].key_value_heads, layers[0].head_size, layers[0].query.weight
        if self.reparametrise and self.given is None:  # what was stored needs no network
            prefix = PrefixNetwork(len(layers), heads, self.prefix_length, size, like.shape[1], self.inner)
        elif self.words:
            prefix = PrefixTable(word_activations(model, layers, self.words, self.prefix_length, self.keys_as_scored))
        else:
            prefix = PrefixTable(0.02 * torch.randn(len(layers), 2, heads, self.prefix_length, size))
        return prefix.to(like.device, like.dtype)
