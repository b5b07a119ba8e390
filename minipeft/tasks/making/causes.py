"""Causes and effects: eighty rules such as "dropped the vase -> the vase broke", each true of ten objects.

Objects come in kinds (glassware, pets, boats ...) and every kind has four rules, so both answers of a question name the
same object and both are true of it on another day; only the event decides:

    result | Anna dropped the vase | the vase shone | the vase broke      -> the vase broke

The splits use disjoint kinds, with their objects and rules: what follows from what must come from pretraining.
"""

import random
from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, read_lexicon, split_words
from minipeft.tasks.making.people import NAMES, split_names
from minipeft.tasks.making.recipes import TaskRecipe
from minipeft.tasks.making.telling import capital
from minipeft.tasks.task import Example

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


@lru_cache(maxsize=16)
def split_kinds(share: Share) -> list[str]:
    """The kinds of objects of one share."""
    return split_words(KINDS, share, "causes")


def _make(generator: random.Random, share: Share) -> Example:
    kind = KINDS[generator.choice(split_kinds(share))]
    rules = generator.sample(kind["rules"], 2)
    noun, name = generator.choice(kind["objects"]), generator.choice(split_names(share))
    asked, given = generator.choice((("effect", "cause"), ("cause", "effect")))
    event = put(generator, given, rules[0], noun, name)
    options = [put(generator, asked, rule, noun, name) for rule in rules]
    target = options[0]
    generator.shuffle(options)
    word = "result" if asked == "effect" else "reason"
    return Example(f"{word} | {event} | {options[0]} | {options[1]}", target, tuple(options))


TASKS = {
    "cause_effect": TaskRecipe(
        "cause_effect",
        "Which of two events is the result (or the reason) of this one?",
        "accuracy",
        (),
        _make,
        "people, kinds of objects and their rules",
    )
}
