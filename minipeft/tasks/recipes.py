"""How a generated task is made: one function per task that draws an example, and the draw that balances the labels.

A recipe's `make(random, split)` returns one example built from that split's own words. `generate` repeats it until
every label has its exact share, so that no model gains by knowing which answer is frequent.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from minipeft.tasks.task import SPLITS, Example

SIZES = {"train": 1500, "dev": 300, "test": 600}
PATIENCE = 200  # draws allowed per example wanted


@dataclass(frozen=True)
class TaskRecipe:
    """A generated task: what `Task` says about it, and `make(random, split) -> Example`, a pure function of its inputs."""

    name: str
    description: str
    metric: str
    labels: tuple[str, ...]
    make: Callable[[random.Random, str], Example]
    held_out: str
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))


def generate(recipe: TaskRecipe, split: str) -> list[Example]:
    """The examples of one split: the same every time, no source twice in or across splits, labels in exact shares.

    Where the size does not divide by the number of labels, the first labels get one example more.
    Raises ValueError when the recipe cannot fill the split with distinct examples.
    """
    return _draw_splits(recipe, split)


def _draw_splits(recipe: TaskRecipe, last: str) -> list[Example]:
    """Draws the splits in order up to `last`, so that a later one can avoid the sources of those before it."""
    seen: set[str] = set()
    for split in SPLITS:
        examples = _draw(recipe, split, seen)
        if split == last:
            return examples
    raise ValueError(f"There is no split {last!r}; choose one of {', '.join(SPLITS)}.")


def _draw(recipe: TaskRecipe, split: str, seen: set[str]) -> list[Example]:
    size = recipe.sizes[split]
    generator = random.Random(f"minipeft task {recipe.name} {split}")
    share, rest = divmod(size, len(recipe.labels) or 1)
    wanted = {label: share + (i < rest) for i, label in enumerate(recipe.labels)}
    examples: list[Example] = []
    for _ in range(PATIENCE * size):
        if len(examples) == size:
            return examples
        example = recipe.make(generator, split)
        if example.source in seen or (wanted and not wanted[example.target]):
            continue
        seen.add(example.source)
        examples.append(example)
        if wanted:
            wanted[example.target] -= 1
    raise ValueError(f"Task {recipe.name!r} has too few distinct {split} examples: add words or ask for fewer.")
