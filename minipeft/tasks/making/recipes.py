"""How a generated task is made: one function per task that draws an example, and the draw that balances the labels.

A recipe's `make(generator, share)` returns one example built from the words of one share. `generate` repeats it until
every label has its exact share, so that no model gains by knowing which answer is frequent.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from minipeft.tasks.making.lexicon import Share
from minipeft.tasks.task import SPLITS, Example

SIZES = {"train": 1500, "dev": 300, "test": 600}
PATIENCE = 200  # draws allowed per example wanted


def target_of(example: Example) -> str:
    """The part an example belongs to where a recipe balances its labels and nothing else."""
    return example.target


def label_and_slice(example: Example) -> str:
    """The part an example belongs to where every label is as frequent in every slice."""
    return f"{example.target} {example.slice}"


@dataclass(frozen=True)
class TaskRecipe:
    """A generated task: what `Task` says of it, and `make(generator, share) -> Example`, a pure function of its inputs.

    `parts` may name finer groups than the labels, such as a label together with the place of the answer in the story;
    `part(example)` tells the group. All groups get equal shares, which leaves no gain to guessing by position; one that
    is named twice gets two.
    """

    name: str
    description: str
    metric: str
    labels: tuple[str, ...]
    make: Callable[[random.Random, Share], Example]
    held_out: str
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))
    parts: tuple[str, ...] = ()
    part: Callable[[Example], str] = target_of


def generate(recipe: TaskRecipe, split: str, draw: int = 0) -> list[Example]:
    """The examples of one split: the same every time, no source twice in or across splits, labels in exact shares.

    Where the size does not divide by the number of labels or parts, the first ones get one example more.
    Raises ValueError for an unknown split, or when the recipe cannot fill the split with distinct examples.
    """
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    return generate_splits(recipe, SPLITS[: SPLITS.index(split) + 1], draw)[split]


def generate_splits(recipe: TaskRecipe, splits: tuple[str, ...] = SPLITS, draw: int = 0) -> dict[str, list[Example]]:
    """Several splits by name, in the order of SPLITS from "train" on: each avoids the sources of those before it."""
    seen: set[str] = set()
    return {split: _draw(recipe, Share(split, draw), seen) for split in splits}


def _draw(recipe: TaskRecipe, share: Share, seen: set[str]) -> list[Example]:
    size = recipe.sizes[share.split]
    generator = random.Random(share.seed(f"task {recipe.name} {share.split}"))
    parts = recipe.parts or recipe.labels
    each, rest = divmod(size, len(parts) or 1)
    wanted = Counter()
    for number, part in enumerate(parts):
        wanted[part] += each + (number < rest)
    examples: list[Example] = []
    for _ in range(PATIENCE * size):
        if len(examples) == size:
            generator.shuffle(examples)  # the groups that are hard to draw came last
            return examples
        example = recipe.make(generator, share)
        part = recipe.part(example)
        if example.source in seen or (wanted and not wanted[part]):
            continue
        seen.add(example.source)
        examples.append(example)
        if wanted:
            wanted[part] -= 1
    raise ValueError(f"Task {recipe.name!r} has too few distinct {share.split} examples: add words or ask for fewer.")
