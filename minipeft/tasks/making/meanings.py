"""Meanings: what kind of thing a noun names.

`category` gives a sentence that fits every noun. In half of them ("knows") the noun stands alone; in the others
("reads") a second one is turned down ("Anna forgot about the hammer and remembered the robin."), so that knowing the
words is worth half of their points. The nouns of dev and test are not those of train.
"""

import random
from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, read_lexicon, split_words
from minipeft.tasks.making.people import NAMES, split_names
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.making.telling import capital
from minipeft.tasks.task import Example

LEXICON = read_lexicon("meanings")
CATEGORIES = LEXICON["categories"]
LABELS = tuple(CATEGORIES)
SLICES = ("knows", "reads")  # one noun alone, which takes its meaning; one beside another, which takes reading too
NO_ARTICLE = {
    *CATEGORIES["drink"], "scissors", "pliers", "trousers", "pyjamas", "garlic", "spinach", "broccoli", "asparagus",
    "sweetcorn", "kale", "chard", "watercress", "cress", "fennel", "okra", "chicory", "radicchio", "celeriac",
    "salsify", "cassava", "horseradish", "samphire", "taro",
}  # fmt: skip
OF_TWO_KINDS = ("squash", "marrow", "tuber", "recorder", "pike", "perch")  # a drink and a vegetable, say: not asked for
SOUNDS_LIKE_YOU = ("ukulele", "eucalyptus", "euphonium", "unicycle", "university")  # a, not an
MEMBER = {"clothes": "one of the clothes", "furniture": "a piece of furniture"}
PLURAL = {"fish": "fish", "clothes": "clothes", "furniture": "furniture"}
# {noun} and {other} with article, {bare}; {kind} "a bird", {kinds} "birds", {label}; {wrong} of another category.
DEFINITIONS = (
    "{Noun} is {kind}.",
    "{Noun} is {kind} that {trait}.",
    "What is {noun}? {Kind}.",
    "Is {noun} {kind}? Yes.",
    "Is {noun} {wrong_kind}? No, it is {kind}.",
    "The {bare}, the {bare_other} and other {kinds} were in the book.",
    "{Kinds} such as the {bare} and the {bare_other} are well known.",
    "Which one is {kind}: the {bare} or the {wrong}? The {bare}.",
    "{Noun} and {other} are both {kinds}.",
    "{bare}: {label}.",
    "Not {noun} but {wrong_noun} is {wrong_kind}.",
)
# The kind comes after its nouns, so it takes reading them.
COMPANY = ("{nouns}: {label}.", "{nouns}: these are {kinds}.", "{nouns}: all of them are {kinds}.",
           "What are these: {nouns}? {Kinds}.")  # fmt: skip
LABELLED = ("Category: {label}.", "It was {kind}.", "What was it? {Kind}.", "Kind of thing: {label}.", "{Label}.")
# {y} is the noun that is meant, {x} the other one; half of the forms name it first.
CONTRASTS = (
    "{n} remembered the {y} but forgot about the {x}.",
    "{n} talked about the {y} and not about the {x}.",
    "{n} knew the word for the {y}, but not the word for the {x}.",
    "{n} drew the {y} on a page and not the {x}.",
    "It was the {y}, not the {x}.",
    "{n} forgot about the {x} and remembered the {y}.",
    "{n} talked not about the {x} but about the {y}.",
    "Not the {x} but the {y} was in the book.",
    "{n} drew not the {x} but the {y} on a page.",
    "It was not the {x}, it was the {y}.",
)


def _a(word: str) -> str:
    """The word with its indefinite article, where it takes one."""
    if word in NO_ARTICLE:
        return word
    return ("an " if word[0] in "aeiou" and word not in SOUNDS_LIKE_YOU else "a ") + word


def kind_of(label: str) -> str:
    """The category as one says it of a thing: "a bird", "one of the clothes"."""
    return MEMBER.get(label) or _a(label)


