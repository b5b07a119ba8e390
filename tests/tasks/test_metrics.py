"""Metrics against examples worked by hand."""

import math

import pytest

from minipeft.errors import UserError
from minipeft.tasks import metrics
from minipeft.tasks.task import METRICS, Task


def test_accuracy_is_the_share_of_equal_texts_in_percent():
    assert metrics.accuracy(["yes", "no", "yes", "yes"], ["yes", "no", "no", "yes"]) == 75.0


def test_exact_match_ignores_white_space_but_nothing_else():
    assert metrics.exact_match([" a  b", "A b", "a b."], ["a b", "a b", "a b"]) == pytest.approx(100 / 3)


def test_macro_f1_weighs_every_label_the_same():
    predictions, targets = ["a", "a", "a", "b", "c"], ["a", "a", "b", "b", "b"]
    # a: TP 2, FP 1, FN 0 -> 4/5;  b: TP 1, FP 0, FN 2 -> 2/4;  c: never right -> 0
    assert metrics.macro_f1(predictions, targets) == pytest.approx(100 * (0.8 + 0.5 + 0) / 3)


def test_tagging_f1_counts_an_entity_only_with_its_kind():
    predictions = ["person: Ann; place: park", "object: cup; object: cup"]
    targets = ["place: park; object: Ann", "object: cup"]
    # right: park, one cup = 2;  predicted 4;  true 3
    assert metrics.tagging_f1(predictions, targets) == pytest.approx(100 * 2 * 2 / 7)


def test_tagging_f1_of_nothing_found_where_nothing_is_is_full():
    assert metrics.tagging_f1([""], [""]) == 100.0
    assert metrics.tagging_f1(["no idea"], ["place: park"]) == 0.0


def test_overlap_clips_repeated_words_and_multiplies_precisions():
    # one prediction of 6 words: 1-grams 5/6, 2-grams 3/5, 3-grams 2/4, 4-grams 1/3, same length
    got, wanted = "the cat sat on the mat", "the cat sat on a mat"
    assert metrics.overlap([got], [wanted]) == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_overlap_clips_at_the_count_in_the_target():
    # "the" is clipped at 2 of 7 and no 2-gram matches (Papineni et al. 2002, example 2), so the mean is 0
    assert metrics.overlap(["the the the the the the the"], ["the cat is on the mat"]) == 0.0
    assert metrics.overlap(["a a a b"], ["a b c d"]) == 0.0  # 1-grams 2/4, 2-grams 1/3, 3-grams 0/2


def test_overlap_punishes_short_answers_by_the_brevity_penalty():
    assert metrics.overlap(["a b c d"], ["a b c d e"]) == pytest.approx(100 * math.exp(1 - 5 / 4))
    assert metrics.overlap(["a b c d e"], ["a b c d e"]) == pytest.approx(100)


def test_overlap_sums_counts_over_the_list_before_dividing():
    predictions, targets = ["a b", "c d e f"], ["a b", "c d x f"]
    # 1-grams (2+3)/6, 2-grams (1+1)/4, 3-grams 0/2 -> 0
    assert metrics.overlap(predictions, targets) == 0.0
    # words "a" and "b c" against "a" and "b d": 1-grams 2/3, 2-grams 0/1 -> 0; single words only: their precision
    assert metrics.overlap(["a", "b"], ["a", "c"]) == pytest.approx(50)


def test_every_metric_of_a_task_has_a_function_and_unknown_ones_are_refused():
    for name in METRICS:
        assert metrics.score(name, ["a: b"], ["a: b"]) == pytest.approx(100)
    with pytest.raises(ValueError, match="choose one of accuracy"):
        metrics.score("bleu", ["a"], ["a"])


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="got 1 and 2"):
        metrics.accuracy(["a"], ["a", "b"])


def test_a_task_with_a_metric_that_there_is_not_is_refused_when_it_is_made():
    with pytest.raises(UserError, match="There is no metric 'perplexity'; choose one of accuracy"):
        Task("t", "", "perplexity", ("good", "bad"), (), (), ())
