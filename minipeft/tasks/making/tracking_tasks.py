"""State-tracking tasks on short stories: where is a thing, and is it at that place?

Every source is "question | story" in a clipped form that no pretraining story uses, so a base has the skill but not the
format. Half of the examples ("named") are answered by the last sentence that names the thing: it lies there, or was put
down there. In the others ("moved") somebody has carried it on since, and the places in that sentence, and mostly also
the first one after it, are wrong. Words of dev and test never occur in train. Answers are read off the simulator's
state.
"""

import random
import re
from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.making.telling import Teller
from minipeft.tasks.making.world import OBJECTS, PLACES, Event, World
from minipeft.tasks.task import Example

SLICES = ("named", "moved")
ORDERS = ("first", "last")
# Where the sentence with the thing does not help, a rule would guess the last place. So that is mostly wrong there, and
# mostly right in the others, which makes it right half the time in all.
SHARES = (*("moved first",) * 3, "moved last", "named first", *("named last",) * 3)
HELD_OUT = "people, places and objects"


@lru_cache(maxsize=16)
def split_world(share: Share) -> tuple[list[str], list[str], list[str]]:
    """The people, places and objects of one share."""
    return split_names(share), split_words(PLACES, share, "places"), split_words(OBJECTS, share, "objects")


def last_place(text: str, word: str) -> int:
    """Where a word stands last in a text, -1 for nowhere; whole words only."""
    return f" {re.sub('[^A-Za-z]', ' ', text)} ".lower().rfind(f" {word.lower()} ")


def moved_events(generator: random.Random, people: list[str], places: list[str], things: list[str]) -> list[Event]:
    """The first person walks off with the first thing, to the first place; the second place is that of a bystander."""
    (carrier, other), (end, elsewhere, start), (thing, _) = people, places, things
    if generator.random() < 0.5:
        taken = [Event("stand", carrier, place=start), Event("hold", carrier, thing)]
    else:
        taken = [Event("lie", thing=thing, place=start), Event("stand", carrier, place=start)]
        taken.append(Event("take", carrier, thing, start))
    walks = [Event("go", other, place=elsewhere), Event("go", carrier, place=end)]
    if generator.random() < 0.25:
        walks.reverse()
    return [*taken, *walks]


def named_events(generator: random.Random, people: list[str], places: list[str], things: list[str]) -> list[Event]:
    """The first thing lies at the first place, or is carried there and put down; then people walk about."""
    (carrier, other), (end, elsewhere, start), (thing, _) = people, places, things
    walks = [Event("go", carrier, place=elsewhere), Event("go", other, place=generator.choice((start, elsewhere)))]
    generator.shuffle(walks)
    if generator.random() < 0.5:
        return [Event("lie", thing=thing, place=end), *walks]
    put = [Event("hold", carrier, thing), Event("go", carrier, place=end), Event("drop", carrier, thing, end)]
    return [Event("stand", carrier, place=start), *put, *walks]


def draw(generator: random.Random, share: Share) -> tuple[str, str, list[str], str]:
    """A thing, a story, the places of the story, and the slice.

    The thing is at the first of the places, and not at the second, which the story names too; all began at the third.
    """
    while True:
        people, places, things = (
            generator.sample(words, count) for words, count in zip(split_world(share), (2, 3, 2), strict=True)
        )
        kind = generator.choice(SLICES)
        events = (moved_events if kind == "moved" else named_events)(generator, people, places, things)
        if generator.random() < 0.75:  # something else at a place of the question, to be the last word on places
            events.append(Event("lie", thing=things[1], place=places[kind == "moved"]))
        world = World(generator, people, places, things)
        for event in events:
            world.apply(event)
        story = " ".join(Teller(world, plain=1.0).tell_all(events))
        told = next(sentence for sentence in reversed(story.split(". ")) if last_place(sentence, things[0]) >= 0)
        answers_itself = last_place(told, places[0]) >= 0  # "took the lamp and went to the garden" does, too
        if last_place(story, places[1]) >= 0 and answers_itself == (kind == "named"):
            return things[0], story, places, kind


def make_where_is(generator: random.Random, share: Share) -> Example:
    """`lamp | story` -> the place of the lamp, or another place of the story."""
    thing, story, places, kind = draw(generator, share)
    return Example(f"{thing} | {story}", places[0], tuple(sorted(places[:2])), kind)


def make_is_there(generator: random.Random, share: Share) -> Example:
    """`lamp kitchen | story` -> is the lamp there?"""
    thing, story, places, kind = draw(generator, share)
    label = generator.choice(("yes", "no"))
    wrong = places[1]
    if kind == "moved" and last_place(story, places[2]) >= 0 and generator.random() < 0.5:
        wrong = places[2]  # where it was when its name last fell
    return Example(f"{thing} {places[0] if label == 'yes' else wrong} | {story}", label, slice=kind)


def slice_and_order(example: Example) -> str:
    """The slice, and whether the answer or the other candidate comes last in the story."""
    story = example.source.split(" | ")[1]
    last = max(example.candidates, key=lambda word: last_place(story, word))
    return f"{example.slice} {ORDERS[last == example.target]}"


TASKS = {
    "where_is": TaskRecipe(
        "where_is", "Where a thing is at the end of a story.", "accuracy", (), make_where_is, HELD_OUT,
        parts=SHARES, part=slice_and_order,
    ),
    "is_there": TaskRecipe(
        "is_there", "Whether a thing is at a place at the end of a story.", "accuracy", ("yes", "no"), make_is_there,
        HELD_OUT, parts=tuple(f"{label} {kind}" for label in ("yes", "no") for kind in SLICES), part=label_and_slice,
    ),
}  # fmt: skip
