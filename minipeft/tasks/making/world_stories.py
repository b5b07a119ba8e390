"""What the state-tracking tasks share: a short story told with the words of one split, and where words stand in it."""

import random
import re

from minipeft.tasks.making.lexicon import split_words
from minipeft.tasks.making.telling import Teller
from minipeft.tasks.making.world import OBJECTS, PEOPLE, PLACES, World
from minipeft.tasks.task import SPLITS

MAX_WORDS = 72  # with the question the source stays under 80 words
PEOPLE_OF = {split: split_words(PEOPLE, split, "people") for split in SPLITS}
PLACES_OF = {split: split_words(PLACES, split, "places") for split in SPLITS}
OBJECTS_OF = {split: split_words(OBJECTS, split, "objects") for split in SPLITS}
HELD_OUT = "people, places and objects"


def mentions(text: str, word: str) -> list[int]:
    """The positions at which a word stands in a text, whole words only, whatever their case."""
    return [match.start() for match in re.finditer(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)]


def rank(text: str, word: str, words, first: bool = False) -> int:
    """How many of `words` have their last (or first) mention after that of `word`: 0 for the latest."""
    end = 0 if first else -1
    position = {other: mentions(text, other)[end] for other in words}
    return sum(other > position[word] for other in position.values())


def told_world(
    generator: random.Random, split: str, counts: tuple[int, int, int], kinds, events, accept
) -> tuple[World, str]:
    """A world of so many people, places and objects after some events, and its story, in which all of them occur.

    `events` are the fewest and most events; `accept(world)` says whether the final state has a question to ask.
    Stories that leave out a word or are too long are drawn again.
    """
    while True:
        pools = (PEOPLE_OF[split], PLACES_OF[split], OBJECTS_OF[split])
        world = World(
            generator, *(generator.sample(pool, count) for pool, count in zip(pools, counts, strict=True)), kinds
        )
        history = [world.step() for _ in range(generator.randint(*events))]
        named = {word for event in history for word in (event.person, event.thing, event.place, event.other)}
        if not named.issuperset(world.people + world.places + world.objects) or not accept(world):
            continue
        text = " ".join(Teller(world, plain=0.85).tell_all(history))
        if len(text.split()) <= MAX_WORDS and all(
            mentions(text, word) for word in world.people + world.places + world.objects
        ):
            return world, text
