"""Answers as lettered options: any task with answers to choose from becomes one that is answered by a letter.

Which colour has the sky ? A. green B. blue .      -> B
"""

from collections.abc import Sequence
from dataclasses import replace

from minipeft.errors import UserError
from minipeft.tasks.task import SPLITS, Example, Task

LETTERS = "ABCDEFGHIJKLMNOP"
SEPARATOR = " | "  # between the parts of a source


def lettered_question(query: str, options: Sequence[str]) -> str:
    """The query with its options; at most as many as there are letters."""
    lettered = " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS[: len(options)], options, strict=True))
    return f"{query} ? {lettered} ."


def lettered(task: Task) -> Task:
    """The same task with its labels, or each example's candidates, as lettered options in the source.

    Where a source ends with its candidates, they are taken out there. Raises UserError for a task with nothing to
    choose from or with more options than letters.
    """
    splits = {split: tuple(_letter(example, task) for example in getattr(task, split)) for split in SPLITS}
    return replace(task, name=f"{task.name}:lettered", labels=tuple(LETTERS[: len(task.labels)]), **splits)


def _letter(example: Example, task: Task) -> Example:
    options = example.candidates or task.labels
    if not 2 <= len(options) <= len(LETTERS):
        raise UserError(f"Task {task.name!r} has {len(options)} options; 2 to {len(LETTERS)} can have letters.")
    query = example.source.removesuffix(SEPARATOR + SEPARATOR.join(example.candidates))
    letters = tuple(LETTERS[: len(options)])
    return replace(
        example,
        source=lettered_question(query, options),
        target=letters[options.index(example.target)],
        candidates=letters if example.candidates else (),
    )
