"""Prefix and causal language modelling."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipeft.pretraining.language_modeling import causal, prefix_split


@given(ids=st.lists(st.integers(0, 3071), min_size=2, max_size=60), seed=st.integers(0, 2**32))
def test_prefix_and_continuation_together_are_the_text_and_neither_is_empty(ids, seed):
    source, target = prefix_split(ids, random.Random(seed))
    assert source + target == ids
    assert source and target


def test_the_cut_is_uniform_on_all_places_inside_the_text():
    generator, draws, ids = random.Random(3), 9000, list(range(10))
    counts = Counter(len(prefix_split(ids, generator)[0]) for _ in range(draws))
    assert sorted(counts) == list(range(1, 10))
    expected = draws / 9
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square <= 8 + 4 * 4  # mean and 4 standard deviations at 8 degrees of freedom


def test_a_text_of_one_token_cannot_be_cut():
    with pytest.raises(ValueError, match="cannot be cut"):
        prefix_split([7], random.Random(0))


def test_causal_reads_only_a_start_and_writes_the_whole_text():
    assert causal([7, 8, 9], eos=1) == ([1], [7, 8, 9])
