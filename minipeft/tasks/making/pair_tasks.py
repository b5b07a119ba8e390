"""Pair tasks on the tiny world: does a statement follow from a story, and can a sentence come next?

Both draw the story first and use it only if it offers every label, then draw the label: neither half alone tells.
"""

import random
from itertools import product

from minipeft.tasks.making.recipes import TaskRecipe
from minipeft.tasks.making.telling import Teller
from minipeft.tasks.making.world import FEELING_KINDS, PHRASES, Event, World
from minipeft.tasks.making.world_stories import HELD_OUT, told_world
from minipeft.tasks.task import Example

MIXED = ("stand", "stand", "lie", "lie", "hold", "go", "take", "feel", "feel")
HANDING = ("stand", "stand", "hold", "hold", "lie", "take", "give", "drop", "go")


def make_entailment(generator: random.Random, split: str) -> Example:
    """`story | statement` -> yes, no, or maybe where the story does not determine it.

    A story is only used if it has a statement of each label; then the label is drawn, so the story tells nothing of it.
    """
    kind = generator.choice(("person", "object", "feeling"))
    world, text = told_world(
        generator, split, (3, 2, 2), MIXED, (5, 7), accept=lambda world: all(_claims(world, kind).values())
    )
    label = generator.choice(("yes", "maybe", "no"))
    return Example(f"{text} | {generator.choice(_claims(world, kind)[label])}", label)


def _claims(world: World, kind: str) -> dict[str, list[str]]:
    """The statements of one kind by label."""
    return _feeling_claims(world) if kind == "feeling" else _place_claims(world, kind)


def _place_claims(world: World, kind: str) -> dict[str, list[str]]:
    claims = {"yes": [], "maybe": [], "no": []}
    for thing, place in product(world.people if kind == "person" else world.objects, world.places):
        real = world.where(thing)
        label = "maybe" if real is None else "yes" if real == place else "no"
        claims[label].append(f"{thing if kind == 'person' else 'The ' + thing} is {PHRASES[place]}.")
    return claims


def _feeling_claims(world: World) -> dict[str, list[str]]:
    """Only feelings of the story; "no" needs an opposite kind (good against bad), as a person may be sad and tired."""
    claims = {"yes": [], "maybe": [], "no": []}
    named = sorted({world.feeling(person) for person in world.feelings})
    if len(named) != len(world.feelings) or len(world.feelings) != sum(event.kind == "feel" for event in world.events):
        return claims  # one feeling each, told once
    for person, feeling in product(world.people, named):
        real = world.feeling(person)
        if real is None:
            claims["maybe"].append(f"{person} is {feeling}.")
        elif real == feeling:
            claims["yes"].append(f"{person} is {feeling}.")
        elif FEELING_KINDS[real] != FEELING_KINDS[feeling]:
            claims["no"].append(f"{person} is {feeling}.")
    if {FEELING_KINDS[feeling] for feeling in named} != {"good", "bad"} or len(named) != 2:
        return {"yes": [], "maybe": [], "no": []}
    return claims


def make_next_sentence(generator: random.Random, split: str) -> Example:
    """`story | sentence` -> can the sentence come next? Both answers use the people and objects of the story."""
    kind = generator.choice(("take", "drop", "give"))
    world, text = told_world(generator, split, (2, 2, 2), HANDING, (4, 6), accept=lambda world: all(_next(world, kind)))
    label = generator.choice(("yes", "no"))
    event = generator.choice(_next(world, kind)[label == "no"])
    return Example(f"{text} | {Teller(world, plain=1.0).tell(event)}", label)


def _next(world: World, kind: str) -> tuple[list[Event], list[Event]]:
    """All events of one kind among the people and objects of the story: those that can come next, those that cannot."""
    others = world.people if kind == "give" else [""]
    chosen = product(world.people, world.objects, others)
    events = [Event(kind, person, thing, other=other) for person, thing, other in chosen if person != other]
    fitting = [event for event in events if world.possible(event)]
    return fitting, [event for event in events if event not in fitting]


TASKS = {
    "entailment": TaskRecipe(
        "entailment", "Whether a statement follows from a story.", "accuracy", ("yes", "maybe", "no"),
        make_entailment, HELD_OUT,
    ),
    "next_sentence": TaskRecipe(
        "next_sentence", "Whether a sentence can come next in a story.", "accuracy", ("yes", "no"),
        make_next_sentence, HELD_OUT,
    ),
}  # fmt: skip
