"""The interval over seeds and texts: closed forms where one of the two does not matter, and how often it holds."""

import numpy as np
import pytest

from minipeft.racing.differences import difference, differences
from minipeft.racing.differences_table import markdown, told
from minipeft.racing.table import summarise
from minipeft.racing.text_spread import rightness, text_interval, two_way_error


def row(right, name="a"):
    """A row of a report whose run k answers text i rightly where right[k, i]."""
    runs = [{"seed": k, "score": 100 * float(np.mean(line)), "predictions": "".join(".1"[1 - int(x)] for x in line)}
            for k, line in enumerate(right)]  # fmt: skip
    return {"method": name, "scores": [run["score"] for run in runs], "runs": runs}


def test_a_mark_is_right_or_not():
    made = row([[1, 0, 1, 1], [0, 0, 1, 1]])
    assert made["runs"][0]["predictions"] == ".1.."
    assert rightness(made).tolist() == [[1, 0, 1, 1], [0, 0, 1, 1]]


def test_rows_without_answers_or_with_another_metric_have_no_such_interval():
    whole, older = row([[1, 0], [1, 1], [0, 1]]), {"method": "b", "scores": [1.0, 2.0, 3.0]}
    assert text_interval(whole, older) is None and text_interval(older, whole) is None
    other = row([[1, 0], [1, 1], [0, 1]])
    other["runs"][1]["score"] = 81.5  # as of F1, which is no mean over texts
    assert rightness(other) is None and text_interval(whole, other) is None
    assert text_interval(whole, row([[1, 0, 1]] * 3)) is None, "other texts"
    assert text_interval(whole, row([[1, 0]] * 2)) is None, "other seeds"
    assert text_interval(row([[1, 0]]), row([[0, 0]])) is None, "single runs"


def test_the_error_of_two_chances_worked_by_hand():
    """Seeds 1 and 3, texts 0 and 4 apart, and a rest of +-1: S = 2 * 2, T = 2 * 8, R = 4."""
    seeds, texts, rest = np.array([[1.0], [3.0]]), np.array([[0.0, 4.0]]), np.array([[1.0, -1.0], [-1.0, 1.0]])
    error, freedom = two_way_error(seeds + texts + rest)
    assert error == pytest.approx(((4 + 16 - 4) / 4) ** 0.5)
    assert freedom == 1, "16^2 / (4^2 + 16^2 + 4^2) would be less than any two numbers have"


def test_where_texts_do_not_matter_it_is_the_interval_over_the_seeds():
    """Each seed has its own difference, spread evenly over many texts."""
    wins = [30, 45, 10, 60, 35]  # of 100 kinds of text; the others are answered alike
    random = np.random.default_rng(0)
    ours = np.array([random.permutation(3000) % 100 < won for won in wins])
    low, high = text_interval(row(ours), row(np.zeros_like(ours), "b"))
    paired = difference("a", [float(won) for won in wins], "b", [0.0] * 5, paired=True)
    assert (low + high) / 2 == pytest.approx(paired.difference)
    assert high - low == pytest.approx(paired.high - paired.low, rel=0.01)


def test_where_seeds_do_not_matter_it_is_the_error_of_a_share():
    """All seeds alike, right on 36 more texts of 100: sqrt(0.36 * 0.64 / 99), however many seeds there are."""
    error, freedom = two_way_error(np.tile(np.arange(100) < 36, (5, 1)).astype(float))
    assert error == pytest.approx((0.36 * 0.64 / 99) ** 0.5) and freedom == pytest.approx(99)


def test_where_every_text_is_answered_alike_there_is_no_spread():
    assert text_interval(row(np.ones((3, 4))), row(np.zeros((3, 4)))) == (100, 100)


def test_a_row_of_a_race_keeps_which_words_a_run_drew():
    run = {"spec": {"method": "lora", "seed": 1}, "test": 50.0, "predictions": ".1", "trained_parameters": 1,
           "total_parameters": 9, "adapter_bytes": 9}  # fmt: skip
    assert summarise([run])[0]["runs"][0]["word_draw"] == 0, "the words of the task's files"
    assert summarise([run | {"spec": {**run["spec"], "word_draw": 3}}])[0]["runs"][0]["word_draw"] == 3


def test_a_single_run_stands_beside_every_seed_of_the_other_row():
    ours, theirs = row([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]]), row([[0, 1, 0, 0]], "untuned")
    low, high = text_interval(ours, theirs)
    assert (low + high) / 2 == pytest.approx(75 - 25)


@pytest.mark.parametrize("of_seeds, of_texts", [(0.06, 0.1), (0.02, 0.3)])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(of_seeds, of_texts):
    """Seeds differ in how good they are, texts in how hard they are for the first row; the true difference is 20."""
    random, held, times = np.random.default_rng(3), 0, 300
    for _ in range(times):
        chance = 0.6 + random.normal(0, of_seeds, (5, 1)) + random.choice([-of_texts, of_texts], 60)
        low, high = text_interval(row(random.random((5, 60)) < chance), row(random.random((5, 60)) < 0.4))
        held += low < 20 < high
    assert 0.92 < held / times < 0.98


def test_a_race_with_answers_shows_the_column_and_an_older_one_does_not():
    random = np.random.default_rng(1)
    rows = [row(random.random((3, 50)) < share, name) for name, share in (("full", 0.9), ("lora", 0.5))]
    pairs = differences(rows)
    assert pairs[0].texts == text_interval(rows[1], rows[0])
    assert " with texts |" in markdown(pairs).splitlines()[0] and "With texts:" in told(pairs)
    for seed, run in enumerate(rows[0]["runs"]):
        run["word_draw"] = seed
    assert differences(rows)[0].texts is None, "seeds with texts of their own: the interval over them holds the texts"
    older = differences([{"method": entry["method"], "scores": entry["scores"]} for entry in rows])
    assert older[0].texts is None and "texts" not in told(older)
