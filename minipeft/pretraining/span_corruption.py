"""Span corruption: hide short spans of a text, and write them down.

    text      Anna took the lamp to the kitchen .
    source    Anna took <s0> to the <s1>                 one sentinel for each hidden span
    target    <s0> the lamp <s1> kitchen .               each sentinel, then what it stands for

Of N tokens, round(noise_density * N) are hidden in round(hidden / mean_span) spans. These counts are fixed by N; only
where the cuts fall is random. Hidden and visible tokens are each cut into that many parts, every way of cutting being
equally likely, and laid down in turn, visible first: so a text always starts visible and ends hidden.

Paper and code disagree on the end of the target. The figure of the paper closes it with one more sentinel; the released
code does not, since the text ends hidden and there is no visible span left for that sentinel to stand for. We do as the
code does. End-of-sequence is not added here: the batch adds it to both sides.
Source: Raffel et al. 2019, arXiv:1910.10683, section 3.1.4, and its released `preprocessors.py`.
"""

import random
from collections.abc import Callable, Sequence

Sentinel = Callable[[int], int]  # number of a span in its text -> token id, as `Tokenizer.sentinel`


def noise_counts(length: int, noise_density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """How many of `length` >= 2 tokens are hidden, and in how many spans.

    At least one token stays hidden and one visible. Halves are rounded to even. The released code does so too, but
    multiplies in float32, where some products fall just above a half: from 190 tokens on at density 0.15 (of 190 it
    hides 29, we 28), from 95 on at 0.3, it hides one token more at a few lengths. Raises ValueError for a shorter text.
    """
    if length < 2:
        raise ValueError(f"A text of {length} tokens cannot be corrupted: one token must stay and one must go.")
    hidden = min(max(round(length * noise_density), 1), length - 1)
    spans = max(round(hidden / mean_span), 1)
    return hidden, min(spans, length - hidden)  # each span needs a visible token before it


def random_composition(items: int, parts: int, generator: random.Random) -> list[int]:
    """`items` as a sum of `parts` positive numbers, uniform over all such sums: one subset of the items - 1 gaps."""
    cuts = [0, *sorted(generator.sample(range(1, items), parts - 1)), items]
    return [after - before for before, after in zip(cuts, cuts[1:], strict=False)]


def span_mask(length: int, generator: random.Random, noise_density: float = 0.15, mean_span: float = 3.0) -> list[bool]:
    """One flag for each token, True where it is hidden. Starts False, ends True."""
    hidden, spans = noise_counts(length, noise_density, mean_span)
    visible_parts = random_composition(length - hidden, spans, generator)
    hidden_parts = random_composition(hidden, spans, generator)
    mask = []
    for visible, noise in zip(visible_parts, hidden_parts, strict=True):
        mask += [False] * visible + [True] * noise
    return mask


def corrupt(
    ids: Sequence[int],
    sentinel: Sentinel,
    generator: random.Random,
    noise_density: float = 0.15,
    mean_span: float = 3.0,
) -> tuple[list[int], list[int]]:
    """The source (hidden spans replaced by sentinels) and the target (sentinels and hidden spans) of a text.

    ids: the text, without end-of-sequence. Both results are without end-of-sequence, too. Sentinels are numbered in
    the order of the text; their ids descend from the end of the vocabulary. Raises ValueError for under two tokens.
    """
    source, target = [], []
    mask = span_mask(len(ids), generator, noise_density, mean_span)
    spans, before = 0, False
    for token, hidden in zip(ids, mask, strict=True):
        if hidden and not before:
            source.append(sentinel(spans))
            target.append(sentinel(spans))
            spans += 1
        (target if hidden else source).append(token)
        before = hidden
    return source, target


def rebuild(source: Sequence[int], target: Sequence[int], sentinel: Sentinel) -> list[int]:
    """The text that `corrupt` took apart: each sentinel of `source` replaced by its span of `target`."""
    ids, position, spans = [], 0, 0
    for token in source:
        if token != sentinel(spans):
            ids.append(token)
            continue
        position, spans = position + 1, spans + 1  # step over this sentinel in the target, then copy up to the next
        while position < len(target) and target[position] != sentinel(spans):
            ids.append(target[position])
            position += 1
    return ids
