"""A task from your own JSONL files: which kind it is, its labels, and three splits that share no source."""

import random
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from minipeft.errors import UserError, excerpt
from minipeft.tasks.jsonl import read_jsonl
from minipeft.tasks.metrics import folded
from minipeft.tasks.task import Example, Task

MOST_LABELS, LONGEST_LABEL = 20, 3  # your own data is a classification task up to so many distinct targets of 3 words


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
    _refuse_look_alikes(everything if labels else ())
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


def _refuse_look_alikes(examples: Sequence[Example]) -> None:
    """Raise UserError where two labels cannot be told apart by eye: they are one label, spelled in two ways."""
    first: dict[str, Example] = {}  # by what is seen of the target
    for example in examples:
        target = unicodedata.normalize("NFC", folded(example.target))
        seen = "".join(letter for letter in target if unicodedata.category(letter) != "Cf")  # Cf: takes no room
        other = first.setdefault(seen, example)
        if folded(other.target) != folded(example.target):
            raise UserError(
                f"{other.place} and {example.place}: the labels {ascii(other.target)} and {ascii(example.target)} look "
                "the same and are not: write them in one way."
            )
