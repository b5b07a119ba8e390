"""State-tracking tasks on stories of the tiny world: where is it, who has it, is it there, whom does "she" mean.

Every source is "question | story" in a clipped form that no pretraining story uses, so a base has the skill but not the
format. Words of dev and test never occur in train. Answers are read off the simulator's state; every candidate is the
answer to some question on its story, and answers are spread evenly over the positions in it.
"""

import random
import re

from minipeft.tasks.making.recipes import TaskRecipe
from minipeft.tasks.making.world import PHRASES, PRONOUNS, World
from minipeft.tasks.making.world_stories import HELD_OUT, rank, told_world
from minipeft.tasks.task import Example

TRACKING = ("stand", "stand", "lie", "lie", "lie", "lie", "go", "go", "take")
HANDING = ("stand", "stand", "hold", "hold", "hold", "take", "take", "give", "go")
PERSONAL = ("stand", "lie", "hold", "go", "take", "drop", "give", "feel", "feel")
RANKS = ("0", "1", "2")


def _spread(answers: set, choices: list[str]) -> bool:
    """Whether every choice is the answer for one of the objects, so that the story alone favours none of them."""
    return answers == set(choices)


def _places_differ(world: World) -> bool:
    return _spread({world.where(thing) for thing in world.objects}, world.places)


def _holders_differ(world: World) -> bool:
    return _spread({world.holder(thing) for thing in world.objects}, world.people)


def make_where_is(generator: random.Random, split: str) -> Example:
    """`lamp | story` -> the place of the lamp, out of the three places of the story."""
    world, text = told_world(generator, split, (2, 3, 3), TRACKING, (5, 7), accept=_places_differ)
    thing = generator.choice(world.objects)
    return Example(f"{thing} | {text}", world.where(thing), tuple(sorted(world.places)))


def make_who_has(generator: random.Random, split: str) -> Example:
    """`lamp | story` -> the person who has the lamp, out of the three people of the story."""
    world, text = told_world(generator, split, (3, 2, 3), HANDING, (5, 8), accept=_holders_differ)
    thing = generator.choice(world.objects)
    return Example(f"{thing} | {text}", world.holder(thing), tuple(sorted(world.people)))


def last_rank(example: Example) -> str:
    """The answer's rank among the candidates by last mention in the story."""
    return str(rank(example.source.split(" | ")[1], example.target, example.candidates))


def answer_order(example: Example) -> str:
    """The answer's rank among the candidates by first and by last mention in the story."""
    story = example.source.split(" | ")[1]
    first, last = (rank(story, example.target, example.candidates, first) for first in (True, False))
    return f"{first} {last}"


def make_yes_no(generator: random.Random, split: str) -> Example:
    """`lamp kitchen | story` -> is the lamp there? The place is always one of the story's three."""
    world, text = told_world(generator, split, (2, 3, 3), TRACKING, (5, 7), accept=_places_differ)
    thing, label = generator.choice(world.objects), generator.choice(("yes", "no"))
    wrong = [place for place in world.places if place != world.where(thing)]
    place = world.where(thing) if label == "yes" else generator.choice(wrong)
    return Example(f"{thing} {place} | {text}", label)


def question_rank(example: Example) -> str:
    """The label, and the rank of the place asked about."""
    question, story = example.source.split(" | ")
    words = set(re.findall(r"\w+", story))
    places = [place for place in PHRASES if place in words]
    return f"{example.target} {rank(story, question.split()[1], places)}"


def make_coreference(generator: random.Random, split: str) -> Example:
    """`She has the lamp | story` -> who she is. Both people are she, or both he, and both have a fact of that kind."""
    world, text = told_world(generator, split, (2, 2, 2), PERSONAL, (4, 6), accept=_facts)
    they, options = generator.choice(_facts(world))
    person, fact = generator.choice(options)
    return Example(f"{they} {fact} | {text}", person, tuple(sorted(world.people)))


def _facts(world: World) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each kind of fact that tells the two people apart: the pronoun, and (person, fact) for both."""
    first, second = world.people
    they, found = PRONOUNS[first].capitalize(), []
    if PRONOUNS[first] != PRONOUNS[second]:
        return []
    if None not in (places := [world.where(person) for person in world.people]) and places[0] != places[1]:
        found.append([(person, f"is {PHRASES[world.where(person)]}") for person in world.people])
    if None not in (felt := [world.feeling(person) for person in world.people]) and felt[0] != felt[1]:
        found.append([(person, f"is {world.feeling(person)}") for person in world.people])
    held = [(world.holder(thing), f"has the {thing}") for thing in world.objects if world.holder(thing)]
    if {person for person, _ in held} == set(world.people):
        found.append(held)
    return [(they, options) for options in found]


TASKS = {
    "where_is": TaskRecipe(
        "where_is", "Where an object is at the end of a story.", "accuracy", (), make_where_is, HELD_OUT,
        parts=RANKS, part=last_rank,
    ),
    "who_has": TaskRecipe(
        "who_has", "Who has an object at the end of a story.", "accuracy", (), make_who_has, HELD_OUT,
        parts=RANKS, part=last_rank,
    ),
    "yes_no": TaskRecipe(
        "yes_no", "Whether an object is at a place at the end of a story.", "accuracy", ("yes", "no"), make_yes_no,
        HELD_OUT, parts=tuple(f"{label} {rank}" for label in ("yes", "no") for rank in RANKS), part=question_rank,
    ),
    "coreference": TaskRecipe(
        "coreference", "Which of two people a pronoun means.", "accuracy", (), make_coreference, HELD_OUT,
        parts=("0 0", "0 1", "1 0", "1 1"), part=answer_order,
    ),
}  # fmt: skip
