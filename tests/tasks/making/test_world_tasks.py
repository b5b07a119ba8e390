"""Tags and records: answers are what a reader of the text alone finds."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from minipeft.tasks.making import word_tasks
from minipeft.tasks.making.meanings import CATEGORIES, LEXICON
from minipeft.tasks.making.recipes import generate
from minipeft.tasks.making.world import PEOPLE
from minipeft.tasks.registry import load_task

TASKS = word_tasks.TASKS
WORDS = set(PEOPLE).union(*CATEGORIES.values())


@cache
def examples(name, split):
    """As bundled, which is what is generated (test_data.py)."""
    return getattr(load_task(name), split)


def words_of(example):
    return WORDS & set(re.findall(r"\w+", f"{example.source} {example.target}"))


def test_splits_share_no_person_and_no_thing():
    train, dev, test = (set().union(*map(words_of, examples("describe", split))) for split in ("train", "dev", "test"))
    assert train and dev and test and not (train & dev or train & test or dev & test)


def test_a_task_is_the_same_every_time_it_is_generated():
    small = replace(TASKS["describe"], sizes={"train": 20, "dev": 10, "test": 10})
    assert generate(small, "test") == generate(small, "test") != generate(small, "dev")
    assert generate(small, "test", draw=3) == generate(small, "test", draw=3) != generate(small, "test")


def test_an_unknown_split_and_a_task_without_enough_examples_are_refused():
    with pytest.raises(ValueError, match="no split 'validation'"):
        generate(TASKS["describe"], "validation")
    poor = replace(TASKS["describe"], make=lambda generator, share: examples("describe", "train")[0])
    with pytest.raises(ValueError, match="too few distinct train examples"):
        generate(poor, "train")


@pytest.mark.parametrize("name", TASKS)
def test_sources_are_short_and_every_part_has_its_share(name):
    task, drawn = TASKS[name], examples(name, "test")
    assert len(drawn) == 600 and max(len(example.source.split()) for example in drawn) <= 80
    if task.labels:
        assert set(Counter(example.target for example in drawn).values()) == {600 // len(task.labels)}
    if task.parts:
        shares, named = Counter(map(task.part, drawn)), Counter(task.parts)
        assert set(shares) == set(named)
        assert all(abs(shares[part] - 600 * named[part] / len(task.parts)) <= named[part] for part in named)


def test_tags_name_every_thing_of_a_known_kind_and_no_kind_is_favoured():
    kinds = Counter()
    for example in examples("tagging", "train"):
        tags = [tuple(tag.split(": ")) for tag in example.target.split("; ")]
        assert all(word in CATEGORIES[kind] for kind, word in tags)
        named = [word for word in re.findall(r"\w+", example.source) if word in {word for _, word in tags}]
        assert named == [word for _, word in tags]
        kinds.update(kind for kind, _ in tags)
    assert set(kinds) == set(word_tasks.KINDS)
    assert max(kinds.values()) - min(kinds.values()) < 0.25 * max(kinds.values())


def test_a_description_says_what_one_does_with_things_of_such_kinds():
    told = Counter()
    for example in examples("describe", "test"):
        person, *things = sorted(example.source.split(), key=lambda word: word not in PEOPLE)
        kinds = [kind for thing in things for kind in CATEGORIES if thing in CATEGORIES[kind]]
        deeds = [word_tasks.DEEDS[kind].replace("{x}", thing) for kind, thing in zip(kinds, things, strict=True)]
        assert len(things) == 2 and example.target == f"{person} {deeds[0]} and {deeds[1]}."
        told.update(kinds)
    assert set(told) == set(CATEGORIES) and max(told.values()) < 2 * min(told.values())


def test_what_one_does_with_a_thing_is_what_pretraining_told():
    assert all(deed in LEXICON["uses"][kind] for kind, deed in word_tasks.DEEDS.items())
