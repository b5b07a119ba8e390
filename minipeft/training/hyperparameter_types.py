"""Whether values from a file are what the fields of a method may hold: `rank: int` takes 8, not "8", 8.0 or True."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from minipeft.methods.method import Method


def misfit(kind: type[Method], told: Mapping[str, Any]) -> str:
    """What is wrong with the hyper-parameters `told` to a method of class `kind`, in a few words; "" for nothing."""
    types_of = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    for name, value in told.items():
        if name not in known:
            return f"it has none called {name[:80]!r}"
        if not fits(value, types_of[name]):
            expected = getattr(types_of[name], "__name__", types_of[name])
            return f"{name} is a {type(value).__name__} that cannot stand for its type, {expected}"
    return ""


def fits(value: Any, kind: Any) -> bool:
    """Whether `value` is of the type that an annotation names; a file may give back a tuple as a list."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Sequence:  # a text, too, is a sequence of texts: targets="query"
        return isinstance(value, list | tuple | str) and all(fits(one, inner[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind
