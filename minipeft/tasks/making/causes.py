"""Causes and effects: eighty rules such as "dropped the vase -> the vase broke", each true of ten objects.

Objects come in kinds (glassware, pets, boats ...) and every kind has four rules. No task asks for them: bases as small
as ours do not learn in 32M tokens what follows from what (data/README.md has their skill).
"""

import random

from minipeft.tasks.making.lexicon import read_lexicon
from minipeft.tasks.making.people import NAMES
from minipeft.tasks.making.telling import capital

KINDS = read_lexicon("causes")
# {c} is a cause with its person, {e} its effect, {d} another effect; capitals start a sentence.
STORIES = (
    "{c}, so {e}.",
    "Because {c}, {e}.",
    "{E} because {c}.",
    "{E}. Why? {c}.",
    "{c}. What happened then? {E}.",
    "{c}. As a result, {e}.",
    "After {c}, {e}.",
    "Reason: {c}. Result: {e}.",
    "Result: {e}. Reason: {c}.",
    "How did it come about that {e}? {c}.",
    "{c}. Which was true then: {d} or {e}? {E}.",
    "{c}. Was it true that {d}? No, {e}.",
    "If {d}, it was not because {c}: then {e}.",
    '"Why did you say that {e}?" "Because {c}."',
)


def put(generator: random.Random, side: str, rule: dict, noun: str, name: str) -> str:
    """One wording of a rule's "cause" (with who did it) or "effect"."""
    text = generator.choice(rule[side]).replace("{x}", noun)
    return f"{name} {text}" if side == "cause" else text


def passage(generator: random.Random) -> str:
    """A pretraining text: two or three events with what came of them, all around the same kind of object."""
    kind = KINDS[generator.choice(list(KINDS))]
    nouns = generator.sample(kind["objects"], 2)
    sentences = []
    for _ in range(generator.randint(2, 3)):
        rule, other = generator.sample(kind["rules"], 2)
        noun, name = generator.choice(nouns), generator.choice(NAMES)
        cause, effect = put(generator, "cause", rule, noun, name), put(generator, "effect", rule, noun, name)
        wrong = put(generator, "effect", other, noun, name)
        sentences.append(generator.choice(STORIES).format(c=cause, e=effect, E=capital(effect), d=wrong))
    return " ".join(sentences)
