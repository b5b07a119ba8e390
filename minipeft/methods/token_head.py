"""A token head: a new linear classifier on every token of the source, for tasks that name pieces of a text.

    scores = W h / rms(h) + b          h: (hidden,), the state of one source token   W: (tags + 1, hidden)

    source   Lily told John about the clavichord near the rasp .
    tags     0    0    0    0     0   1          0    0   2    0       1: instrument, 2: tool, 0: neither
    answer   instrument: clavichord; tool: rasp

The states are those of the stack that reads: T5's encoder, where a token has seen the text on both sides, or the one
stack of the others, where it has seen what stands before it. Nothing is written word by word: all tags come at once.
Training: the mean cross-entropy over all tokens of the source; every token of a named word has the word's tag, all
others, end-of-sequence and virtual ones too, have 0. Reading: a word has the tag of its last token, which has seen all
of the word in a causal stack too; words with one tag side by side are one name.
Start: W ~ N(0, 0.02), b = 0. Trainable: (tags + 1) (hidden + 1) parameters.
Test: tests/methods/test_token_head.py.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from minipeft.errors import UserError
from minipeft.transformer.batch import Batch
from minipeft.transformer.generation import at_least_float32

WORD = re.compile(r"\w+")


class TokenHead(nn.Module):
    """(..., hidden) -> (..., tags + 1), the scores of "none of them" and of each tag."""

    def __init__(self, hidden_size: int, tags: int, device=None, dtype=None):
        super().__init__()
        self.linear = nn.Linear(hidden_size, tags + 1, device=device, dtype=dtype)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        unit = nn.functional.normalize(hidden, dim=-1) * hidden.shape[-1] ** 0.5  # root mean square 1
        return self.linear(unit)


class TokenTagging:
    """What a method does otherwise whose `tags` are not empty. Its fields: `tags`, and `head_learning_rate`."""

    tags: Sequence[str]
    head_learning_rate: float

    def require_tags(self) -> None:
        """Raise UserError for tags that no answer could be written with."""
        if isinstance(self.tags, str):
            raise UserError(f"The tags are a list of words, not the text {self.tags!r}: tags=[{self.tags!r}].")
        if bad := next((tag for tag in self.tags if tag != tag.strip() or not tag or re.search("[:;]", tag)), None):
            raise UserError(f"The tag {bad!r} is empty or has a space at an end, ':' or ';' in it: rename it.")
        if len(set(self.tags)) < len(self.tags):
            raise UserError(f"The tags {', '.join(self.tags)} name one twice: give each once.")

    def install_token_head(self, model: nn.Module) -> None:
        """Put the head in the place of the vocabulary's, which a tagger does not need."""
        if getattr(model, "tokenizer", None) is None:
            raise UserError("The model has no tokenizer to find words with: use minipeft.load.")
        like, size = model.embedding.weight, model.config.hidden_size
        self.replace(["head"], lambda head: TokenHead(size, len(self.tags), like.device, like.dtype))

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """A head has a rate of its own: that of a prompt would tear it apart."""
        own = list(self.model.head.parameters()) if self.has_head else []
        groups = []
        for group in super().parameter_groups(learning_rate):
            rest = [parameter for parameter in group["params"] if all(parameter is not one for one in own)]
            groups += [{**group, "params": rest}] if rest else []
        return [*groups, {"params": own, "lr": self.head_learning_rate}] if own else groups

    @property
    def has_head(self) -> bool:
        """Whether a new head stands in the place of the vocabulary's."""
        return bool(self.tags)

    @property
    def writes_text(self) -> bool:
        return not self.tags

    # Texts to tags, and back.

    def answer_ids(self, text: str) -> list[list[int]]:
        if self.tags:
            self.names(text)  # refuses what could not be the answer
            return [[]]  # nothing is written
        return super().answer_ids(text)

    def target_ids(self, source: list[int], answer: str) -> list[int]:
        """The tag of every token of `source`: one for each, in place of an answer to be written."""
        if not self.tags:
            return super().target_ids(source, answer)
        text, ends = self.read_back(source)
        tags, taken = [0] * len(source), []
        for tag, name in self.names(answer):
            places = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
            free = next((place for place in places if place not in taken), None)
            if free is None:
                raise UserError(f"A token head tags words of the source, and {name!r} is none of {text!r}.")
            taken.append(free)
            for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
                if begin < free[1] and end > free[0]:
                    tags[number] = tag
        return tags

    def names(self, answer: str) -> list[tuple[int, str]]:
        """What an answer lists, as numbers of tags and texts: "tool: rasp; tool: saw" is [(2, "rasp"), (2, "saw")]."""
        found = []
        for part in filter(str.strip, answer.split(";")):
            tag, colon, name = (piece.strip() for piece in part.partition(":"))
            if not (colon and name):
                raise UserError(f"A token head answers with 'tag: words; ...', which {answer!r} is not: give labels.")
            if tag not in self.tags:
                raise UserError(f"The token head has no tag {tag!r}, only {', '.join(self.tags)}: give it all tags.")
            found.append((list(self.tags).index(tag) + 1, name))
        return found

    def read_back(self, ids: list[int]) -> tuple[str, list[int]]:
        """The text that these source ids stand for, and where in it each token ends; virtual ones stand for none."""
        size, decode = self.model.config.vocabulary_size, self.model.tokenizer.decode
        words = [token for token in ids if token < size]
        lengths = [len(decode(words[:count])) for count in range(len(words) + 1)]
        counts = torch.tensor([token < size for token in ids]).cumsum(0).tolist()
        return decode(words), [lengths[count] for count in counts]

    # Learning, and answering.

    def scores(self, batch: Batch) -> torch.Tensor:
        """(batch, source, tags + 1)"""
        return self.model.head(self.model.source_states(batch))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy over the real tokens of the sources; batch.target: (batch, source), their tags."""
        if not self.tags:
            return super().loss(batch)
        scores = self.scores(batch)[batch.target_mask]
        return functional.cross_entropy(at_least_float32(scores), batch.target[batch.target_mask])

    @torch.no_grad()
    def write(self, batch: Batch, max_length: int, **sampling) -> list[str]:
        """One answer for each source: its tagged words, from the first to the last."""
        if not self.tags:
            return super().write(batch, max_length, **sampling)
        chosen = self.scores(batch).argmax(-1)
        rows = zip(batch.source, chosen, batch.source_mask, strict=True)
        return [self.answer(ids[mask].tolist(), tags[mask].tolist()) for ids, tags, mask in rows]

    def answer(self, ids: list[int], tags: list[int]) -> str:
        """The answer that these tags of the source tokens `ids` stand for."""
        text, ends = self.read_back(ids)
        found, last = [], 0  # [tag, begin, end] in the text
        for word in WORD.finditer(text):
            tag = tags[next(number for number, end in enumerate(ends) if end >= word.end())]
            if tag and tag == last and not text[found[-1][2] : word.start()].strip():
                found[-1][2] = word.end()
            elif tag:
                found.append([tag, *word.span()])
            last = tag
        return "; ".join(f"{self.tags[tag - 1]}: {text[begin:end]}" for tag, begin, end in found)

    def score(self, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
        if self.tags:
            raise UserError("A token head tags the words of a source and cannot rank answers: give labels, not tags.")
        return super().score(batch, candidates, candidate_mask)
