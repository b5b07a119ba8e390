"""What a task is: text in, text out, in three splits that share as little as the task allows.

Every task of this project has the form "read this text, write that text", as in T5 (Raffel et al. 2019). A
classification task names its `labels`; a multiple-choice task carries `candidates` with every example; an open task has
neither and is answered by generating.
"""

from dataclasses import dataclass

from minipeft.errors import UserError
from minipeft.tasks.metrics import METRIC_FUNCTIONS, folded

SPLITS = ("train", "dev", "test")
METRICS = ("accuracy", "exact_match", "tagging_f1", "overlap")


@dataclass(frozen=True)
class Example:
    """One pair of texts. `candidates` are the answers to choose from where they differ from example to example.

    slice: what sort of example it is, in a word of the task's author ("negation"); each slice gets a score of its own.
    """

    source: str
    target: str
    candidates: tuple[str, ...] = ()
    slice: str = ""


@dataclass(frozen=True)
class Task:
    """A named text-to-text task.

    `metric` is one of METRICS: "accuracy" ranks `labels` (or the example's candidates) by likelihood; the others
    generate text and compare it with the target. `held_out` says in words what train, dev and test do not share.
    Raises UserError for another metric, and for labels that are the same but for white space.
    """

    name: str
    description: str
    metric: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    held_out: str = ""

    def __post_init__(self):
        if self.metric not in METRIC_FUNCTIONS:
            raise UserError(f"There is no metric {self.metric!r}; choose one of {', '.join(METRIC_FUNCTIONS)}.")
        labels = [folded(label) for label in self.labels]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise UserError(f"The labels of {self.name!r} hold {twice!r} twice (white space does not count).")

    @property
    def chance(self) -> float:
        """Expected accuracy of a blind guess, in percent (0 for tasks answered by free text)."""
        choices = [len(example.candidates) or len(self.labels) for example in self.test]
        return sum(100.0 / number if number else 0.0 for number in choices) / max(1, len(choices))
