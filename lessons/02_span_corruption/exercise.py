"""Chapter 02, span corruption: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/02_span_corruption
    python -m minipeft hint 02

Letters: ids are token ids, a list without end-of-sequence; a mask is a list of as many truth values, True where a token
is hidden. `length` counts tokens.
"""

import random
from collections.abc import Callable

SENTINELS = 100  # T5 has so many


def sentinel(number: int) -> int:
    """The id of sentinel `number`, as in T5's vocabulary of 32,100 ids: from the end downwards. For your tests."""
    return 32099 - number


def noise_counts(length: int, noise_density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """Implement: how many of `length` >= 2 tokens are hidden, and in how many spans.

    Halves are rounded to even, as `round` does. At least one token is hidden and one stays. There is at least one span,
    and each has a visible token before it.
    """
    raise NotImplementedError


def random_composition(items: int, parts: int, generator: random.Random) -> list[int]:
    """Implement: `items` as a list of `parts` numbers, all at least 1, that add up to it.

    Every such list is equally likely: (5, 2) gives [1, 4], [2, 3], [3, 2] or [4, 1], each in a quarter of all draws.
    1 <= parts <= items.
    """
    raise NotImplementedError


def source_and_target(ids: list[int], mask: list[bool], sentinel: Callable[[int], int]) -> tuple[list[int], list[int]]:
    """Implement: the two sides of the training example, for a `mask` that hides some of `ids`.

    source: the visible tokens, and in place of each hidden span one sentinel, numbered from 0 in the order of the text.
    target: each of these sentinels, followed by the tokens that it hides. No closing sentinel, no end-of-sequence.
    The mask may start hidden or end visible, though T5's never do.
    """
    raise NotImplementedError


# Predict: a text of 110 tokens is corrupted with T5's settings, 15% hidden in spans of 3, and both sides are closed by
# end-of-sequence. How many ids has the source, and how many the target? Work it out by hand: (source, target).
LENGTHS = ...

# Predict: a batch has room for 512 source ids, end-of-sequence included. How many tokens may the longest text have,
# with the same settings, and how many ids has its target, end-of-sequence included? (length of the text, ids of the
# target).
LONGEST_TEXT = ...


def rebuild(source: list[int], target: list[int], sentinel: Callable[[int], int]) -> list[int]:
    """Repair: the text that was taken apart, each sentinel of `source` replaced by its span of `target`.

    A target may be closed by one more sentinel, as in the papers' figures, or not, as in T5's released code. A sentinel
    that the target leaves out stands for nothing. Whoever wrote this had only seen the figure.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    marks = {sentinel(number) for number in range(SENTINELS)}
    spans, mark, span = {}, target[0], []
    for token in target[1:]:
        if token in marks:
            spans[mark] = span
            mark, span = token, []
        else:
            span.append(token)
    ids = []
    for token in source:
        ids += spans.get(token, []) if token in marks else [token]
    return ids


def check_corruption(implementation: Callable[..., tuple[list[int], list[int]]]) -> None:
    """Prove: raise AssertionError unless `implementation(ids, sentinel, generator)` corrupts every text rightly.

    Write a property test. `implementation` returns (source, target) with T5's settings, both without end-of-sequence.
    Right means: the counts are those of `noise_counts`; each side has the sentinels 0, 1, 2, ... once, in this order;
    and no token of the text is lost, doubled or moved. Use your own functions from above, `sentinel` from the top of
    this file, and texts and seeds of your choice.
    """
    raise NotImplementedError


def prefix_split(ids: list[int], generator: random.Random) -> tuple[list[int], list[int]]:
    """Extend: the text cut in two, for LM adaptation, the first part to read, the second to write.

    Every place between two tokens is equally likely, so neither part is empty. No sentinels. len(ids) >= 2.
    """
    raise NotImplementedError
