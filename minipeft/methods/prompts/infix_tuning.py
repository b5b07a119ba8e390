"""Infix tuning: trained keys and values between source and answer, which the answer sees and the source does not.

    [x; INFIX; y]        in each layer of the infix: keys P_k, values P_v: (heads, infix, head), trained

GPT-2 reads `infix` more positions behind the source. Their input is zero, and in every layer their keys and values are
P_k and P_v: causality hides them from the source, and the last of them is where the answer's first token comes from.
A T5 writes its answer in the decoder, and the encoder is done by then: the infix is what the decoder alone sees, P_k
and P_v before its own keys and values and among the source's in cross-attention, where order plays no part. It is
prefix tuning without the encoder's prefix. A Llama is as a GPT-2: P_k stands for what the key projection gives, and is
normalised (Qwen3) and turned as a word's key at its place, which is another behind each source.
Start: as prefix tuning. Never the base model's output.
Trainable (stored): 2 L prefix heads head parameters per attention type: one in one stack, two in T5's decoder.
Paper: Li & Liang 2021, arXiv:2101.00190, table 4.
Lesson: lessons/06_prefix_tuning. Test: tests/methods/prompts/test_infix_tuning.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.targets import matches


class InfixEmbedding(nn.Module):
    """Words as before, zeros for the ids from `vocabulary_size` on; remembers where those stood."""

    def __init__(self, embedding: nn.Module, vocabulary_size: int):
        super().__init__()
        self.embedding = embedding
        self.vocabulary_size = vocabulary_size
        self.infix_index = None  # (batch, length) of the last call: 0, 1, ... at the infix, else -1

    @property
    def weight(self) -> torch.Tensor:
        return self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.infix_index = (ids - self.vocabulary_size).clamp(min=-1)
        vectors = self.embedding(ids.clamp(max=self.vocabulary_size - 1))  # (batch, length, hidden)
        return vectors.masked_fill((self.infix_index >= 0)[..., None], 0.0)


class InfixProjection(nn.Module):
    """A layer's key (part 0) or value (part 1) projection, with the infix's own at its positions.

    These are told by the `infix_index` of the last call of `embedding`. So a backward pass under
    gradient checkpointing, which calls this again, has to come before the next batch is read.
    """

    def __init__(self, linear: nn.Module, prefix: nn.Module, layer: int, part: int, embedding):
        super().__init__()
        self.linear = linear
        self.prefix = prefix
        self.layer = layer
        self.part = part
        self.where = [embedding]  # in a list, lest it become a part of this module

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(batch, length, hidden) -> (batch, length, heads * head)"""
        infix_index = self.where[0].infix_index
        infix = self.prefix(self.layer)[self.part]  # (heads, infix, head), heads of keys and values
        infix = infix.transpose(0, 1).flatten(1)  # (infix, heads * head)
        is_word = (infix_index < 0)[..., None]
        return torch.where(is_word, self.linear(hidden), infix[infix_index.clamp(min=0)])


@dataclass
class InfixTuning(PrefixTuning):
    """`prefix_length` keys and values behind the source in every layer that writes; the options are prefix tuning's."""

    name = "infix_tuning"
    network_rate = 1e-3
    network_grid = (1e-4, 3e-4, 1e-3, 3e-3)
    why_no_merge = "an infix adds positions to attend to, which no weight of the model can do. Keep it attached."
    keys_as_scored = False
    places = PrefixTuning.places[1:]  # those of a decoder; a T5's encoder sees no infix

    def install(self, model: nn.Module) -> None:
        if model.reading_stack != "decoder":
            return super().install(model)
        paths = [path for path, _ in model.named_modules() if matches(path, "decoder.blocks.*.attention")]
        prefix, embedding = self.new_prefix(model, paths), InfixEmbedding(model.embedding, model.config.vocabulary_size)
        self.replace(["embedding"], lambda _: embedding)
        for layer, path in enumerate(paths):
            for part, name in enumerate(("key", "value")):
                projection = InfixProjection(model.get_submodule(f"{path}.{name}"), prefix, layer, part, embedding)
                self.replace([f"{path}.{name}"], lambda _, new=projection: new)

    @property
    def extra_positions(self) -> int:
        return 0  # the infix is counted among the ids

    def source_ids(self, text: str) -> list[int]:
        ids, first = super().source_ids(text), self.model.config.vocabulary_size
        infix = range(first, first + self.prefix_length) if self.model.reading_stack == "decoder" else ()
        return [*ids, *infix]
