"""From words on the command line to a method with its hyper-parameters."""

import difflib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from minipeft.errors import UserError, excerpt
from minipeft.methods.method import Method
from minipeft.methods.registry import METHODS

LARGEST = 10**6  # a rank, a length or a count beyond it has no use, and would take hours to be refused
NEXT_VALUE = re.compile(r":(?=\w+=)")


@dataclass(frozen=True)
class Entry:
    """One row of a race: a method or control, some of its hyper-parameters, and what the row is called."""

    label: str
    method: str
    hyperparameters: dict


def parse_entry(text: str) -> Entry:
    """`[label=]method[:name=value]...`, as `lora` or `hybrid=prompt_tuning:template={source} It was`."""
    head, *assignments = NEXT_VALUE.split(text)
    label, equals, name = head.partition("=")
    return Entry(label if equals else text, name if equals else head, parse_hyperparameters(name or head, assignments))


def split_entries(text: str, known: Iterable[str]) -> list[str]:
    """The comma-separated entries of `--methods`; after a value, a word that is no method in `known` belongs to it."""
    entries: list[str] = []
    for piece in text.split(","):
        method = NEXT_VALUE.split(piece)[0].rpartition("=")[2]
        if entries and NEXT_VALUE.search(entries[-1]) and method not in known:
            entries[-1] += f",{piece}"
        else:
            entries.append(piece)
    return entries


def make_method(name: str, hyperparameters: dict) -> Method:
    """A method by its registry name, its hyper-parameters checked against its fields."""
    if name not in METHODS:
        raise UserError(f"There is no method {name!r}. {nearest(name, METHODS)}")
    known = {entry.name for entry in fields(METHODS[name])}
    for key, value in hyperparameters.items():
        if key not in known:
            raise UserError(f"{name} has no hyper-parameter {key!r}. {nearest(key, known)}")
        if isinstance(value, int) and value > LARGEST:
            raise UserError(
                f"{name}: {key} is {excerpt(str(value))}, larger than any model can take: at most {LARGEST}."
            )
    return METHODS[name](**hyperparameters)


def nearest(word: str, known) -> str:
    """The sentence that helps with a misspelt name."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(sorted(known))}."


def parse_hyperparameters(name: str, assignments: list[str]) -> dict:
    """`["rank=8", "targets=query,value"]` -> values of the types that the method's fields have."""
    types_of = typing.get_type_hints(METHODS[name]) if name in METHODS else {}
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set takes name=value, for example --set rank=8; got {assignment!r}.")
        values[key] = parse_value(text, types_of.get(key, str), assignment)
    return values


def parse_value(text: str, kind, assignment: str):
    """Text from the command line as the type of a dataclass field: int, float, bool, str, or a tuple of words.

    Fields that hold several things also take JSON: `verbalizer={"good": ["Good."], "bad": ["Bad."]}`.
    """
    if isinstance(kind, types.UnionType):  # `int | None`: what may be typed is the int
        kind = typing.get_args(kind)[0]
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if typing.get_origin(kind) in (Mapping, Sequence) and text[:1] in ("{", "["):
            return json.loads(text)
        if typing.get_origin(kind) in (tuple, Sequence):
            return tuple(text.split(","))
        value = kind(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return value
    except (KeyError, ValueError, TypeError, RecursionError):
        raise UserError(
            f"--set {excerpt(assignment)}: '{excerpt(text)}' is not a value of type {getattr(kind, '__name__', kind)}."
        ) from None
