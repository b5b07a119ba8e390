"""The bundled tasks: one or a mixture by name, and a few-shot share of any task."""

import difflib
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from minipeft.errors import UserError, excerpt
from minipeft.files import read_json
from minipeft.paths import DATA
from minipeft.tasks.jsonl import read_jsonl
from minipeft.tasks.lettering import lettered
from minipeft.tasks.metrics import folded
from minipeft.tasks.multi_task import mixture
from minipeft.tasks.task import SPLITS, Example, Task


def task_names() -> list[str]:
    """The names of the bundled tasks: the folders of `data/tasks` that hold a card."""
    return sorted(file.parent.name for file in (DATA / "tasks").glob("*/task.json"))


def read_card(name: str) -> dict:
    """What `data/tasks/<name>/task.json` says: description, metric, labels, held_out, and prompts where there are."""
    return read_json(DATA / "tasks" / name / "task.json")


def load_task(name: str, train_size: int | None = None) -> Task:
    """A bundled task; with `train_size`, only the first so many training examples.

    "sentiment+topic" is both at once, see `multi_task.mixture`; `train_size` then counts the examples of each.
    "sentiment:lettered" has its answers as lettered options in the source, see `lettering.lettered`.
    Raises UserError for an unknown name (with the nearest one) or more examples than there are.
    """
    return composed(name, lambda part: _bundled(part, train_size))


def composed(name: str, one: Callable[[str], Task]) -> Task:
    """The task of that name, which may be a mixture or have lettered answers; `one` gives each plain task."""
    if "+" in name:
        return mixture([composed(part.strip(), one) for part in name.split("+")])
    if name.endswith(":lettered"):
        return lettered(composed(name.removesuffix(":lettered"), one))
    return one(name)


def _bundled(name: str, train_size: int | None) -> Task:
    check_name(name)
    card = read_card(name)
    splits = {split: tuple(read_jsonl(DATA / "tasks" / name / f"{split}.jsonl")) for split in SPLITS}
    if train_size is not None:
        if not 0 < train_size <= len(splits["train"]):
            raise UserError(f"Task {name!r} has {len(splits['train'])} training examples; ask for 1 to that many.")
        splits["train"] = splits["train"][:train_size]
    return Task(name, card["description"], card["metric"], tuple(card["labels"]), held_out=card["held_out"], **splits)


def check_name(name: str) -> None:
    """Raise UserError, with the nearest known name, where no bundled task is called so."""
    if name not in (known := task_names()):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
        raise UserError(f"There is no task '{excerpt(name)}'; {hint}")


def few_shot(task: Task, per_label: int | None = None, total: int | None = None, seed: int = 0) -> Task:
    """The task with few train examples and as many dev examples, both drawn from its train split; test stays whole.

    `per_label` draws so many of every label, `total` so many in all, spread evenly over the labels (over all examples
    where the task has no labels). Raises UserError when there are too few examples.
    """
    if (per_label is None) == (total is None):
        raise ValueError("Give either per_label or total.")
    once: dict[str, Example] = {}  # a source that stands in train twice must not be drawn for train and for dev
    for example in task.train:
        once.setdefault(folded(example.source), example)
    groups = defaultdict(list)
    for example in once.values():
        groups[example.target if task.labels else ""].append(example)
    labels = list(task.labels) or [""]
    share, rest = (per_label, 0) if total is None else divmod(total, len(labels))
    generator = random.Random(f"minipeft few-shot {task.name} {seed}")
    train, dev = [], []
    for number, label in enumerate(labels):
        wanted = share + (number < rest)
        if 2 * wanted > len(groups[label]):
            what = f"of label {label!r}" if label else "for training"
            raise UserError(f"Task {task.name!r} has {len(groups[label])} examples {what}; {2 * wanted} are needed.")
        drawn = generator.sample(groups[label], 2 * wanted)
        train, dev = train + drawn[:wanted], dev + drawn[wanted:]
    generator.shuffle(train)
    return replace(task, train=tuple(train), dev=tuple(dev))
