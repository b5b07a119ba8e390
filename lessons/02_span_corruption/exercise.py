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


def noise_counts(
    length: int, noise_density: float = 0.15, mean_span: float = 3.0, sentinels: int = 100
) -> tuple[int, int]:
    """Implement: how many of `length` >= 2 tokens are hidden, and in how many spans, by rules other than T5's.

    Halves are rounded up: 2.5 tokens become 3. At least one token is hidden and one stays. Here a text may begin or end
    hidden: there need only be a visible token *between* two spans. There is at least one span, and there are never more
    than `sentinels` (>= 1). mean_span is at least 1.
    """
    raise NotImplementedError


def random_composition(items: int, parts: int, generator: random.Random) -> list[int]:
    """Implement: `items` >= 0 as a list of `parts` >= 1 whole numbers, all at least 0, that add up to it.

    Every such list is equally likely: (2, 2) gives [0, 2], [1, 1] or [2, 0], each in a third of all draws. Draw from
    `generator` alone.
    """
    raise NotImplementedError


def source_and_target(
    ids: list[int], mask: list[bool], sentinel: Callable[[int], int], most: int
) -> tuple[list[int], list[int]]:
    """Implement: the two sides of the training example, where no sentinel stands for more than `most` >= 1 tokens.

    The mask hides some of `ids`. A hidden span is cut into pieces of `most` tokens, the last of them perhaps shorter.
    source: the visible tokens, and in place of each piece one sentinel, numbered from 0 in the order of the text.
    target: each of these sentinels, followed by the tokens that it hides. No closing sentinel, no end-of-sequence.
    The mask may start hidden or end visible, though T5's never do. `ids` and `mask` stay as they are.
    """
    raise NotImplementedError


# Predict: a text of 110 tokens is corrupted as T5 does it, but with 45% hidden in spans of 4, and both sides are closed
# by end-of-sequence. How many ids has the source, and how many the target? Work it out by hand: (source, target).
LENGTHS = ...

# Predict: a batch has room for 512 source ids, end-of-sequence included. How many tokens may the longest text have,
# with T5's settings, 15% hidden in spans of 3, and how many ids has its target, end-of-sequence included? (length of
# the text, ids of the target).
LONGEST_TEXT = ...


def rebuild(source: list[int], target: list[int], sentinel: Callable[[int], int]) -> list[int]:
    """Repair: the text that was taken apart, each sentinel of `source` replaced by its span of `target`.

    A target may be closed by one more sentinel, as in the papers' figures, or not, as in T5's released code. A sentinel
    that the target leaves out stands for nothing. Whoever wrote this had only seen the figure.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    marks = {sentinel(number) for number in range(SENTINELS)}
    spans = []
    for token in target:
        if token in marks:
            spans.append([])
        else:
            spans[-1].append(token)
    ids, hidden = [], iter(spans)
    for token in source:
        ids += next(hidden, []) if token in marks else [token]
    return ids


def check_corruption(implementation: Callable[..., tuple[list[int], list[int]]]) -> None:
    """Prove: raise AssertionError unless `implementation(ids, sentinel, generator)` corrupts every text rightly.

    Write a property test; return nothing where all is right. `implementation` returns (source, target) with T5's
    settings, both without end-of-sequence. Right means: the counts are those of `t5_counts(length)`, imported above;
    each side has the sentinels 0, 1, 2, ... once, in this order; and no token of the text is lost, doubled or moved.
    Use `sentinel` from the top of this file, your own functions, and texts and seeds of your choice.
    """
    raise NotImplementedError


def prefix_split(ids: list[int], generator: random.Random, room: int) -> tuple[list[int], list[int]]:
    """Extend: a piece of the text cut in two, for LM adaptation, the first part to read, the second to write.

    Both parts together have `room` >= 2 tokens, or all of them where the text is shorter. Every such piece of the text
    is equally likely, and in it every place between two tokens, so neither part is empty. No sentinels; len(ids) >= 2;
    `ids` stays as it is. Draw from `generator` alone.
    """
    raise NotImplementedError
