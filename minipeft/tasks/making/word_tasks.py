"""Tasks that are answered by writing: name the kinds of the things in a sentence; put a record into sentences.

Things of all kinds stand in the same positions, and records are shuffled, so the kind of a word never seen in
fine-tuning must be known from pretraining.
"""

import random
from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.making.meanings import split_nouns
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe
from minipeft.tasks.making.telling import article
from minipeft.tasks.making.world import FEELING_NAMES, OBJECTS, PHRASES, PLACES, PRONOUNS
from minipeft.tasks.task import Example

KINDS = ("animal", "bird", "fruit", "tool", "vehicle", "instrument", "clothes", "job")
SENTENCES = (
    "{A} thought of the {x} and the {y}.",
    "The {x} reminded {A} of the {y}.",
    "{A} and {B} talked about the {x}, the {y} and the {z}.",
    "{A} told {B} about the {x} near the {y}.",
    "The {x}, {A} wrote, was as old as the {y}.",
    "{A} drew the {x} and {B} drew the {y}.",
    "Not the {x} but the {y} was what {A} liked.",
    "The {x} made {A} happy and the {y} made {B} laugh.",
    "Was it the {x} or the {y} that made {A} sad?",
    "{A}, {B} and the {x}: a poem about the {y}.",
)


@lru_cache(maxsize=16)
def split_world(share: Share) -> tuple[list[str], list[str], list[str]]:
    """The people, places and objects of one share."""
    return split_names(share), split_words(PLACES, share, "places"), split_words(OBJECTS, share, "objects")


def make_tagging(generator: random.Random, share: Share) -> Example:
    """A sentence -> `bird: robin; tool: hammer`, in the order of the sentence."""
    sentence, nouns = generator.choice(SENTENCES), split_nouns(share)
    kinds = {slot: generator.choice(KINDS) for slot in "xyz" if f"{{{slot}}}" in sentence}
    things = {slot: generator.choice(nouns[kind]) for slot, kind in kinds.items()}
    person, other = generator.sample(split_names(share), 2)
    target = "; ".join(f"{kinds[slot]}: {things[slot]}" for slot in kinds)
    return Example(sentence.format(A=person, B=other, **things), target)


def make_describe(generator: random.Random, share: Share) -> Example:
    """Record in any order, `lamp happy Anna hill` -> `Anna is on the hill. She has a lamp and feels happy.`"""
    person, place, thing = (generator.choice(words) for words in split_world(share))
    feeling = generator.choice(FEELING_NAMES)
    record = [person, place, thing, feeling]
    generator.shuffle(record)
    they = PRONOUNS[person].capitalize()
    return Example(" ".join(record), f"{person} is {PHRASES[place]}. {they} has {article(thing)} and feels {feeling}.")


TASKS = {
    "tagging": TaskRecipe(
        "tagging", "The things in a sentence, each with its kind.", "tagging_f1", (), make_tagging, "people and nouns"
    ),
    "describe": TaskRecipe(
        "describe",
        "A shuffled record of a state put into two sentences.",
        "overlap",
        (),
        make_describe,
        "people, places and objects",
    ),
}
