"""Chapter 02, span corruption: the answers written out."""

import random
from collections.abc import Callable
from itertools import pairwise
from math import floor

from minipeft.pretraining.span_corruption import noise_counts as t5_counts

SENTINELS = 100  # T5 has so many


def sentinel(number: int) -> int:
    """The id of sentinel `number`, as in T5's vocabulary of 32,100 ids: from the end downwards."""
    return 32099 - number


def noise_counts(
    length: int, noise_density: float = 0.15, mean_span: float = 3.0, sentinels: int = 100
) -> tuple[int, int]:
    hidden = min(max(floor(length * noise_density + 0.5), 1), length - 1)
    spans = max(floor(hidden / mean_span + 0.5), 1)
    return hidden, min(spans, length - hidden + 1, sentinels)


def random_composition(items: int, parts: int, generator: random.Random) -> list[int]:
    # items and parts - 1 bars in a row: which of the places are bars?
    places = items + parts - 1
    bars = [-1, *sorted(generator.sample(range(places), parts - 1)), places]
    return [after - before - 1 for before, after in pairwise(bars)]


def source_and_target(
    ids: list[int], mask: list[bool], sentinel: Callable[[int], int], most: int
) -> tuple[list[int], list[int]]:
    source, target, pieces, piece = [], [], 0, 0  # piece: tokens behind the last sentinel, 0 in visible text
    for token, hidden in zip(ids, mask, strict=True):
        if not hidden:
            source.append(token)
            piece = 0
            continue
        if piece % most == 0:
            source.append(sentinel(pieces))
            target.append(sentinel(pieces))
            pieces += 1
        target.append(token)
        piece += 1
    return source, target


LENGTHS = (73, 63)  # round(49.5) = 50 hidden in round(12.5) = 12 spans: 60 + 12 + 1 and 50 + 12 + 1

LONGEST_TEXT = (568, 114)  # 85 hidden in 28 spans: 483 + 28 + 1 = 512 and 85 + 28 + 1; one token more needs 513


def rebuild(source: list[int], target: list[int], sentinel: Callable[[int], int]) -> list[int]:
    marks = {sentinel(number) for number in range(SENTINELS)}
    spans, mark = {}, None
    for token in target:
        if token in marks:
            mark = token
            spans[mark] = []
        else:
            spans[mark].append(token)
    ids = []
    for token in source:
        ids += spans.get(token, []) if token in marks else [token]
    return ids


def check_corruption(implementation: Callable) -> None:
    for length in (2, 3, 8, 20, 33, 60, 75):
        ids = list(range(1000, 1000 + length))  # no two alike
        source, target = implementation(ids, sentinel, random.Random(length))
        hidden, spans = t5_counts(length)
        assert len(target) == hidden + spans, "the counts are others"
        for side in (source, target):
            marks = [token for token in side if token > 32099 - SENTINELS]
            assert marks == [sentinel(number) for number in range(spans)], "the sentinels are others"
        assert rebuild(source, target, sentinel) == ids, "the text is not what it was"


def prefix_split(ids: list[int], generator: random.Random, room: int) -> tuple[list[int], list[int]]:
    start = generator.randrange(max(len(ids) - room, 0) + 1)
    piece = ids[start : start + room]
    cut = generator.randrange(1, len(piece))
    return piece[:cut], piece[cut:]
