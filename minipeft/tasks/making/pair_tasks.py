"""A task on pairs: do two people agree in their opinions of one film?

    "The plot was dull. | The plot was not superb, but the acting was lovely."      -> no

The label is drawn first and then the opinion of the first, so neither half alone tells anything of the answer: both
have to be read, and compared.
"""

import random

from minipeft.tasks.making.lexicon import Share
from minipeft.tasks.making.opinions import FORMS, LABELS, OPPOSITE, fill, split_adjectives
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.task import Example

SLICES = ("plain", "mixed")  # both opinions said plainly; one of them by a contrast or a negation


def make_agree(generator: random.Random, share: Share) -> Example:
    """`opinion | opinion` -> yes where both judge the film alike."""
    words, answer = split_adjectives("films", share), generator.choice(("yes", "no"))
    first = generator.choice(LABELS)
    second = first if answer == "yes" else OPPOSITE[first]
    kind = generator.choice(SLICES)
    forms = ["plain", "plain" if kind == "plain" else generator.choice(("contrast", "negation"))]
    generator.shuffle(forms)
    texts = [
        fill(generator, words, label, generator.choice(FORMS[form]))
        for label, form in zip((first, second), forms, strict=True)
    ]
    return Example(" | ".join(texts), answer, slice=kind)


TASKS = {
    "agree": TaskRecipe(
        "agree", "Do two people agree in their opinions of a film?", "accuracy", ("yes", "no"), make_agree,
        "aspects and adjectives",
        parts=tuple(f"{label} {kind}" for label in ("yes", "no") for kind in SLICES), part=label_and_slice,
    )
}  # fmt: skip
