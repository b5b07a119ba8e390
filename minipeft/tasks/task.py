"""What a task is: text in, text out, in three splits that share as little as the task allows.

Every task of this project has the form "read this text, write that text", as in T5 (Raffel et al. 2019). A
classification task names its `labels`; a multiple-choice task carries `candidates` with every example; an open task has
neither and is answered by generating.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"
SPLITS = ("train", "dev", "test")
METRICS = ("accuracy", "exact_match", "tagging_f1", "overlap")


@dataclass(frozen=True)
class Example:
    """One pair of texts. `candidates` are the answers to choose from where they differ from example to example."""

    source: str
    target: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A named text-to-text task.

    `metric` is one of METRICS: "accuracy" ranks `labels` (or the example's candidates) by likelihood; the others
    generate text and compare it with the target. `held_out` says in words what train, dev and test do not share.
    """

    name: str
    description: str
    metric: str
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    held_out: str = ""

    @property
    def chance(self) -> float:
        """Expected accuracy of a blind guess, in percent (0 for tasks answered by free text)."""
        choices = [len(example.candidates) or len(self.labels) for example in self.test]
        return sum(100.0 / number if number else 0.0 for number in choices) / max(1, len(choices))


def split_words(words, split: str, salt: str = "") -> list[str]:
    """The share of `words` that belongs to `split`: 60% train, 20% dev, 20% test, always the same for one list.

    Tasks draw their people, objects and events from here, so nothing a model is tested on was seen in fine-tuning.
    """
    words = sorted(words)
    random.Random(f"minipeft {salt}").shuffle(words)
    first, second = round(0.6 * len(words)), round(0.8 * len(words))
    return {"train": words[:first], "dev": words[first:second], "test": words[second:]}[split]


def read_lexicon(name: str) -> dict:
    """One of the bundled word lists, `data/lexicon/<name>.json`."""
    return json.loads((DATA / "lexicon" / f"{name}.json").read_text(encoding="utf-8"))