def _define(generator: random.Random, label: str, noun: str) -> str:
    """A sentence that says, or lets one see, that `noun` belongs to `label`."""
    wrong_label = generator.choice([other for other in LABELS if other != label])
    other, wrong = generator.choice(CATEGORIES[label]), generator.choice(CATEGORIES[wrong_label])
    kind, kinds = kind_of(label), PLURAL.get(label, label + "s")
    return generator.choice(DEFINITIONS).format(
        noun=_a(noun), Noun=capital(_a(noun)), bare=noun, bare_other=other, other=_a(other), wrong=wrong,
        wrong_noun=_a(wrong), kind=kind, Kind=capital(kind), kinds=kinds, Kinds=capital(kinds), label=label,
        wrong_kind=kind_of(wrong_label), trait=generator.choice(LEXICON["traits"][label]),
    )  # fmt: skip


def _contrast(generator: random.Random, meant: str, turned_down: str, name: str) -> str:
    """A sentence that means one noun and turns the other down."""
    return generator.choice(CONTRASTS).format(n=name, y=meant, x=turned_down)


def _mention(generator: random.Random, label: str, noun: str) -> str:
    """A small event with the noun, typical for its category or possible for all, often followed by the category.

    In a tenth of them a noun of another category is turned down beside it.
    """
    contrast = generator.random() < 0.1
    if contrast:
        wrong = generator.choice([other for other in LABELS if other != label])
        text = _contrast(generator, noun, generator.choice(CATEGORIES[wrong]), generator.choice(NAMES))
    else:
        forms = LEXICON["uses"][label] if generator.random() < 0.6 else LEXICON["neutral"]
        text = f"{generator.choice(NAMES)} {generator.choice(forms).replace('{x}', noun)}."
    if contrast or generator.random() < 0.5:
        kind = kind_of(label)
        ending = generator.choice(LABELLED).format(label=label, Label=capital(label), kind=kind, Kind=capital(kind))
        text = f"{text} {ending}"
    return text


def _company(generator: random.Random, label: str) -> str:
    """Nouns of one category side by side, with its name."""
    nouns, kinds = ", ".join(generator.sample(CATEGORIES[label], 4)), PLURAL.get(label, label + "s")
    return capital(generator.choice(COMPANY).format(nouns=nouns, kinds=kinds, Kinds=capital(kinds), label=label))


def _glossary(generator: random.Random) -> str:
    """Nouns of several categories, each with its own."""
    labels = [generator.choice(LABELS) for _ in range(generator.randint(6, 9))]
    return ". ".join(f"{generator.choice(CATEGORIES[label])}: {label}" for label in labels) + "."


def passage(generator: random.Random) -> str:
    """A pretraining text on nouns of several categories: a glossary, lists, or definitions and scenes."""
    kind = generator.random()
    if kind < 0.35:
        return _glossary(generator)
    if kind < 0.65:
        return " ".join(_company(generator, label) for label in generator.sample(LABELS, generator.randint(2, 3)))
    sentences = []
    for label in generator.sample(LABELS, 2):
        nouns = generator.sample(CATEGORIES[label], 2)
        sentences += [_define(generator, label, nouns[0]), _mention(generator, label, generator.choice(nouns))]
    generator.shuffle(sentences)
    return " ".join(sentences)


@lru_cache(maxsize=16)
def split_nouns(share: Share) -> dict[str, list[str]]:
    """The nouns of one share, by category, but for those of two kinds."""
    found = {label: split_words(nouns, share, f"category {label}") for label, nouns in CATEGORIES.items()}
    return {label: [noun for noun in nouns if noun not in OF_TWO_KINDS] for label, nouns in found.items()}


def _make_category(generator: random.Random, share: Share) -> Example:
    label, wrong = generator.sample(LABELS, 2)
    nouns, kind = split_nouns(share), generator.choice(SLICES)
    name, noun = generator.choice(split_names(share)), generator.choice(nouns[label])
    if kind == "knows":
        return Example(f"{name} {generator.choice(LEXICON['neutral']).replace('{x}', noun)}.", label, slice=kind)
    return Example(_contrast(generator, noun, generator.choice(nouns[wrong]), name), label, slice=kind)


TASKS = {
    "category": TaskRecipe(
        "category", "What kind of thing is meant?", "accuracy", LABELS, _make_category, "people and nouns",
        parts=tuple(f"{label} {kind}" for kind in SLICES for label in LABELS), part=label_and_slice,
    ),
}  # fmt: skip
