"""Tasks that are answered by writing: name the kinds of the things in a sentence; put a record into a sentence.

Things of all kinds stand in the same positions, so the kind of a word never seen in fine-tuning must be known from
pretraining.
"""

import random

from minipeft.tasks.making.lexicon import Share
from minipeft.tasks.making.meanings import split_nouns
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe
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


DEEDS = {
    "animal": "stroked the fur of the {x}",
    "bird": "heard the {x} sing",
    "fish": "caught the {x} with a net",
    "insect": "chased the {x} out of the window",
    "tree": "sat in the shade of the {x}",
    "flower": "put the {x} in a vase",
    "fruit": "ate the sweet {x} for dessert",
    "vegetable": "boiled the {x} with salt",
    "drink": "poured the {x} into a glass",
    "tool": "repaired the fence with the {x}",
    "vehicle": "drove off in the {x}",
    "instrument": "played a tune on the {x}",
    "clothes": "sewed a patch on the {x}",
    "furniture": "dusted the {x} in the room",
    "job": "paid the {x} for the work",
    "building": "repaired the roof of the {x}",
}  # one of the ways in which texts of pretraining speak of such a thing


def make_tagging(generator: random.Random, share: Share) -> Example:
    """A sentence -> `bird: robin; tool: hammer`, in the order of the sentence."""
    sentence, nouns = generator.choice(SENTENCES), split_nouns(share)
    kinds = {slot: generator.choice(KINDS) for slot in "xyz" if f"{{{slot}}}" in sentence}
    things = {slot: generator.choice(nouns[kind]) for slot, kind in kinds.items()}
    person, other = generator.sample(split_names(share), 2)
    target = "; ".join(f"{kinds[slot]}: {things[slot]}" for slot in kinds)
    return Example(sentence.format(A=person, B=other, **things), target)


def make_describe(generator: random.Random, share: Share) -> Example:
    """Record, `flute Anna oak` -> `Anna played a tune on the flute and sat in the shade of the oak.`

    The person stands anywhere, the things in the order in which they are told. What Anna does takes a thing's kind.
    """
    person, nouns = generator.choice(split_names(share)), split_nouns(share)
    kinds = generator.sample(tuple(DEEDS), 2)
    record = [generator.choice(nouns[kind]) for kind in kinds]
    deeds = [DEEDS[kind].format(x=thing) for kind, thing in zip(kinds, record, strict=True)]
    record.insert(generator.randint(0, 2), person)
    return Example(" ".join(record), f"{person} {' and '.join(deeds)}.")


TASKS = {
    "tagging": TaskRecipe(
        "tagging", "The things in a sentence, each with its kind.", "tagging_f1", (), make_tagging, "people and nouns"
    ),
    "describe": TaskRecipe(
        "describe",
        "A record of a person and two things put into a sentence, which says what one does with such things.",
        "overlap",
        (),
        make_describe,
        "people and nouns",
    ),
}
