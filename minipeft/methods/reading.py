"""How texts become token ids and answers are compared: what methods with templates, labels or prompts do otherwise."""

from typing import Any, ClassVar

import torch

from minipeft.transformer.batch import Batch
from minipeft.transformer.text_joints import encode_written


class Reading:
    """The plain model's own way."""

    model: ClassVar[Any]

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

    def score(self, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
        """What ranking compares: for each row and candidate its log-likelihood, (batch, candidates)."""
        return self.model.score(batch, candidates, candidate_mask)
