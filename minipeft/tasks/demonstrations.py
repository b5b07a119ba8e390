"""Demonstrations: a few solved examples, to be written before a source (Brown et al. 2020, arXiv:2005.14165)."""

import random
from collections import defaultdict

from minipeft.errors import UserError
from minipeft.tasks.task import Task


def draw_demonstrations(task: Task, shots: int, seed: int = 0) -> tuple[tuple[str, str], ...]:
    """`shots` different (source, answer) pairs of the train split, in random order, the same for the same seed.

    They are spread evenly over the labels of a task that has labels; where that does not come out even, the seed
    decides which labels get one more. Raises UserError when there are too few examples.
    """
    if shots < 0:
        raise UserError(f"There cannot be {shots} demonstrations: give 0 or more.")
    generator = random.Random(f"minipeft demonstrations {task.name} {seed}")
    groups = defaultdict(list)
    for example in task.train:
        groups[example.target if task.labels else ""].append((example.source, example.target))
    labels = list(task.labels) or [""]
    generator.shuffle(labels)
    drawn = []
    for number, label in enumerate(labels):
        wanted = shots // len(labels) + (number < shots % len(labels))
        if wanted > len(groups[label]):
            what = f"of label {label!r}" if label else "for training"
            raise UserError(f"Task {task.name!r} has {len(groups[label])} examples {what}; {wanted} are needed.")
        drawn += generator.sample(groups[label], wanted)
    generator.shuffle(drawn)
    return tuple(drawn)
