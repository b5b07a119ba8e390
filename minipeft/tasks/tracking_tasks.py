"""State-tracking tasks on stories of the tiny world: where is it, who has it, is it there, whom does "she" mean.

Every source is "question | story" in a clipped form that no pretraining story uses, so a base has the skill but not the
format. Words of dev and test never occur in train. Answers are read off the simulator's state; every story leaves more
than one answer open, and the answers are spread evenly over the positions in the story.
"""

import re

from minipeft.tasks.recipes import TaskRecipe
from minipeft.tasks.task import Example
from minipeft.tasks.world import PHRASES, PRONOUNS, World
from minipeft.tasks.world_stories import HELD_OUT, mentions, rank, told_world

TRACKING = ("stand", "stand", "lie", "lie", "lie", "lie", "go", "go", "take")
HANDING = ("stand", "stand", "hold", "hold", "take", "give", "give", "go")
PERSONAL = ("stand", "lie", "hold", "go", "take", "drop", "give", "feel", "feel")
RANKS = ("0", "1", "2")


def make_where_is(random, split: str) -> Example:
    """`lamp | story` -> the place of the lamp, out of the three places of the story."""
    while True:
        world, text = told_world(random, split, (2, 3, 3), TRACKING, (5, 7))
        places = {world.where(thing) for thing in world.objects}
        if None not in places and len(places) > 1:  # so the story alone leaves more than one place open
            thing = random.choice(world.objects)
            return Example(f"{thing} | {text}", world.where(thing), tuple(sorted(world.places)))


def make_who_has(random, split: str) -> Example:
    """`lamp | story` -> the person who has the lamp, out of the three people of the story."""
    while True:
        world, text = told_world(random, split, (3, 2, 2), HANDING, (4, 7))
        holders = [world.holder(thing) for thing in world.objects]
        if None not in holders and holders[0] != holders[1]:
            thing = random.choice(world.objects)
            return Example(f"{thing} | {text}", world.holder(thing), tuple(sorted(world.people)))


def answer_rank(example: Example) -> str:
    """The answer's rank among the candidates by last mention in the story."""
    story = example.source.split(" | ")[1]
    return str(rank(story, example.target, example.candidates))


def make_yes_no(random, split: str) -> Example:
    """`lamp kitchen | story` -> is the lamp there? The place is always one of the story's three."""
    while True:
        world, text = told_world(random, split, (2, 3, 3), TRACKING, (5, 7))
        places = {world.where(thing) for thing in world.objects}
        if None not in places and len(places) > 1:
            thing, label = random.choice(world.objects), random.choice(("yes", "no"))
            wrong = [place for place in world.places if place != world.where(thing)]
            place = world.where(thing) if label == "yes" else random.choice(wrong)
            return Example(f"{thing} {place} | {text}", label)


def question_rank(example: Example) -> str:
    """The label, and the rank of the place asked about."""
    question, story = example.source.split(" | ")
    words = set(re.findall(r"\w+", story))
    places = [place for place in PHRASES if place in words]
    return f"{example.target} {rank(story, question.split()[1], places)}"


def make_coreference(random, split: str) -> Example:
    """`She has the lamp | story` -> who she is. Both people are she, or both he, and both have a fact of that kind."""
    while True:
        world, text = told_world(random, split, (2, 2, 2), PERSONAL, (4, 6))
        facts = _facts(world)
        if facts:
            they, options = random.choice(facts)
            person, fact = random.choice(options)
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


def name_order(example: Example) -> str:
    """Whether the answer is the person mentioned first, and the one mentioned last, in the story."""
    story = example.source.split(" | ")[1]
    first = min(example.candidates, key=lambda person: mentions(story, person)[0])
    last = max(example.candidates, key=lambda person: mentions(story, person)[-1])
    return f"{first == example.target} {last == example.target}"


TASKS = {
    "where_is": TaskRecipe(
        "where_is", "Where an object is at the end of a story.", "accuracy", (), make_where_is, HELD_OUT,
        parts=RANKS, part=answer_rank,
    ),
    "who_has": TaskRecipe(
        "who_has", "Who has an object at the end of a story.", "accuracy", (), make_who_has, HELD_OUT,
        parts=RANKS, part=answer_rank,
    ),
    "yes_no": TaskRecipe(
        "yes_no", "Whether an object is at a place at the end of a story.", "accuracy", ("yes", "no"), make_yes_no,
        HELD_OUT, parts=tuple(f"{label} {rank}" for label in ("yes", "no") for rank in RANKS), part=question_rank,
    ),
    "coreference": TaskRecipe(
        "coreference", "Which of two people a pronoun means.", "accuracy", (), make_coreference, HELD_OUT,
        parts=("True True", "True False", "False True", "False False"), part=name_order,
    ),
}  # fmt: skip
