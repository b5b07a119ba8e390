"""Tasks on the words of the tiny world: name the kinds of the words in a sentence; make sentences from a record.

Templates leave a word's kind open and records are shuffled, so the kind of a word never seen in fine-tuning must be
known from pretraining. People have capitals, as everywhere; places, objects and feelings share every position.
"""

import random

from minipeft.tasks.making.lexicon import Share
from minipeft.tasks.making.recipes import TaskRecipe
from minipeft.tasks.making.telling import article
from minipeft.tasks.making.world import FEELING_NAMES, PHRASES, PRONOUNS
from minipeft.tasks.making.tracking_tasks import HELD_OUT, split_world
from minipeft.tasks.task import Example

SENTENCES = (
    "{A} thought of the {x} and the {y}.",
    "The {x} reminded {A} of the {y}.",
    "{A} and {B} talked about the {x}, the {y} and the {z}.",
    "{A} told {B} about the {x} near the {y}.",
    "The {x}, {A} wrote, was as old as the {y}.",
    "{A} drew the {x} and {B} drew the {y}.",
    "Not the {x} but the {y} was what {A} liked.",
    "{A} was {f} about the {x} and the {y}.",
    "The {x} made {A} {f} and the {y} made {B} laugh.",
    "{f} and quiet, {A} dreamed of the {x} and the {y}.",
    "Was it the {x} or the {y} that made {A} {f}?",
    "{A}, {B} and the {x}: a poem about the {y}.",
)


def make_tagging(generator: random.Random, share: Share) -> Example:
    """A sentence -> `person: Anna; place: kitchen; object: lamp`, in the order of the sentence."""
    people, places, objects = split_world(share)
    nouns = [generator.choice((("place", places), ("object", objects))) for _ in "xyz"]
    words = {slot: generator.choice(pool) for slot, (_, pool) in zip("xyz", nouns, strict=True)}
    words["A"], words["B"] = generator.sample(people, 2)
    words["f"] = generator.choice(FEELING_NAMES)
    kinds = dict(zip("xyz", (kind for kind, _ in nouns), strict=True), A="person", B="person", f="feeling")
    sentence = generator.choice(SENTENCES)
    slots = sorted(
        (slot for slot in kinds if f"{{{slot}}}" in sentence), key=lambda slot: sentence.index(f"{{{slot}}}")
    )
    return Example(sentence.format(**words), "; ".join(f"{kinds[slot]}: {words[slot]}" for slot in slots))


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
        "tagging", "The people, places, objects and feelings of a sentence.", "tagging_f1", (), make_tagging, HELD_OUT
    ),
    "describe": TaskRecipe(
        "describe", "A shuffled record of a state put into two sentences.", "overlap", (), make_describe, HELD_OUT
    ),
}
