"""State-tracking tasks on short stories: where is a thing, and where is a person?

Every source is "question | story" in a clipped form that no pretraining story uses, so a base has the skill but not the
format. Half of the examples ("named") are answered by the last sentence that names what is asked about: there it lies,
or was put down, or went. In the others ("moved") it was carried on since, or has gone on as "she" or "he", and the
place in that sentence is the wrong one, or one that is not asked for. Words of dev and test never occur in train.
Answers are read off the simulator's state.
"""

import random
import re
from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe
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


def last_sentence(story: str, word: str) -> str:
    """The last sentence that names a word."""
    return next(sentence for sentence in reversed(story.split(". ")) if last_place(sentence, word) >= 0)


def told(generator: random.Random, people: list[str], places: list[str], things: list[str], events) -> str:
    """The story of these events. Raises ValueError where one of them cannot happen."""
    world = World(generator, people, places, things)
    for event in events:
        world.apply(event)
    return " ".join(Teller(world, plain=1.0).tell_all(events))


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
        story = told(generator, people, places, things, events)
        # "took the lamp and went to the garden" answers itself, too
        answers_itself = last_place(last_sentence(story, things[0]), places[0]) >= 0
        if last_place(story, places[1]) >= 0 and answers_itself == (kind == "named"):
            return things[0], story, places, kind


def make_where_is(generator: random.Random, share: Share) -> Example:
    """`lamp | story` -> the place of the lamp, or another place of the story."""
    thing, story, places, kind = draw(generator, share)
    return Example(f"{thing} | {story}", places[0], tuple(sorted(places[:2])), kind)


def make_whereabouts(generator: random.Random, share: Share) -> Example:
    """`Anna | story` -> the place where Anna is, or another place of the story: a bystander's, or her own before."""
    while True:
        people, places, things = (
            generator.sample(words, count) for words, count in zip(split_world(share), (2, 3, 2), strict=True)
        )
        (person, other), (end, elsewhere, start) = people, places
        own = [Event("stand", person, place=start), Event("go", person, place=end)]
        if generator.random() < 0.5:
            own.insert(generator.randrange(3), Event("hold", person, things[0]))
        passed, reached = generator.sample((start, elsewhere), 2)
        others = [Event("stand", other, place=passed), Event("go", other, place=reached)]
        events = own + others if generator.random() < 0.5 else others + own
        if generator.random() < 0.5:  # something at the place that was left, to be the last word on places
            events.append(Event("lie", thing=things[1], place=start))
        story = told(generator, people, places, things, events)
        sentence = last_sentence(story, person)
        kind = SLICES[last_place(sentence, end) < 0]
        wrong = start if kind == "moved" else elsewhere
        if kind == "named" or last_place(sentence, start) >= 0:
            return Example(f"{person} | {story}", end, tuple(sorted((end, wrong))), kind)


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
    "whereabouts": TaskRecipe(
        "whereabouts", "Where a person is at the end of a story.", "accuracy", (), make_whereabouts, HELD_OUT,
        parts=SHARES, part=slice_and_order,
    ),
}  # fmt: skip
