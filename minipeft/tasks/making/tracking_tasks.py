"""State-tracking tasks on short stories: where is a thing, who has it, is it there?

Every source is "question | story" in a clipped form that no pretraining story uses, so a base has the skill but not the
format. Half of the examples ("named") are answered by the last sentence that names the thing, and half ("moved") by
what came after it: someone carried it on, or passed on what is only called "it". So a rule that looks for that sentence
is right half the time. Words of dev and test never occur in train. Answers are read off the simulator's state.
"""

import random
import re
from functools import lru_cache

from minipeft.tasks.making import tracking
from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.making.telling import Teller
from minipeft.tasks.making.world import OBJECTS, PLACES, Event, World
from minipeft.tasks.task import Example

SLICES = ("named", "moved")
RANKS = ("first", "last")
WALKING = ("stand", "stand", "lie", "hold", "go", "go", "take", "take", "drop")
HANDING = ("stand", "hold", "hold", "go", "take", "give", "give")
HELD_OUT = "people, places and objects"


@lru_cache(maxsize=16)
def split_world(share: Share) -> tuple[list[str], list[str], list[str]]:
    """The people, places and objects of one share."""
    return split_names(share), split_words(PLACES, share, "places"), split_words(OBJECTS, share, "objects")


def position(text: str, word: str) -> int:
    """Where a word stands last in a text, -1 for nowhere; whole words only."""
    padded = f" {re.sub(r'[^A-Za-z ]', ' ', text)} ".lower()
    return padded.rfind(f" {word.lower()} ")


def last_sentence(story: str, thing: str) -> str:
    """The last sentence that names a thing."""
    return next(sentence for sentence in reversed(story.split(". ")) if position(sentence, thing) >= 0)


def told_world(generator: random.Random, share: Share, kinds: tuple[str, ...]) -> tuple[World, str]:
    """A world of two people, three places and two things after a few events, and its story.

    kinds: what can happen. At the end of most stories somebody else walks off, so that the last place or person need not be
    the answer.
    """
    people, places, things = split_world(share)
    world = World(
        generator, generator.sample(people, 2), generator.sample(places, 3), generator.sample(things, 2), kinds
    )
    history = [world.step() for _ in range(generator.randint(3, 5))]
    if generator.random() < 0.7:
        others = [person for person in world.people if person != history[-1].person]
        walk = Event("go", generator.choice(others), place=generator.choice(world.places))
        history += [world.apply(walk)] if world.possible(walk) else []
    return world, " ".join(Teller(world, plain=1.0).tell_all(history))


def _where(generator: random.Random, share: Share) -> tuple[str, str, str, str, str]:
    """A thing, a story, the place where the thing is and one where it is not, both in the story, and the slice."""
    while True:
        world, story = told_world(generator, share, WALKING)
        thing = generator.choice(world.objects)
        place = world.where(thing)
        others = [other for other in world.places if other != place and position(story, other) >= 0]
        if place is None or not others or position(story, place) < 0 or position(story, thing) < 0:
            continue
        if tracking.moved_since_named(world, thing):
            return thing, story, place, generator.choice(others), "moved"
        if position(last_sentence(story, thing), place) >= 0:
            return thing, story, place, generator.choice(others), "named"


def make_where_is(generator: random.Random, share: Share) -> Example:
    """`lamp | story` -> the place of the lamp, or another place of the story."""
    thing, story, place, wrong, kind = _where(generator, share)
    return Example(f"{thing} | {story}", place, tuple(sorted((place, wrong))), kind)


def make_is_there(generator: random.Random, share: Share) -> Example:
    """`lamp kitchen | story` -> is the lamp there?"""
    thing, story, place, wrong, kind = _where(generator, share)
    label = generator.choice(("yes", "no"))
    asked = place if label == "yes" else wrong
    return Example(f"{thing} {asked} | {story}", label, slice=kind)


def make_who_has(generator: random.Random, share: Share) -> Example:
    """`lamp | story` -> the person who has the lamp, or another person of the story."""
    while True:
        world, story = told_world(generator, share, HANDING)
        thing = generator.choice(world.objects)
        holder = world.holder(thing)
        others = [person for person in world.people if person != holder and position(story, person) >= 0]
        if holder is None or not others or position(story, holder) < 0 or position(story, thing) < 0:
            continue
        told = last_sentence(story, thing)
        spoken = max((holder, *others), key=lambda person: position(told, person))
        kind = "named" if spoken == holder and position(told, holder) >= 0 else "moved"
        return Example(f"{thing} | {story}", holder, tuple(sorted((holder, generator.choice(others)))), kind)


def slice_and_order(example: Example) -> str:
    """The slice, and whether the answer or the other candidate comes last in the story."""
    story = example.source.split(" | ")[1]
    last = max(example.candidates, key=lambda word: position(story, word))
    return f"{example.slice} {RANKS[last == example.target]}"


TASKS = {
    "where_is": TaskRecipe(
        "where_is", "Where a thing is at the end of a story.", "accuracy", (), make_where_is, HELD_OUT,
        parts=tuple(f"{kind} {order}" for kind in SLICES for order in RANKS), part=slice_and_order,
    ),
    "who_has": TaskRecipe(
        "who_has", "Who has a thing at the end of a story.", "accuracy", (), make_who_has, HELD_OUT,
        parts=tuple(f"{kind} {order}" for kind in SLICES for order in RANKS), part=slice_and_order,
    ),
    "is_there": TaskRecipe(
        "is_there", "Whether a thing is at a place at the end of a story.", "accuracy", ("yes", "no"), make_is_there,
        HELD_OUT, parts=tuple(f"{label} {kind}" for label in ("yes", "no") for kind in SLICES), part=label_and_slice,
    ),
}  # fmt: skip
