import random
import re
from functools import cache

import pytest
from helpers.story_reader import Reader

from minipeft.tasks.making.stories import MAX_WORDS, story
from minipeft.tasks.making.world import CONTAINERS, FEELING_NAMES, OBJECTS, PEOPLE, PLACES, Event, World


@cache
def stories():
    generator = random.Random(7)
    return [story(generator) for _ in range(4000)]


def test_a_story_depends_on_its_generator_alone():
    assert [story(random.Random(seed)) for seed in range(50)] == [story(random.Random(seed)) for seed in range(50)]


def test_stories_are_short_and_practically_never_repeat():
    assert len(set(stories())) == 4000  # 300,000 distinct of as many drawn would allow about one repeat in these
    assert max(len(text.split()) for text in stories()) <= MAX_WORDS


def test_about_half_of_the_stories_ask_something_and_all_answers_are_common():
    asked = sum("?" in text or "True" in text or "False" in text for text in stories()) / 4000
    assert 0.35 < asked < 0.65
    text = " ".join(stories())
    assert all(text.count(f"? {answer}.") > 100 for answer in ("Yes", "No"))
    assert text.count("Maybe.") > 30


def test_stories_use_the_whole_lexicon():
    used = set(re.findall(r"\w+", " ".join(stories())))
    assert used.issuperset(PEOPLE) and used.issuperset(PLACES) and used.issuperset(FEELING_NAMES)
    assert used.issuperset(OBJECTS) and used.issuperset(CONTAINERS)


def test_where_questions_are_answered_as_a_reader_of_the_text_would():
    checked = 0
    for text in stories():
        asked = re.search(r"^(.*?) (?:Question: )?Where is (?:the )?(\w+)\? (?:Answer: )?([^.]*)\.$", text)
        if (
            not asked
            or any(mark in asked[1] for mark in ("?", ":", "This is", " means "))
            or set(CONTAINERS) & set(text.split())
        ):
            continue
        assert Reader(asked[1]).where(asked[2]) == asked[3].split()[-1].lower(), text
        checked += 1
    assert checked > 30


def test_the_state_follows_things_from_hand_to_hand_and_refuses_what_contradicts_it():
    world = World(random.Random(0), ["Anna", "Tom"], ["kitchen", "garden"], ["lamp", "box"])
    for event in (
        Event("stand", "Anna", place="kitchen"),
        Event("take", "Anna", "lamp"),
        Event("lie", thing="box", place="kitchen"),
        Event("put", "Anna", "lamp", other="box"),
    ):
        world.apply(event)
    assert (world.where("lamp"), world.holder("lamp"), world.where("Tom")) == ("kitchen", None, None)
    world.apply(Event("take", "Anna", "box"))
    world.apply(Event("go", "Anna", place="garden"))
    assert (world.where("lamp"), world.holder("lamp")) == ("garden", "Anna")
    world.apply(Event("give", "Anna", "box", other="Tom"))
    assert (world.holder("lamp"), world.where("Tom")) == ("Tom", "garden")
    glad = world.apply(Event("feel", "Tom", feeling="happy", cause="won a prize"))
    assert (world.feeling("Tom"), world.feeling("Anna"), world.cause(glad)) == ("happy", None, "won a prize")
    with pytest.raises(ValueError, match="contradicts the state"):
        world.apply(Event("drop", "Anna", "box"))
