"""Settings that are numbers: of the right type and in the range where they mean something, or one sentence."""

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minipeft.errors import UserError


@dataclass(frozen=True)
class Range:
    """What a setting may be: an int (or a float) for which `holds` is true; `words` say so after "it must be".

    none: what None stands for, where None may be given.
    """

    kind: type[int] | type[float]
    holds: Callable[[Any], bool]
    words: str
    none: str = ""


COUNT = Range(int, lambda number: number >= 1, "at least 1")
SEED = Range(int, lambda number: 0 <= number < 2**63, "from 0 to 2^63 - 1")
POSITIVE = Range(float, lambda number: 0 < number < math.inf, "above 0 and finite")
NOT_NEGATIVE = Range(float, lambda number: 0 <= number < math.inf, "0 or above, and finite")


def check(settings: Any, ranges: Mapping[str, Range]) -> None:
    """Raise UserError for the first field of the dataclass `settings` that is outside its range.

    Numbers of other libraries, as NumPy's, become Python's own, which every file can hold; True is no number.
    """
    for name, allowed in ranges.items():
        value = getattr(settings, name)
        if not (value is None and allowed.none):
            object.__setattr__(settings, name, checked(name, value, allowed))  # the dataclass may be frozen


def checked(name: str, value: Any, allowed: Range) -> int | float:
    """`value` as an int or a float; UserError, which calls it `name`, where it is outside the range."""
    kind = numbers.Integral if allowed.kind is int else numbers.Real
    right_type = isinstance(value, kind) and not isinstance(value, bool)
    if right_type and allowed.holds(value):
        return allowed.kind(value)
    type_words = "" if right_type else "a whole number, " if allowed.kind is int else "a number, "
    or_none = f", or None {allowed.none}" if allowed.none else ""
    raise UserError(f"{name} is {repr(value)[:80]}: it must be {type_words}{allowed.words}{or_none}.")
