"""Chapter 02, span corruption: the answers written out."""

import random
from collections.abc import Callable
from itertools import pairwise

SENTINELS = 100  # T5 has so many


def sentinel(number: int) -> int:
    """The id of sentinel `number`, as in T5's vocabulary of 32,100 ids: from the end downwards."""
    return 32099 - number


def noise_counts(length: int, noise_density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    hidden = min(max(round(length * noise_density), 1), length - 1)
    spans = max(round(hidden / mean_span), 1)
    return hidden, min(spans, length - hidden)


def random_composition(items: int, parts: int, generator: random.Random) -> list[int]:
    cuts = [0, *sorted(generator.sample(range(1, items), parts - 1)), items]  # which gaps between items are cut
    return [after - before for before, after in pairwise(cuts)]


def source_and_target(ids: list[int], mask: list[bool], sentinel: Callable[[int], int]) -> tuple[list[int], list[int]]:
    source, target, spans = [], [], 0
    for place, token in enumerate(ids):
        if mask[place] and (place == 0 or not mask[place - 1]):
            source.append(sentinel(spans))
            target.append(sentinel(spans))
            spans += 1
        if mask[place]:
            target.append(token)
        else:
            source.append(token)
    return source, target


LENGTHS = (100, 22)  # round(16.5) = 16 hidden in round(5.3) = 5 spans: 94 + 5 + 1 and 16 + 5 + 1

LONGEST_TEXT = (568, 114)  # 85 hidden in 28 spans: 483 + 28 + 1 = 512 and 85 + 28 + 1; one token more needs 513


def rebuild(source: list[int], target: list[int], sentinel: Callable[[int], int]) -> list[int]:
    marks = {sentinel(number) for number in range(SENTINELS)}
    spans, mark, span = {}, target[0], []
    for token in target[1:]:
        if token in marks:
            spans[mark] = span
            mark, span = token, []
        else:
            span.append(token)
    spans[mark] = span  # the last span is closed by the end of the target
    ids = []
    for token in source:
        ids += spans.get(token, []) if token in marks else [token]
    return ids


def check_corruption(implementation: Callable) -> None:
    for length in (2, 3, 8, 20, 33, 60, 75):
        ids = list(range(1000, 1000 + length))  # no two alike
        source, target = implementation(ids, sentinel, random.Random(length))
        hidden, spans = noise_counts(length)
        assert len(target) == hidden + spans, "the counts are others"
        for side in (source, target):
            marks = [token for token in side if token > 32099 - SENTINELS]
            assert marks == [sentinel(number) for number in range(spans)], "the sentinels are others"
        assert rebuild(source, target, sentinel) == ids, "the text is not what it was"


def prefix_split(ids: list[int], generator: random.Random) -> tuple[list[int], list[int]]:
    cut = generator.randint(1, len(ids) - 1)  # both ends included
    return ids[:cut], ids[cut:]
