"""Several tasks at once: one model, or one adapter, learns them together and is told by the source which one is meant.

    "sentiment: The film was a delight."  -> good        candidates good, bad
    "topic: The band played all night."   -> music       candidates weather, sport, music, ...

Every source starts with the name of its task, every example carries the labels of its task as candidates. Sizes are
balanced: train is as long for every task as for the largest, the others going round again; of dev and test every task
gives its first examples, as many as the smallest has, so that accuracy is the mean of the tasks'. Each task is a slice.
Name first, then text: T5 was fine-tuned on its tasks in this way (Raffel et al. 2019, arXiv:1910.10683).
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from minipeft.errors import UserError
from minipeft.tasks.task import SPLITS, Example, Task


def prefixed(task: Task) -> Task:
    """The task with its name before every source: one task as it stands in a mixture, to be evaluated alone."""
    examples = {
        split: tuple(replace(example, source=f"{task.name}: {example.source}") for example in getattr(task, split))
        for split in SPLITS
    }
    return replace(task, **examples)


def mixture(tasks: Sequence[Task]) -> Task:
    """`tasks` as one task, called by their names with "+" between, its examples taken from them in turn.

    Raises UserError for fewer than two tasks, a task given twice, and tasks of different metrics.
    """
    names = [task.name for task in tasks]
    if len(set(names)) < len(names) or len(names) < 2:
        raise UserError(f"A mixture takes two or more different tasks, got {', '.join(names) or 'none'}.")
    metrics = {task.metric for task in tasks}
    if len(metrics) > 1:
        told = ", ".join(f"{task.name} by {task.metric}" for task in tasks)
        raise UserError(f"These tasks have no score in common ({told}): mix tasks of one metric.")
    splits = {}
    for split in SPLITS:
        parts = [as_part(prefixed(task), split) for task in tasks]
        if not all(parts):
            raise UserError(f"The {split} split of {names[parts.index(())]} is empty: leave it out of the mixture.")
        size = (max if split == "train" else min)(map(len, parts))
        turns = zip(*(itertools.islice(itertools.cycle(part), size) for part in parts), strict=True)
        splits[split] = tuple(example for turn in turns for example in turn)
    described = " ".join(f"{task.name}: {task.description}" for task in tasks)
    held_out = " ".join(f"{task.name}: {task.held_out}" for task in tasks if task.held_out)
    return Task("+".join(names), described, metrics.pop(), labels=(), held_out=held_out, **splits)


def as_part(task: Task, split: str) -> tuple[Example, ...]:
    """The examples of a split, each with the task's labels as candidates where it has none of its own.

    The task's name becomes the slice of all, before what slice they have, so each task gets its score.
    """
    return tuple(
        replace(
            example,
            candidates=example.candidates or task.labels,
            slice=f"{task.name}: {example.slice}" if example.slice else task.name,
        )
        for example in getattr(task, split)
    )
