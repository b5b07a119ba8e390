"""Tasks that ask what an opinion comes to: of one review, in two domains; of two, whose or of what is the kinder one.

A third of what is asked no pretraining text has, so that a base can be shown to compute the rest and tuning to add it:

    both      a contrast with a negation in it       "The plot was dull, but the acting was not weak."      -> good
    unseen    new ways to turn a judgement round,    "The plot was anything but dull."                      -> good
              and to keep one in spite of a "no"     "There is no denying that the plot was dull."          -> bad
    nested    a judgement on a judgement, one or     "Nobody would say that the plot was not dull."         -> bad
              two deep, each of them yes or no       "It is a lie that it is true that the plot was dull."  -> good
"""

import random

from minipeft.tasks.making.lexicon import Share
from minipeft.tasks.making.opinions import FORMS, LABELS, OPINIONS, OPPOSITE, fill, split_adjectives
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.making.telling import capital
from minipeft.tasks.task import Example

BOTH = (  # {y} and {z} are of the final judgement, {x} and {u} of the opposite kind
    "The {a} was {x}, but the {b} was not {u}.",
    "Although the {a} was {x}, the {b} was never {u}.",
    "The {b} was not {u}, although the {a} was {x}.",
    "The {a} was not {y}, but the {b} was {z}.",
    "Although the {a} was never {y}, the {b} was {z}.",
    "The {b} was {z}, although the {a} was not {y}.",
)
UNSEEN = (
    "The {a} was anything but {x}.",
    "The {a} was far from {x}.",
    "Whoever calls the {a} {x} is mistaken.",
    "To call the {a} {x} would be a joke.",
    "The {a} was nothing if not {y}.",
    "There is no denying that the {a} was {y}.",
    "Nobody could call the {a} anything but {y}.",
    "The {a} could not have been more {y}.",
)
INNER = ("the {a} was {y}.", "the {a} was {y}.", "the {a} was not {x}.", "the {a} was never {x}.")
AROUND = {  # by whether what follows is held to be true
    True: ("it is true that", "everybody would say that", "it is a fact that", "I am sure that"),
    False: ("it is not true that", "nobody would say that", "it is a lie that", "I doubt that"),
}
ASKED = (*FORMS, "both", "unseen", "nested")
WRITTEN = FORMS | {"both": BOTH, "unseen": UNSEEN}
PAIRS = {"plain": ("plain", "plain"), "turned": ("plain", "contrast"), "negated": ("plain", "negation"),
         "both turned": ("contrast", "negation"), "unseen": ("plain", "unseen")}  # fmt: skip
ON_PARTS = {"plain": ("plain", "plain"), "negated": ("plain", "negation"), "unseen": ("plain", "unseen"),
            "both turned": ("negation", "unseen"), "nested": ("plain", "nested")}  # fmt: skip
ON_ONE = {name: tuple(form for form in forms if form.count("{a}") == 1 and "{b}" not in form)
          for name, forms in WRITTEN.items()}  # fmt: skip


def opinion(
    generator: random.Random, words: dict[str, list[str]], label: str, form: str, written: dict = WRITTEN
) -> str:
    """One sentence of that form, by name, whose final judgement is `label`; `words`: see `split_adjectives`."""
    if form != "nested":
        opposite = generator.choice(words[OPPOSITE[label]])
        return fill(generator, words, label, generator.choice(written[form]), u=opposite)
    held_true = [generator.choice((True, False)) for _ in range(generator.choice((1, 1, 2)))]
    around = " ".join(generator.choice(AROUND[held]) for held in held_true)
    inner = label if held_true.count(False) % 2 == 0 else OPPOSITE[label]
    return f"{capital(around)} {fill(generator, words, inner, generator.choice(INNER))}"


def _recipe(name: str, domain: str, what: str) -> TaskRecipe:
    def make(generator: random.Random, share: Share) -> Example:
        label, form = generator.choice(LABELS), generator.choice(ASKED)
        sentence = opinion(generator, split_adjectives(domain, share), label, form)
        return Example(f"{_visit(generator, domain, share)} {sentence}", label, slice=form)

    return TaskRecipe(
        name, f"Is this opinion on {what} good or bad in the end?", "accuracy", LABELS, make,
        "people, aspects and adjectives",
        parts=tuple(f"{label} {form}" for form in ASKED for label in LABELS), part=label_and_slice,
    )  # fmt: skip


def _visit(generator: random.Random, domain: str, share: Share) -> str:
    """Who saw what: the sentence before an opinion."""
    person = generator.choice(split_names(share))
    thing, seen = generator.choice(OPINIONS[domain]["things"]), generator.choice(OPINIONS[domain]["seen"])
    return f"{person} {seen} the {thing}."


def make_who_liked(generator: random.Random, share: Share) -> Example:
    """`Olive: The plot was dull. | Neil: The acting was not weak.` -> Neil; one of the two liked it."""
    words, people = split_adjectives("films", share), generator.sample(split_names(share), 2)
    kind = generator.choice(tuple(PAIRS))
    forms = generator.sample(PAIRS[kind], 2)
    labels = generator.sample(LABELS, 2)
    told = [
        f"{person}: {opinion(generator, words, label, form)}"
        for person, label, form in zip(people, labels, forms, strict=True)
    ]
    return Example(" | ".join(told), people[labels.index("good")], tuple(people), slice=kind)


def make_which_part(generator: random.Random, share: Share) -> Example:
    """`The plot was not dull. To call the acting superb would be a joke.` -> plot; one of the two was good."""
    words, kind = split_adjectives("films", share), generator.choice(tuple(ON_PARTS))
    parts, forms, labels = generator.sample(words["aspects"], 2), generator.sample(ON_PARTS[kind], 2), list(LABELS)
    generator.shuffle(labels)
    told = [
        opinion(generator, words | {"aspects": [part] * 2}, label, form, ON_ONE)
        for part, label, form in zip(parts, labels, forms, strict=True)
    ]
    return Example(" ".join(told), parts[labels.index("good")], tuple(parts), slice=kind)


def place_and_slice(example: Example) -> str:
    """The part of a pair: which of the two is the answer, and of what forms they are."""
    return f"{example.candidates.index(example.target)} {example.slice}"


TASKS = {
    "sentiment": _recipe("sentiment", "films", "a film or a book"),
    "sentiment_food": _recipe("sentiment_food", "food", "a meal or a restaurant"),
    "who_liked": TaskRecipe(
        "who_liked", "Two opinions on a film: which of the two people liked it?", "accuracy", (), make_who_liked,
        "people, aspects and adjectives",
        parts=tuple(f"{place} {kind}" for kind in PAIRS for place in (0, 1)), part=place_and_slice,
    ),
    "which_part": TaskRecipe(
        "which_part", "Two opinions on two things of a film: which of the things was good?", "accuracy", (),
        make_which_part, "people, aspects and adjectives",
        parts=tuple(f"{place} {kind}" for kind in ON_PARTS for place in (0, 1)), part=place_and_slice,
    ),
}  # fmt: skip
