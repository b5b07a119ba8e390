"""Very short stories that end in questions, for pretraining: where is the thing, who has it, which one is there?

    "Anna was in the kitchen. Anna took the lamp. She went to the garden. Where is the lamp? In the garden."

A rule that looks for the last sentence with the lamp would say "kitchen". In half of the stories the thing that is
asked about has moved since it was last named, with whoever carries it, so only keeping track of all of them helps.
"""

import random

from minipeft.tasks.making.telling import Teller, capital
from minipeft.tasks.making.world import OBJECTS, PEOPLE, PHRASES, PLACES, World

KINDS = ("stand", "stand", "lie", "hold", "go", "go", "go", "take", "take", "drop", "give")

PLACE_ANSWERS = ("{Here}.", "{Place}.", "The {thing} is {here}.", "It is {here}.")
HOLDER_ANSWERS = ("{person}.", "{person} has it.", "{person} has the {thing}.")


def moved_since_named(world: World, thing: str) -> bool:
    """Whether a thing stands elsewhere now than when its name last fell; False where its place is not known."""
    last = max((number for number, event in enumerate(world.events) if event.thing == thing), default=None)
    if last is None or world.where(thing) is None:
        return False
    replay = World(world.generator, world.people, world.places, world.objects)
    for event in world.events[: last + 1]:
        replay.apply(event)
    return replay.where(thing) != world.where(thing)


def draw(generator: random.Random, moved: bool) -> tuple[World, str, str]:
    """A world after two to five events, its story, and a thing that has `moved` since it was named, or has not."""
    while True:
        people, places = generator.sample(PEOPLE, generator.randint(1, 3)), generator.sample(PLACES, 3)
        world = World(generator, people, places, generator.sample(OBJECTS, generator.randint(1, 3)), KINDS)
        history = [world.step() for _ in range(generator.randint(2, 5))]
        things = [thing for thing in world.objects if world.where(thing) and moved_since_named(world, thing) == moved]
        if things:
            return world, " ".join(Teller(world, plain=1.0).tell_all(history)), generator.choice(things)


def where(generator: random.Random, world: World, thing: str) -> str:
    """Where a thing is."""
    place = world.where(thing)
    answer = generator.choice(PLACE_ANSWERS)
    here = PHRASES[place]
    return f"Where is the {thing}? " + answer.format(Here=capital(here), here=here, Place=capital(place), thing=thing)


def who(generator: random.Random, world: World, thing: str) -> str:
    """Who has a thing, or is where it is; "" where nobody is."""
    holder, place = world.holder(thing), world.where(thing)
    if holder:
        return f"Who has the {thing}? " + generator.choice(HOLDER_ANSWERS).format(person=holder, thing=thing)
    near = [person for person in world.people if world.where(person) == place]
    return f"Who is where the {thing} is? {near[0]}." if len(near) == 1 else ""


def which(generator: random.Random, world: World, thing: str) -> str:
    """Which of two things is at a place; "" where both are, or the other is nowhere."""
    place = world.where(thing)
    others = [other for other in world.objects if world.where(other) not in (None, place)]
    if not others:
        return ""
    pair = [thing, generator.choice(others)]
    generator.shuffle(pair)
    return f"Which is {PHRASES[place]}: the {pair[0]} or the {pair[1]}? The {thing}."


def whether(generator: random.Random, world: World, thing: str) -> str:
    """Whether a thing is at a place: yes and no as often."""
    place, right = world.where(thing), generator.random() < 0.5
    asked = place if right else generator.choice([other for other in world.places if other != place])
    return f"Is the {thing} {PHRASES[asked]}? {'Yes' if right else 'No'}."


QUESTIONS = (where, where, who, which, whether)


def passage(generator: random.Random) -> str:
    """A pretraining text: two to five events, then two to four questions on them with their answers."""
    world, story, thing = draw(generator, moved=generator.random() < 0.5)
    known = [other for other in world.objects if world.where(other)]
    asked = {}  # question -> answer: none is put twice
    for about in [thing, *(generator.choice(known) for _ in range(generator.randint(1, 3)))]:
        question, _, answer = generator.choice(QUESTIONS)(generator, world, about).partition("? ")
        asked.setdefault(question, answer)
    return " ".join([story, *(f"{question}? {answer}" for question, answer in asked.items() if answer)])
