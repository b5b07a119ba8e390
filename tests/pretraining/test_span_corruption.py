"""Span corruption: what the counts, cuts and sentinels must be."""

import math
import random
from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipeft.pretraining.span_corruption import (
    corrupt,
    noise_counts,
    random_composition,
    rebuild,
    span_mask,
)

VOCABULARY = 32100  # T5's


def sentinel(index: int) -> int:
    return VOCABULARY - 1 - index


texts = st.lists(st.integers(2, 3000), min_size=2, max_size=150)
seeds = st.integers(0, 2**32)
noise = {"noise_density": st.floats(0.05, 0.6), "mean_span": st.floats(1.0, 5.0)}


def t5_counts(length: int) -> tuple[int, int]:
    """Encoded lengths of source and target, end-of-sequence included."""
    hidden, spans = noise_counts(length)
    return length - hidden + spans + 1, hidden + spans + 1


@given(ids=texts, seed=seeds, **noise)
def test_source_and_target_together_rebuild_the_text(ids, seed, noise_density, mean_span):
    source, target = corrupt(ids, sentinel, random.Random(seed), noise_density, mean_span)
    assert rebuild(source, target, sentinel) == ids


@given(ids=texts, seed=seeds, **noise)
def test_each_sentinel_stands_once_in_source_and_target_descending_from_the_last_id(
    ids, seed, noise_density, mean_span
):
    source, target = corrupt(ids, sentinel, random.Random(seed), noise_density, mean_span)
    spans = noise_counts(len(ids), noise_density, mean_span)[1]
    for side in (source, target):
        assert [token for token in side if token > 3000] == [VOCABULARY - 1 - i for i in range(spans)]


@given(ids=texts, seed=seeds)
def test_the_source_starts_with_the_text_and_ends_with_a_sentinel_and_the_target_has_no_closing_one(ids, seed):
    source, target = corrupt(ids, sentinel, random.Random(seed))
    assert source[0] == ids[0] and source[-1] > 3000
    assert target[0] == VOCABULARY - 1 and target[-1] == ids[-1]


@given(length=st.integers(2, 200), seed=seeds, **noise)
def test_the_mask_has_the_counts_of_the_formula_and_starts_visible_and_ends_hidden(
    length, seed, noise_density, mean_span
):
    hidden, spans = noise_counts(length, noise_density, mean_span)
    mask = span_mask(length, random.Random(seed), noise_density, mean_span)
    assert (len(mask), sum(mask)) == (length, hidden)
    assert sum(flag for flag, _ in groupby(mask)) == spans
    assert not mask[0] and mask[-1]


def test_twenty_tokens_hide_three_in_one_span_behind_the_last_id():
    assert noise_counts(20) == (3, 1)
    ids = list(range(100, 120))
    source, target = corrupt(ids, sentinel, random.Random(0))  # one span: only the end of the text can be hidden
    assert source == [*range(100, 117), 32099]
    assert target == [32099, 117, 118, 119]


@pytest.mark.parametrize(
    "budget, raw, target", [(64, 70, 14), (128, 141, 29), (256, 284, 58), (512, 568, 114), (1024, 1137, 229)]
)
def test_the_longest_text_that_fits_a_source_budget_is_t5s(budget, raw, target):
    longest = max(length for length in range(2, 2 * budget) if t5_counts(length)[0] <= budget)
    assert longest == raw
    assert t5_counts(raw) == (budget, target)


def test_halves_are_rounded_to_even_as_the_released_code_does():
    assert noise_counts(10, 0.25, 1.0) == (2, 2)  # 2.5 tokens
    assert noise_counts(50, 0.1, 2.0) == (5, 2)  # 2.5 spans


def test_one_token_stays_and_one_goes_at_any_density():
    assert noise_counts(2, 0.01) == (1, 1)
    assert noise_counts(7, 0.99) == (6, 1)
    assert noise_counts(10, 0.8, 1.0) == (8, 2)  # only two visible tokens, so two spans at most
    with pytest.raises(ValueError, match="cannot be corrupted"):
        noise_counts(1)


@pytest.mark.parametrize("items, parts", [(7, 3), (6, 1), (6, 6), (9, 2)])
def test_all_compositions_are_equally_likely(items, parts):
    generator, draws = random.Random(5), 6000
    counts = Counter(tuple(random_composition(items, parts, generator)) for _ in range(draws))
    assert all(sum(parts) == items and min(parts) > 0 for parts in counts)
    number = math.comb(items - 1, parts - 1)
    assert len(counts) == number
    expected = draws / number
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    freedom = number - 1
    assert chi_square <= freedom + 4 * math.sqrt(2 * freedom)  # 4 standard deviations above its mean


@pytest.mark.parametrize("density, first, ours", [(0.15, 190, 28), (0.3, 95, 28)])
def test_the_first_length_at_which_the_count_in_float32_differs_is_the_one_that_is_told(density, first, ours):
    lengths = range(2, 500)
    released = [int(np.round(np.float32(length) * np.float32(density))) for length in lengths]
    differ = [n for n, count in zip(lengths, released, strict=True) if noise_counts(n, density)[0] != max(count, 1)]
    assert differ[0] == first and noise_counts(first, density)[0] == ours
    assert all(released[n - 2] == noise_counts(n, density)[0] + 1 for n in differ)
