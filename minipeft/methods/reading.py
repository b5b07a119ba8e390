"""How texts become token ids and answers come back: what methods with templates, labels or tags do otherwise."""

from typing import Any, ClassVar

import torch

from minipeft.transformer.batch import Batch
from minipeft.transformer.text_joints import decode_written, encode_written


class Reading:
    """The plain model's own way."""

    model: ClassVar[Any]

    @property
    def writes_text(self) -> bool:
        """Whether the model still writes any text: not where a head knows tags alone."""
        return True

    def source_ids(self, text: str) -> list[int]:
        """The token ids that a source text becomes: a template puts words or virtual tokens around them."""
        return self.model.tokenizer.encode(text)

    @property
    def extra_positions(self) -> int:
        """How many of the model's positions are taken besides those of `source_ids`: by a prompt, by a prefix."""
        return 0

    def answer_ids(self, text: str) -> list[list[int]]:
        """The token ids that may stand for an answer: training writes the first, ranking takes the mean of all."""
        return [encode_written(self.model, text)]

    def target_ids(self, source: list[int], answer: str) -> list[int]:
        """What is learned behind the ids of a source, as `batch.target`: the answer, and end-of-sequence."""
        return [*self.answer_ids(answer)[0], self.model.tokenizer.eos]

    def loss(self, batch: Batch) -> torch.Tensor:
        """What training lowers: the mean over `batch.target`, in nats."""
        return self.model.loss(batch)

    def write(self, batch: Batch, max_length: int, **sampling) -> list[str]:
        """An answer to every source, of `max_length` tokens at most."""
        return [decode_written(self.model, row) for row in self.model.generate(batch, max_length, **sampling)]

    def score(self, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
        """What ranking compares: for each row and candidate its log-likelihood, (batch, candidates)."""
        return self.model.score(batch, candidates, candidate_mask)
