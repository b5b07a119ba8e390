"""Rules that do not read: each finds its shortcut in an example worked by hand, and fits on train only."""

import pytest

from minipeft.tasks.rules import candidates, labels, texts
from minipeft.tasks.rules.fitting import (
    better_of,
    by_feature,
    by_place,
    four_letters,
    lengths_by_place,
    most_frequent,
    with_neighbours,
)
from minipeft.tasks.rules.scores import rule_scores
from minipeft.tasks.task import Example, Task


def test_the_usual_answer_is_that_of_train():
    train = [Example("a", "yes"), Example("b", "no"), Example("c", "no")]
    assert most_frequent(train)(Example("d", "yes")) == "no"


def test_naive_bayes_adds_up_what_words_speak_for():
    """By hand: "fine" stands in 2 of 2 good and 0 of 2 bad sources, so (3/4) / (1/4) = 3 to 1 for good."""
    train = [Example("a fine day", "good"), Example("a fine film", "good"),
             Example("a foul day", "bad"), Example("a foul film", "bad")]  # fmt: skip
    answer = labels.spoken_for(with_neighbours)(train)
    assert answer(Example("fine food", "")) == "good" and answer(Example("foul food", "")) == "bad"
    assert answer(Example("a foul fine", "")) == "bad", "the pair 'a foul' decides"


def test_words_that_train_lacks_are_told_by_four_letters_of_theirs():
    assert four_letters("Boats! At") == ["<boa", "boat", "oats", "ats>", "<at>"], "a sign has no four places"
    train = [Example("a boat", "ship"), Example("a sailboat", "ship"), Example("a teapot", "pot")]
    answer = labels.spoken_for(four_letters)(train)
    assert answer(Example("boats", "")) == "ship" and answer(Example("coffeepot", "")) == "pot"


def test_a_feature_is_answered_as_train_answers_it_most_often():
    train = [Example("lamp hall | The lamp was in the hall.", "yes"), Example("lamp hall | The lamp fell.", "no")]
    answer = by_feature(labels.asked_in_sentence)(train)
    assert answer(Example("cup den | Tom came. The cup was in the den. Tom left.", "")) == "yes"
    assert answer(Example("cup den | The cup fell. Tom was in the den.", "")) == "no"


STORY = "lamp | Anna was in the hall. Anna took the lamp. Tom ran to the den. Anna went to the barn."


@pytest.mark.parametrize(
    ("rule", "end", "expected"),
    [
        (candidates.by_place, 0, "hall"),
        (candidates.by_place, -1, "barn"),
        (candidates.by_sentence, -1, "hall"),
        (candidates.by_what_follows, 0, "den"),
        (candidates.by_what_follows, -1, "barn"),
    ],
)
def test_a_place_in_a_story_is_guessed_from_order_alone(rule, end, expected):
    assert rule(Example(STORY, "barn", ("barn", "den", "hall")), end) == expected


def test_a_candidate_is_guessed_from_how_often_it_is_named():
    example = Example(
        "lamp | The den is near the hall. Anna left the den. She saw the barn.", "", ("barn", "den", "hall")
    )
    assert candidates.by_count(example, -1) == "den"
    assert candidates.by_count(example, 0) == "barn", "once, as the hall, and last"


def test_words_count_by_their_place_from_the_bar():
    assert by_place("shut it | The door") == ["-2 shut", "-1 it", "0 |", "1 the", "2 door"]
    assert by_place("The door") == ["0 the", "1 door"]
    assert lengths_by_place("shut it | The door") == ["-2 4", "-1 2", "0 1", "1 3", "2 4"]


def test_the_better_end_is_chosen_on_train():
    first = [Example("x | hall then barn", "hall", ("barn", "hall"))] * 2
    answer = better_of(candidates.by_place)(first)
    assert answer(Example("y | den then attic", "", ("attic", "den"))) == "den"
    answer = better_of(candidates.by_place)([Example("x | hall then barn", "barn", ("barn", "hall"))])
    assert answer(Example("y | den then attic", "", ("attic", "den"))) == "attic"


def test_candidates_are_told_by_the_words_of_right_ones():
    train = [Example("q", "it broke", ("it broke", "it shone")), Example("q", "she broke", ("she broke", "she sang"))]
    assert candidates.candidate_words(train)(Example("q", "", ("he sang", "he broke"))) == "he broke"


def test_a_frame_keeps_the_usual_words_and_takes_the_others_from_the_source_in_order():
    train = [Example(f"b{n} a{n}", f"Anna{n} has a lamp{n} .") for n in range(30)]
    assert texts.filled_frame(train)(Example("red Tom", "")) == "red has a Tom ."


def test_words_of_a_record_are_put_into_phrases_by_their_letters():
    train = [Example("strawberry Anna poleaxe", "Anna ate the strawberry for tea and swung the poleaxe."),
             Example("Tom pickaxe raspberry", "Tom swung the pickaxe and ate the raspberry for tea.")]  # fmt: skip
    answer = texts.phrases_by_letters(train)
    assert answer(Example("battleaxe gooseberry Ida", "")) == "Ida swung the battleaxe and ate the gooseberry for tea."
    other = texts.phrases_by_letters([Example("red", "rot"), Example("green", "gruen")])
    assert other(Example("blue", "")) == "blue", "answers of another make: the source itself"


def test_what_follows_an_article_is_tagged_by_its_letters():
    train = [Example("The strawberry and the pickaxe.", "fruit: strawberry; tool: pickaxe"),
             Example("The raspberry and the poleaxe.", "fruit: raspberry; tool: poleaxe")]  # fmt: skip
    answer = texts.kinds_by_letters(train)
    assert answer(Example("The battleaxe lay by the gooseberry.", "")) == "tool: battleaxe; fruit: gooseberry"


def test_lists_of_words_tag_the_known_by_train_and_the_rest_by_the_commonest_kind():
    train = [Example("Anna saw the robin and the hammer.", "bird: robin; tool: hammer"),
             Example("Anna saw the wren.", "bird: wren")]  # fmt: skip
    source = Example("Anna saw the hammer and the owl.", "")
    assert texts.word_list(train)(source) == "tool: hammer; bird: owl"
    assert texts.after_articles(train)(source) == "bird: hammer; bird: owl"


def test_the_scores_are_those_of_the_tasks_own_metric_on_test():
    train = (Example("a | x y", "x", ("x", "y")),) * 3
    test = (Example("b | y x", "y", ("x", "y")), Example("c | x y", "y", ("x", "y")))
    scores = rule_scores(Task("t", "", "accuracy", (), train, train, test))
    assert scores["the candidate named first or last"] == 50.0 and set(scores) == set(candidates.CANDIDATES)


def test_only_train_is_fitted_on():
    train = (Example("a", "yes"), Example("a", "no"), Example("b", "no"))
    test = (Example("a", "yes"),) * 9
    assert rule_scores(Task("t", "", "accuracy", ("yes", "no"), train, test, test))["the most frequent answer"] == 0.0
