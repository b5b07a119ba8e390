"""Tasks on several opinions at once: what somebody thinks *now* of one of two things, and of everything named.

`opinion_now` is a story of two things of a film, on each of which a mind was changed or kept; the source names the one
that is asked about:

    "plot | Anna no longer finds the plot dull: it is superb now. Anna always found the acting weak."        -> good

Adjectives of dev and test are not those of train, so that what an opinion is has to be known. Whoever only adds up all
opinions is right where both things are liked alike, half of the sources ("alike"), and guesses where they differ.
"""

import random

from minipeft.tasks.making.lexicon import Share
from minipeft.tasks.making.opinions import LABELS, OPPOSITE, split_adjectives
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.task import Example

# {y} is what is thought now, {x} what was thought before; half of the forms of a change name it first.
CHANGED = (
    "{n} used to find the {a} {x}, but now finds it {y}.",
    "At first {n} found the {a} {x}; in the end {n} found it {y}.",
    "{n} no longer finds the {a} {x}: it is {y} now.",
    "{n} finds the {a} {y} now, but used to find it {x}.",
    "In the end {n} found the {a} {y}; at first {n} found it {x}.",
    "{n} finds the {a} {y} and no longer {x}.",
)
KEPT = (
    "{n} finds the {a} {y}.",
    "{n} found the {a} {y} and still does.",
    "{n} always found the {a} {y}.",
    "The {a} is {y}, says {n}.",
)
FORMS = {"changed": CHANGED, "kept": KEPT}
HISTORIES = (("changed", "changed"), ("changed", "kept"), ("kept", "changed"))  # of the thing asked about, of the other
SLICES = tuple(f"{asked}, {pair}" for asked in FORMS for pair in ("alike", "differ"))

# {y} is the opinion on {b}, {x} its opposite.
SAID = (
    "The {b} was {y}.",
    "The {b} was {y}.",
    "The {b} was not {x}.",
    "The {a} was {x}, but the {b} was {y}.",
    "The {b} was {y}, although the {a} was {x}.",
)


def make_opinion_now(generator: random.Random, share: Share) -> Example:
    """`plot | what somebody thought and thinks of plot and acting` -> good or bad: what is thought of the plot now."""
    words, name = split_adjectives("films", share), generator.choice(split_names(share))
    things, histories = generator.sample(words["aspects"], 2), generator.choice(HISTORIES)
    labels = generator.choices(LABELS, k=2)
    told = []
    for thing, history, label in zip(things, histories, labels, strict=True):
        before, after = generator.choice(words[OPPOSITE[label]]), generator.choice(words[label])
        told.append(generator.choice(FORMS[history]).format(n=name, a=thing, x=before, y=after))
    generator.shuffle(told)
    pair = "alike" if labels[0] == labels[1] else "differ"
    return Example(f"{things[0]} | {' '.join(told)}", labels[0], slice=f"{histories[0]}, {pair}")


def make_aspects(generator: random.Random, share: Share) -> Example:
    """A review of a sentence -> `good: plot; bad: acting`, in the order of the review."""
    words, form, label = split_adjectives("films", share), generator.choice(SAID), generator.choice(LABELS)
    first, second = generator.sample(words["aspects"], 2)
    opposite, word = generator.choice(words[OPPOSITE[label]]), generator.choice(words[label])
    opinions = {"a": (OPPOSITE[label], first), "b": (label, second)}
    places = sorted((form.find(f"{{{slot}}}"), slot) for slot in opinions)
    found = [opinions[slot] for place, slot in places if place >= 0]
    review = form.format(a=first, b=second, x=opposite, y=word)
    source = f"{generator.choice(split_names(share))} saw it. {review}"
    return Example(source, "; ".join(f"{label}: {thing}" for label, thing in found))


TASKS = {
    "opinion_now": TaskRecipe(
        "opinion_now", "What somebody thinks now of one of two things, after a change of mind.", "accuracy", LABELS,
        make_opinion_now, "people, aspects and adjectives",
        parts=tuple(f"{label} {kind}" for kind in SLICES for label in LABELS), part=label_and_slice,
    ),
    "aspects": TaskRecipe(
        "aspects", "All things that a review speaks of, each with what it says of it.", "tagging_f1", (), make_aspects,
        "people, aspects and adjectives",
    ),
}  # fmt: skip
