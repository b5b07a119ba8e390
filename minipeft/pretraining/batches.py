"""Pretraining batches: documents made on the fly, each seen once, of like length side by side.

Documents are numbered, and chunk number c holds CHUNK of them in a row. All that is random about a chunk (the order of
its batches, its masks and cuts) follows from the seed and c, so a run is continued by counting, and processes can
prepare chunks ahead. Texts are not joined into long rows: one short text a row, or the decoder has so much of its own
text to look at that it learns to ignore the encoder.
"""

import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import NamedTuple

from minipeft.child_processes import end_with_parent
from minipeft.pretraining.language_modeling import causal, prefix_split
from minipeft.pretraining.span_corruption import corrupt
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.tasks.making.corpus import documents
from minipeft.transformer.batch import Batch, pad

CHUNK = 2048  # documents
OBJECTIVES = ("span", "prefix", "causal")


class Rows(NamedTuple):
    """A batch before padding: how many tokens of text it holds, and (source, target) of each text."""

    tokens: int
    pairs: list[tuple[list[int], list[int]]]


@dataclass(frozen=True)
class TextStream:
    """What to read and how: `objective` is one of OBJECTIVES, `seed` names the stream of documents.

    Texts longer than `max_length` tokens are cut into pieces of that length. The noise is denser and in shorter spans
    than T5's 0.15 and 3.0: at a typical 50 tokens, T5's numbers would leave 2 or 3 spans a text to learn from.
    """

    objective: str = "span"
    seed: int = 0
    batch_size: int = 32
    max_length: int = 128
    noise_density: float = 0.3
    mean_span: float = 2.0


tokenizer = cache(Tokenizer.load)  # one for each process


def pieces(ids: list[int], max_length: int) -> list[list[int]]:
    """A text in pieces of at most `max_length` tokens; a last piece too short to be cut in two is left out."""
    cut = [ids[start : start + max_length] for start in range(0, len(ids), max_length)]
    return [piece for piece in cut if len(piece) > 1]


def prepare_chunk(stream: TextStream, number: int) -> list[Rows]:
    """All full batches of chunk `number`, end-of-sequence included, in random order, each of texts of like length."""
    generator = random.Random(f"minipeft chunk {stream.seed} {number}")
    texts = tokenizer().encode_batch(list(documents(stream.seed, number * CHUNK, CHUNK)))
    texts = [piece for text in texts for piece in pieces(text, stream.max_length)]
    generator.shuffle(texts)  # else texts of one length stay in document order
    texts.sort(key=len)
    size = stream.batch_size
    batches = [texts[start : start + size] for start in range(0, len(texts) - size + 1, size)]
    generator.shuffle(batches)
    return [
        Rows(sum(map(len, batch)), [source_and_target(ids, stream, generator) for ids in batch]) for batch in batches
    ]


def source_and_target(ids: list[int], stream: TextStream, generator: random.Random) -> tuple[list[int], list[int]]:
    """One text as the objective shows it, with end-of-sequence."""
    eos = tokenizer().eos
    if stream.objective == "causal":
        source, target = causal(ids, eos)
        return source, [*target, eos]
    if stream.objective == "prefix":
        source, target = prefix_split(ids, generator)
    else:
        source, target = corrupt(ids, tokenizer().sentinel, generator, stream.noise_density, stream.mean_span)
    return [*source, eos], [*target, eos]


def as_batch(rows: Rows) -> Batch:
    """The texts of a batch as tensors."""
    (source, source_mask), (target, target_mask) = (pad(list(side)) for side in zip(*rows.pairs, strict=True))
    return Batch(source, source_mask, target, target_mask)


def chunks(stream: TextStream, first: int, workers: int = 0) -> Iterator[list[Rows]]:
    """Chunks first, first + 1, ... without end, prepared ahead by `workers` processes (0: in this one, when needed)."""
    number = first
    if not workers:
        while True:
            yield prepare_chunk(stream, number)
            number += 1
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent) as pool:
        ahead = deque()
        while True:
            while len(ahead) < 2 * workers:
                ahead.append(pool.submit(prepare_chunk, stream, number))
                number += 1
            yield ahead.popleft().result()
