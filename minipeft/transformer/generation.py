"""Writing answers token by token with a key-value cache, and scoring given answers."""

from dataclasses import dataclass

import torch

from minipeft.transformer.attention import KeyValueCache
from minipeft.transformer.batch import Batch


@dataclass
class DecodingState:
    """What a decoder has read so far.

    mask: (batch, seen), which of the seen positions are real tokens. caches: one list of KeyValueCache per block.
    context, context_mask: the encoder's output, (batch, source, hidden) and (batch, source), or None.
    """

    mask: torch.Tensor
    caches: list[list[KeyValueCache]]
    context: torch.Tensor | None = None
    context_mask: torch.Tensor | None = None

    def repeat(self, times: int) -> "DecodingState":
        """Each row `times` times, next to each other, to continue one source with several answers."""
        rows = lambda x: None if x is None else x.repeat_interleave(times, 0)  # noqa: E731
        caches = [[cache.repeat(times) for cache in block] for block in self.caches]
        return DecodingState(rows(self.mask), caches, rows(self.context), rows(self.context_mask))


def generate(
    model,
    batch: Batch,
    max_length: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Answer each source with up to `max_length` tokens, ending early where all rows have ended.

    temperature 0 is greedy; above 0 the next token is sampled from softmax(logits / temperature), from the `top_k`
    likeliest tokens where top_k is given. Returns one list of ids a row, without end-of-sequence.
    """
    logits, state = model.prefill(batch)
    ended = torch.zeros(len(batch), dtype=torch.bool, device=logits.device)
    written = []
    for position in range(max_length):
        token = choose(logits, temperature, top_k, generator)  # (batch,)
        token = torch.where(ended, model.config.pad, token)
        written.append(token)
        ended = ended | (token == model.config.eos)
        if ended.all() or position == max_length - 1:
            break
        logits = model.step(token[:, None], ~ended[:, None], state)[:, -1]
    rows = torch.stack(written, dim=1).tolist() if written else [[] for _ in range(len(batch))]
    return [cut(row, model.config.eos) for row in rows]


def cut(row: list[int], eos: int) -> list[int]:
    """The tokens before the first end-of-sequence."""
    return row[: row.index(eos)] if eos in row else row


def choose(
    logits: torch.Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None
) -> torch.Tensor:
    """One token id per row of (batch, vocabulary) logits."""
    if temperature == 0.0:
        return logits.argmax(-1)
    if top_k is not None:
        lowest_kept = logits.topk(top_k).values[:, -1:]  # (batch, 1)
        logits = logits.masked_fill(logits < lowest_kept, -torch.inf)
    probabilities = (at_least_float32(logits) / temperature).softmax(-1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def at_least_float32(logits: torch.Tensor) -> torch.Tensor:
    """16-bit logits in 32 bits, for sums over a vocabulary; wider ones as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def score(model, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of every candidate: sum over its tokens of log p(token | source, tokens before), in nats.

    candidates, candidate_mask: (batch, candidates, length) token ids padded at the end, and which of them are real.
    Returns (batch, candidates). Each source is read once; its state is repeated for its candidates.
    """
    rows, choices, length = candidates.shape
    ids, mask = candidates.flatten(0, 1), candidate_mask.flatten(0, 1)  # (rows * choices, length)
    first, state = model.prefill(batch)
    logits = first.repeat_interleave(choices, 0)[:, None]  # (rows * choices, 1, vocabulary)
    if length > 1:
        later = model.step(ids[:, :-1], mask[:, :-1], state.repeat(choices))
        logits = torch.cat([logits, later], dim=1)  # (rows * choices, length, vocabulary)
    token_scores = at_least_float32(logits).log_softmax(-1).gather(2, ids[:, :, None])[:, :, 0]
    # Filled, not multiplied: a head may give padding the logit minus infinity, and 0 times that is not a number.
    return token_scores.masked_fill(~mask, 0.0).sum(1).view(rows, choices)
