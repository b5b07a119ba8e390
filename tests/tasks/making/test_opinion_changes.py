"""Opinions that change and opinions on several things: what a reader of the text alone finds, in even shares."""

import re
from collections import Counter

import pytest

from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.making.opinions import BESIDES, LABELS, OPINIONS
from minipeft.tasks.registry import load_task
from minipeft.tasks.rules.scores import rule_scores

KIND = {word: label for label in LABELS for word in OPINIONS["films"][label]}
NOW = (  # the one group: the word that holds now
    r"used to find the {a} .+?, but now finds it (.+?)[.]",
    r"At first \w+ found the {a} .+?; in the end \w+ found it (.+?)[.]",
    r"no longer finds the {a} .+?: it is (.+?) now[.]",
    r"finds the {a} ([^;,.:]+?) now, but used to",
    r"In the end \w+ found the {a} (.+?); at first",
    r"finds the {a} ([^;,.:]+?) and no longer",
    r"finds the {a} ([^;,.: ]+?)[.]",
    r"found the {a} ([^;,.:]+?) and still does[.]",
    r"always found the {a} (.+?)[.]",
    r"The {a} is (.+?), says",
)


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_thought_now_of_the_thing_that_is_asked_about_is_the_answer(split):
    for example in getattr(load_task("opinion_now"), split):
        asked, story = example.source.split(" | ")
        found = {word for form in NOW for word in re.findall(form.replace("{a}", asked), story)}
        assert {KIND[word] for word in found} == {example.target} and len(found) == 1, example


def test_every_slice_has_every_answer_as_often():
    counts = Counter((example.target, example.slice) for example in load_task("opinion_now").test)
    assert len(counts) == 8 and set(counts.values()) == {75}


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(3))
def test_no_rule_without_reading_tells_an_opinion(draw):
    assert max(rule_scores(drawn_task("opinion_now", draw)).values()) < 56


def test_the_aspects_of_a_review_are_told_in_its_order_each_with_its_opinion():
    for example in load_task("aspects").test:
        told = [tag.split(": ") for tag in example.target.split("; ")]
        review = example.source.partition(" saw it. ")[2]
        assert re.findall(r"[Tt]he (\w+) was", review) == [thing for _, thing in told]
        said = re.findall(r"[Tt]he (\w+) was (not )?([a-z][a-z -]*)", review)
        assert [(KIND[word] == "good") != bool(turned) for _, turned, word in said] == [
            label == "good" for label, _ in told
        ], example


def test_of_food_no_word_is_asked_for_that_suits_some_of_it():
    for draw in range(3):
        texts = [example.source for example in drawn_task("sentiment_food", draw).test]
        assert not any(re.search(rf"\b{word}\b", text) for text in texts for word in BESIDES if word != "late")
