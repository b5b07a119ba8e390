"""Every way to get a task: a bundled one or a mixture by name, a few-shot share of one, or your own JSONL files."""

import difflib
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from minipeft.errors import UserError, excerpt
from minipeft.paths import DATA
from minipeft.tasks.jsonl import read_jsonl
from minipeft.tasks.lettering import lettered
from minipeft.tasks.metrics import folded
from minipeft.tasks.multi_task import mixture
from minipeft.tasks.task import SPLITS, Example, Task

MOST_LABELS, LONGEST_LABEL = 20, 3  # your own data is a classification task up to so many distinct targets of 3 words


def task_names() -> list[str]:
    """The names of the bundled tasks: the folders of `data/tasks` that hold a card."""
    return sorted(file.parent.name for file in (DATA / "tasks").glob("*/task.json"))


def read_card(name: str) -> dict:
    """What `data/tasks/<name>/task.json` says: description, metric, labels, held_out, and prompts where there are."""
    return json.loads((DATA / "tasks" / name / "task.json").read_text(encoding="utf-8"))


def load_task(name: str, train_size: int | None = None) -> Task:
    """A bundled task; with `train_size`, only the first so many training examples.

    "sentiment+topic" is both at once, see `multi_task.mixture`; `train_size` then counts the examples of each.
    "sentiment:lettered" has its answers as lettered options in the source, see `lettering.lettered`.
    Raises UserError for an unknown name (with the nearest one) or more examples than there are.
    """
    if "+" in name:
        return mixture([load_task(part.strip(), train_size) for part in name.split("+")])
    if name.endswith(":lettered"):
        return lettered(load_task(name.removesuffix(":lettered"), train_size))
    if name not in (known := task_names()):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}."
        raise UserError(f"There is no task '{excerpt(name)}'; {hint}")
    card = read_card(name)
    splits = {split: tuple(read_jsonl(DATA / "tasks" / name / f"{split}.jsonl")) for split in SPLITS}
    if train_size is not None:
        if not 0 < train_size <= len(splits["train"]):
            raise UserError(f"Task {name!r} has {len(splits['train'])} training examples; ask for 1 to that many.")
        splits["train"] = splits["train"][:train_size]
    return Task(name, card["description"], card["metric"], tuple(card["labels"]), held_out=card["held_out"], **splits)


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


def load_jsonl(path: str | Path, dev: str | Path | None = None, test: str | Path | None = None) -> Task:
    """A task from your own JSONL. What of `dev` and `test` is not given is taken out of `path`, a tenth each.

    With at most 20 distinct short targets it is a classification task (accuracy); with "candidates" a multiple-choice
    task; else the answer is generated and scored by exact match. Lines of one source stay in one split, and white space
    makes no difference between sources or labels. Raises UserError for bad lines, for too few examples, and where all
    have the same target.
    """
    rows, name = read_jsonl(path), Path(path).stem
    splits = {"train": _by_source(rows)}
    for split, given, after in (("dev", dev, 1 + (test is None)), ("test", test, 1)):
        if given is None:
            splits[split], splits["train"] = _part(splits["train"], len(rows) // 10, keep=after)
        else:
            splits[split] = [read_jsonl(given)]
    splits = {split: tuple(example for group in groups for example in group) for split, groups in splits.items()}
    if not all(splits.values()):
        raise UserError(
            f"{path} has {len(rows)} examples, too few to split: give 3 or more of different sources, or all splits."
        )
    everything = [example for part in splits.values() for example in part]
    choices = {bool(example.candidates) for example in everything}
    if len(choices) == 2:
        first = next(example for example in everything if not example.candidates)
        raise UserError(f'{first.place}: no "candidates"; either all examples have them or none.')
    if not any(choices) and len(targets := {folded(example.target) for example in everything}) == 1:
        (target,) = targets
        raise UserError(f"{path}: all targets are {excerpt(target)!r}: there is nothing to tell apart.")
    labels = () if any(choices) else _labels(everything)
    if labels:
        splits = {split: tuple(replace(e, target=folded(e.target)) for e in part) for split, part in splits.items()}
    metric = "accuracy" if labels or any(choices) else "exact_match"
    held_out = "Train, dev and test have different sources." if dev is None or test is None else ""
    return Task(name, f"Your data in {path}.", metric, labels, held_out=held_out, **splits)


def _by_source(rows: Sequence[Example]) -> list[list[Example]]:
    """The examples in groups of one source each, in an order that is random and always the same."""
    groups = defaultdict(list)
    for row in rows:
        groups[folded(row.source)].append(row)
    shuffled = list(groups.values())
    random.Random("minipeft own data").shuffle(shuffled)
    return shuffled


def _part(groups: list[list[Example]], wanted: int, keep: int) -> tuple[list, list]:
    """Whole groups of about `wanted` examples together, never more unless one alone has more, and the rest.

    `keep` groups at least are left for the splits that come after.
    """
    taken, rest, size = [], [], 0
    for group in groups:
        fits = size + len(group) <= max(1, wanted) and len(groups) - len(taken) > keep
        (taken if fits else rest).append(group)
        size += len(group) * fits
    if not taken and len(rest) > keep:
        taken = [rest.pop(rest.index(min(rest, key=len)))]
    return taken, rest


def _labels(examples: Sequence[Example]) -> tuple[str, ...]:
    """The distinct targets if they are few, short and used again and again, else nothing."""
    targets = sorted({folded(example.target) for example in examples})
    few = len(targets) <= min(MOST_LABELS, len(examples) // 2)
    return tuple(targets) if few and all(len(target.split()) <= LONGEST_LABEL for target in targets) else ()
