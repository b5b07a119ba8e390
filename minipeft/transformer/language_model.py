"""The text-to-text face that all families share: loss, score, generate.

Tasks, training and methods speak to a model through this class only, so none of them asks which family it holds.
"""

import torch
from torch import nn
from torch.nn import functional

from minipeft.transformer.attention import Attention
from minipeft.transformer.batch import Batch
from minipeft.transformer.generation import DecodingState, at_least_float32, generate, score


class LanguageModel(nn.Module):
    """A model that reads `batch.source` and writes `batch.target`.

    A family provides `embedding`, `head`, `answer_states`, `source_states`, `prefill` and `step`; `source_prefix` and
    `source_suffix` hold the token ids that open and close a source text, `reading_stack` names the stack that reads it.
    """

    source_prefix: tuple[int, ...] = ()
    source_suffix: tuple[int, ...] = ()
    reading_stack: str  # "encoder", apart from the decoder that writes; or "decoder", which does both
    max_positions: int | None = None  # how many tokens one stack can read; None: any number

    def answer_states(self, batch: Batch) -> torch.Tensor:
        """The hidden state from which each target token is predicted, (batch, target_length, hidden)."""
        raise NotImplementedError

    def source_states(self, batch: Batch) -> torch.Tensor:
        """The hidden state of each source token, (batch, source_length, hidden), from the stack that reads."""
        raise NotImplementedError

    def prefill(self, batch: Batch) -> tuple[torch.Tensor, DecodingState]:
        """Read the sources: logits of the first answer token (batch, vocabulary), and what later steps need."""
        raise NotImplementedError

    def step(self, ids: torch.Tensor, mask: torch.Tensor, state: DecodingState) -> torch.Tensor:
        """Read (batch, n) more answer tokens: logits of the token after each, (batch, n, vocabulary)."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits of each target token given the source and the tokens before it, (batch, target_length, vocabulary)."""
        return self.head(self.answer_states(batch))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy over the real target tokens of the batch, in nats."""
        # Only real tokens reach the vocabulary projection: it is the largest matrix of a small model.
        places = batch.answer_places()
        logits = self.head(self.answer_states(batch)[places])  # (tokens, vocabulary)
        return functional.cross_entropy(at_least_float32(logits), batch.target[places])

    @torch.no_grad()
    def score(self, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
        """Log-likelihood in nats of each candidate answer, (batch, candidates); see `generation.score`."""
        return score(self, batch, candidates, candidate_mask)

    @torch.no_grad()
    def generate(self, batch: Batch, max_length: int, **sampling) -> list[list[int]]:
        """Answers as token ids, end-of-sequence removed; greedy unless told otherwise: see `generation.generate`."""
        return generate(self, batch, max_length, **sampling)

    def set_gradient_checkpointing(self, on: bool = True) -> None:
        """Trade time for memory: recompute each block's activations in the backward pass instead of keeping them."""
        for module in self.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = on

    def set_fused_attention(self, on: bool = True) -> None:
        """Use PyTorch's fused attention kernel in place of the explicit lines (worth it on a GPU)."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.fused = on
