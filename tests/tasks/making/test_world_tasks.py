"""State tasks, tags and records: answers are what a reader of the text alone finds, and rules that do not read fail."""

import re
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from helpers.story_reader import Reader

from minipeft.tasks.making import tracking_tasks, word_tasks
from minipeft.tasks.making.meanings import CATEGORIES
from minipeft.tasks.making.recipes import generate
from minipeft.tasks.making.world import OBJECTS, PEOPLE, PHRASES, PLACES, PRONOUNS
from minipeft.tasks.making.world_tasks import TASKS
from minipeft.tasks.registry import load_task
from minipeft.tasks.rules.scores import rule_scores

STATE = ("where_is", "whereabouts")
WORDS = set(PEOPLE) | set(PLACES) | set(OBJECTS)


@cache
def examples(name, split):
    """As bundled, which is what is generated (test_data.py)."""
    return getattr(load_task(name), split)


def words_of(example):
    return WORDS & set(re.findall(r"\w+", f"{example.source} {example.target}"))


@pytest.mark.parametrize("name", ["where_is", "whereabouts", "describe"])
def test_splits_share_no_person_place_or_object(name):
    train, dev, test = (set().union(*map(words_of, examples(name, split))) for split in ("train", "dev", "test"))
    assert train and dev and test and not (train & dev or train & test or dev & test)


def test_a_task_is_the_same_every_time_it_is_generated():
    small = replace(TASKS["where_is"], sizes={"train": 20, "dev": 10, "test": 10})
    assert generate(small, "test") == generate(small, "test") != generate(small, "dev")
    assert generate(small, "test", draw=3) == generate(small, "test", draw=3) != generate(small, "test")


def test_an_unknown_split_and_a_task_without_enough_examples_are_refused():
    with pytest.raises(ValueError, match="no split 'validation'"):
        generate(TASKS["where_is"], "validation")
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


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_reader_of_the_text_alone_finds_every_answer_of_the_state_tasks(split):
    for name in STATE:
        for example in examples(name, split):
            asked, story = example.source.split(" | ")
            assert Reader(story).where(asked) == example.target and example.target in example.candidates, example


@pytest.mark.parametrize("name", STATE)
def test_the_slices_say_whether_the_last_sentence_that_names_it_answers(name):
    for example in examples(name, "test"):
        thing, story = example.source.split(" | ")
        told = [sentence for sentence in story.split(". ") if re.search(rf"\b{thing}\b", sentence, re.IGNORECASE)][-1]
        assert (example.target in re.findall(r"\w+", told)) == (example.slice == "named"), example


@pytest.mark.parametrize("name", STATE)
def test_both_candidates_are_in_the_story_and_no_order_is_favoured(name):
    last = 0
    for example in examples(name, "test"):
        story = example.source.split(" | ")[1]
        position = {place: tracking_tasks.last_place(story, place) for place in example.candidates}
        assert len(position) == 2 and min(position.values()) >= 0
        last += max(position, key=position.get) == example.target
    assert abs(last - 300) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", STATE)
def test_rules_that_do_not_read_leave_most_of_a_state_task_to_be_read(name):
    assert max(rule_scores(load_task(name)).values()) < 65


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


def test_a_description_says_exactly_what_the_record_says():
    for example in examples("describe", "test"):
        record = set(example.source.split())
        person, place = (record & set(PEOPLE)).pop(), (record & set(PLACES)).pop()
        assert example.target.startswith(f"{person} is {PHRASES[place]}. {PRONOUNS[person].capitalize()} has a")
        assert record <= set(example.target.replace(".", " ").split())
