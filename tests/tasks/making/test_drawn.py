"""Words drawn anew: draw 0 is what is bundled, another draw tests other words and stays as fair."""

import random
import re
from collections import Counter

import pytest

from minipeft.errors import UserError
from minipeft.tasks.making import opinions
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.registry import load_task, task_names
from minipeft.tasks.task import SPLITS


@pytest.mark.parametrize("name", ["sentiment", "sentiment+topic", "topic:lettered"])
def test_draw_0_is_the_bundled_task(name):
    assert drawn_task(name, 0) == load_task(name)


def test_a_draw_is_the_same_every_time_and_another_draw_is_another():
    words = [f"word{number}" for number in range(100)]
    first, second = (split_words(words, Share("test", draw), "salt") for draw in (1, 2))
    assert first == split_words(reversed(words), Share("test", 1), "salt") and len(first) == 20
    assert len(set(first) & set(second)) < 12, "two draws share a fifth of their test words, give or take"
    parts = [set(split_words(words, Share(split, 1), "salt")) for split in SPLITS]
    assert sum(map(len, parts)) == 100 and set.union(*parts) == set(words)


def test_a_drawn_task_judges_by_the_adjectives_of_its_own_split():
    task = drawn_task("sentiment", 4)
    adjectives = {word for label in opinions.LABELS for word in opinions.OPINIONS["films"][label]}
    used = {}
    for split in SPLITS:
        text = " ".join(example.source.lower() for example in getattr(task, split))
        used[split] = adjectives & set(re.findall(r"\w+", text))
    assert not (used["train"] & used["test"] or used["train"] & used["dev"] or used["dev"] & used["test"])
    bundled = " ".join(example.source.lower() for example in load_task("sentiment").test)
    assert used["test"] != adjectives & set(re.findall(r"\w+", bundled))
    assert set(Counter(example.target for example in task.test).values()) == {300}


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
def test_every_task_can_be_drawn_again(name):
    task, bundled = drawn_task(name, 1001), load_task(name)
    assert (task.name, task.metric, task.labels, task.held_out) == (
        bundled.name, bundled.metric, bundled.labels, bundled.held_out,
    )  # fmt: skip
    sources = [{example.source for example in getattr(task, split)} for split in SPLITS]
    sizes = [len(getattr(bundled, split)) for split in SPLITS]
    assert [len(part) for part in sources] == sizes and len(set.union(*sources)) == sum(sizes)
    assert len({example.source for example in bundled.test} & sources[2]) < 60
    assert {example.slice for example in task.test} == {example.slice for example in bundled.test}


def test_an_unknown_task_names_the_nearest_one_in_any_draw():
    with pytest.raises(UserError, match="did you mean 'sentiment'"):
        drawn_task("sentimant", 3)


@pytest.mark.parametrize("draw", [0, 3])
def test_no_word_of_a_test_on_food_was_trained_on_with_films(draw):
    for label in opinions.LABELS:
        films = opinions.split_adjectives("films", Share("train", draw))[label]
        food = opinions.split_adjectives("food", Share("test", draw))[label]
        assert len(films) > 120 and len(food) > 35 and not set(films) & set(food)
        shared = set(opinions.OPINIONS["films"][label]) & set(opinions.OPINIONS["food"][label])
        assert len(shared) > 100 and len(shared & set(food)) > 20


@pytest.mark.parametrize("name, domain", [("sentiment", "films"), ("sentiment_food", "food")])
def test_forms_that_no_base_has_read_turn_a_judgement_round_or_keep_it(name, domain):
    kinds = {word: label for label in opinions.LABELS for word in opinions.OPINIONS[domain][label]}
    turned, kept = Counter(), Counter()
    for example in drawn_task(name, 2).test:
        if example.slice == "unseen":
            (kind,) = [kinds[word] for word in re.findall(r"\w+", example.source) if word in kinds]
            turns = re.search(r"(?<!call the )\bwas anything but|far from|mistaken|joke", example.source)
            assert (kind != example.target) == bool(turns), example
            (turned if turns else kept)[example.target] += 1
    assert min(*turned.values(), *kept.values()) > 10


def test_no_pretraining_text_has_a_form_that_tasks_call_unseen():
    generator = random.Random(8)
    text = " ".join(opinions.passage(generator) for _ in range(3000))
    assert not re.search("anything but|far from|is mistaken|a joke|nothing if not|denying|been more| that the ", text)
