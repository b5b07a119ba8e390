"""From examples to batches of token ids: nothing cut, like lengths together, the same order for the same seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minipeft.errors import UserError
from minipeft.tasks.task import Example
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.text_joints import encode_written

POOL = 16  # batches whose examples are sorted by length together: more saves padding, fewer mixes better


@dataclass(frozen=True)
class Encoded:
    """One example as token ids; the target ends with end-of-sequence, or is a tag for each token of the source."""

    source: list[int]
    target: list[int]

    @property
    def length(self) -> int:
        return len(self.source) + len(self.target)


def encode_examples(model, examples: Sequence[Example], max_source_length: int = 256, split: str = "") -> list[Encoded]:
    """Token ids of every example, by `model.tokenizer`. Raises UserError for one that is empty or too long."""
    encoded = []
    for number, example in enumerate(examples, start=1):
        source = encode_source(model, example.source)
        answer = encode_answer(model, example.target)
        check_length(model, len(source), len(answer), called(example, number, split), max_source_length)
        method = getattr(model, "attached_method", None)
        encoded.append(Encoded(source, method.target_ids(source, example.target) if method else answer))
    return encoded


def called(example: Example, number: int, split: str = "") -> str:
    """How a sentence about example `number`, from 1, of a split begins."""
    return f"{split} example {number} ({example.source[:40]!r}...)".lstrip()


def encode_source(model, text: str) -> list[int]:
    """The ids a model reads: the text as the attached method reads it, between what opens and closes a source."""
    method = getattr(model, "attached_method", None)
    ids = method.source_ids(text) if method else model.tokenizer.encode(text)
    return [*model.source_prefix, *ids, *model.source_suffix]


def encode_answers(model, text: str) -> list[list[int]]:
    """The ids that may stand for an answer, each closed by end-of-sequence; more than one only with a verbalizer."""
    method = getattr(model, "attached_method", None)
    answers = method.answer_ids(text) if method else [encode_written(model, text)]
    return [[*ids, model.tokenizer.eos] for ids in answers]


def encode_answer(model, text: str) -> list[int]:
    """The ids a model learns to write: the first of `encode_answers`."""
    return encode_answers(model, text)[0]


def loss_of(model, batch: Batch) -> torch.Tensor:
    """What a training step lowers: the attached method's loss, or the plain model's."""
    return (getattr(model, "attached_method", None) or model).loss(batch)


def positions_for_text(model) -> int | None:
    """How many tokens of source and answer together fit a decoder-only model, beside what its method puts before them.

    None where there is no such limit.
    """
    limit, method = model.max_positions, getattr(model, "attached_method", None)
    return limit if limit is None or method is None else limit - method.extra_positions


def check_length(model, source: int, answer: int, name: str, max_source_length: int) -> None:
    """Refuse an example whose `source` and `answer` tokens do not fit the model; nothing is cut silently."""
    if not source:
        raise UserError(f"{name} has an empty source: give the model something to read.")
    room = positions_for_text(model)
    if room is not None and source + answer > room:
        taken = model.max_positions - room
        beside = f" beside the {taken} of its method" if taken else ""
        raise UserError(
            f"{name} has {source} + {answer} tokens of source and answer, the model takes {room}{beside}: shorten it, "
            "or the words that a method puts around it."
        )
    if room is None and source > max_source_length:
        raise UserError(
            f"{name} is read as {source} tokens, more than max_source_length {max_source_length}: shorten it, or the "
            "words that a method puts around it, or raise that (--max-source-length)."
        )


def epoch_order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The examples of each batch of an epoch, by index: a function of its arguments alone.

    Examples are shuffled, sorted by length within pools of POOL batches, cut into batches, and the batches shuffled.
    Each example comes once; the last batch of the last pool may be smaller.
    """
    shuffle = random.Random(f"{seed} {epoch}").shuffle
    order = list(range(len(lengths)))
    shuffle(order)
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = sorted(order[start : start + POOL * batch_size], key=lambda index: lengths[index])
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    shuffle(batches)
    return batches


def collate(encoded: Sequence[Encoded], device=None) -> Batch:
    """One padded batch of these examples, on `device`."""
    return Batch(*pad([e.source for e in encoded]), *pad([e.target for e in encoded])).to(device)


class BatchOrder:
    """Which examples belong to a step, for any step: epoch after epoch of `epoch_order`."""

    def __init__(self, encoded: Sequence[Encoded], batch_size: int, seed: int):
        self.lengths = [example.length for example in encoded]
        self.batch_size, self.seed = batch_size, seed
        self.per_epoch = len(epoch_order(self.lengths, batch_size, seed, 0))
        self.epoch, self.batches = -1, []

    def at(self, step: int) -> list[int]:
        """The indices of the examples of `step`, counted from 0."""
        epoch, number = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.batches = epoch, epoch_order(self.lengths, self.batch_size, self.seed, epoch)
        return self.batches[number]
