"""Whether values are what the fields of a method may hold: `rank: int` takes 8, not "8", 8.0 or True.

Asked of every method that is made, whoever makes it: a program, a command line, a file.
"""

import dataclasses
import numbers
import reprlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from minipeft.errors import UserError

LIMIT = 2**63  # beyond it a number is not read back from a file
WORDS = {int: "a whole number", float: "a finite number", bool: "True or False", str: "a text"}
NUMBERS = {int: numbers.Integral, float: numbers.Real}


def misfit(kind: type, told: Mapping[str, Any]) -> str:
    """What is wrong with the hyper-parameters `told` to a method of class `kind`, in a few words; "" for nothing."""
    types_of = field_types(kind)
    for name, value in told.items():
        if name not in types_of:
            return f"it has none called {name[:80]!r}"
        try:
            fitted(value, types_of[name])
        except TypeError:
            return f"{name} must be {in_words(types_of[name])}, not {reprlib.repr(value)} ({type(value).__name__})"
    return ""


def settle_fields(method: Any) -> None:
    """Give every field of a new method its plain form: 8 for numpy's 8.

    Raises UserError for a value that cannot be a field's.
    """
    told = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    wrong = misfit(type(method), told)
    if wrong:
        raise UserError(f"{method.name}: {wrong}.")
    for name, kind in field_types(type(method)).items():
        setattr(method, name, fitted(told[name], kind))


def field_types(kind: type) -> dict[str, Any]:
    """The type of each field of a dataclass."""
    types_of = typing.get_type_hints(kind)
    return {field.name: types_of[field.name] for field in dataclasses.fields(kind)}


def fitted(value: Any, kind: Any) -> Any:
    """`value` in the plain form of the type that an annotation names. Raises TypeError where it is of another type.

    A list may stand for a tuple, as files give it back, and a text for a sequence of texts. A set has no order and a
    generator ends: neither stands for anything.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in WORDS:
        return plain(value, kind)
    if origin in (typing.Union, types.UnionType):
        for one in inner:
            try:
                return fitted(value, one)
            except TypeError:
                pass
    elif origin is Sequence and isinstance(value, list | tuple):
        return type(value)([fitted(one, inner[0]) for one in value])
    elif origin is Sequence and inner[0] is str:
        return plain(value, str)
    elif origin is Mapping and isinstance(value, Mapping):
        return {fitted(key, inner[0]): fitted(one, inner[1]) for key, one in value.items()}
    elif origin not in (Sequence, Mapping) and isinstance(value, origin or kind):
        return value  # a method, a state_dict
    raise TypeError(f"{value!r} is no {kind}")


def plain(value: Any, kind: type) -> int | float | bool | str:
    """A number, a truth value or a text as Python's own: 8 for numpy's 8. A whole number may stand for any number."""
    if kind is bool and isinstance(value, bool | numpy.bool_):
        return bool(value)
    if kind is str and isinstance(value, str):
        return str(value)
    if isinstance(value, NUMBERS.get(kind, ())) and type(value) is not bool and abs(value) < LIMIT:  # nan is not below
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    raise TypeError(f"{value!r} is no {kind}")


def in_words(kind: Any) -> str:
    """A type as a sentence names it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(in_words(one) for one in inner)
    if origin is Sequence:
        return f"a list or tuple, each of it {in_words(inner[0])}"
    if origin is Mapping:
        return f"a dictionary from {in_words(inner[0])} to {in_words(inner[1])}"
    return WORDS.get(kind) or getattr(origin or kind, "__name__", str(kind))
