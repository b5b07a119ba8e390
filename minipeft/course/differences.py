"""What an answer gave, compared with what it should have given: where they differ first, and in which words."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy
import torch

NAMES = {"dict": "a dict", "list": "a list", "tuple": "a tuple", "str": "a string", "NoneType": "None"}
NARROW = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Difference:
    """The first difference: `phrase` follows "Got", `path` leads to it, `got` and `expected` are what stands there."""

    phrase: str
    got: Any
    expected: Any
    path: tuple = ()

    @property
    def sentence(self) -> str:
        """The phrase with its path before it, so that it reads forwards."""
        steps = [f"for {key!r}" if isinstance(key, str) else f"in item {key}" for key in self.path]
        return f"{', '.join(steps)}: {self.phrase}" if steps else self.phrase


def difference(got: Any, expected: Any, tolerance: float) -> str | None:
    """What `got` is instead of `expected`, in words; None where they are equal."""
    found = first_difference(got, expected, tolerance)
    return found and found.sentence


def first_difference(got: Any, expected: Any, tolerance: float, path: tuple = ()) -> Difference | None:
    """Where `got` is not `expected`; None where it is.

    Numbers may differ by tolerance * (1 + |expected|). A list may stand for a tuple, a tensor without dimensions, a
    fraction or a number of numpy for a number; True is no 1, and a mask has truth values.
    """
    got = plain(got, expected)
    phrase = None
    if expected is None or isinstance(expected, bool | str):
        same = got is expected if not isinstance(expected, str) else isinstance(got, str) and got == expected
        phrase = None if same else f"{show(got)} instead of {show(expected)}"
    elif got is None:
        phrase = f"None instead of {kind(expected)}"
    elif isinstance(expected, torch.Tensor):
        phrase = of_tensors(got, expected, tolerance)
    elif isinstance(expected, int | float):
        phrase = of_numbers(got, expected, tolerance)
    elif isinstance(expected, dict):
        if not isinstance(got, dict):
            phrase = f"{kind(got)} instead of {kind(expected)}"
        elif set(got) != set(expected):
            phrase = f"a dict with the keys {list(got)} instead of {list(expected)}"
        else:
            return of_items(got, expected, list(expected), tolerance, path)
    elif isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple | range):
            phrase = f"{kind(got)} instead of {kind(expected)}"
        elif len(got) != len(expected):
            phrase = f"{kind(got)} of {len(got)} instead of {len(expected)}"
        else:
            return of_items(got, expected, range(len(expected)), tolerance, path)
    elif got != expected:
        phrase = f"{show(got)} instead of {show(expected)}"
    return phrase and Difference(phrase, got, expected, path)


def plain(got: Any, expected: Any) -> Any:
    """`got` as a number of Python where it is one in another dress and no tensor is wanted."""
    if isinstance(got, numpy.generic):
        return got.item()
    if isinstance(got, Fraction):
        return int(got) if got.denominator == 1 else float(got)
    if isinstance(got, torch.Tensor) and not got.dim() and not isinstance(expected, torch.Tensor):
        return got.item()
    if isinstance(expected, torch.Tensor) and not expected.dim() and type(got) in (int, float):
        return torch.tensor(got)
    return got


def of_items(got: Any, expected: Any, keys: Any, tolerance: float, path: tuple) -> Difference | None:
    """The first difference among the items."""
    for key in keys:
        found = first_difference(got[key], expected[key], tolerance, (*path, key))
        if found is not None:
            return found
    return None


def of_numbers(got: Any, expected: float, tolerance: float) -> str | None:
    if isinstance(got, bool) or not isinstance(got, int | float):
        return f"{kind(got)} instead of the number {show(expected)}"
    if isinstance(got, int) and isinstance(expected, int) and not tolerance:
        return None if got == expected else f"{got} instead of {expected}"  # exact also beyond 2**53
    got, expected = (torch.tensor(value, dtype=torch.float64) for value in (got, expected))
    return of_tensors(got, expected, tolerance)


def of_tensors(got: Any, expected: torch.Tensor, tolerance: float) -> str | None:
    """The worst of the numbers and where it is, a wrong shape, another kind of number, or nan."""
    if not isinstance(got, torch.Tensor):
        return f"{kind(got)} instead of a tensor of shape {tuple(expected.shape)}"
    if got.shape != expected.shape:
        return f"the shape {tuple(got.shape)} instead of {tuple(expected.shape)}"
    if type_phrase := of_types(got.dtype, expected.dtype):
        return type_phrase
    truth = expected.dtype == torch.bool
    got, expected = got.detach().double().cpu(), expected.detach().double().cpu()
    error = (got - expected).abs().masked_fill(got == expected, 0.0)  # inf - inf is nan
    error = error.masked_fill(got.isnan() & expected.isnan(), 0.0).nan_to_num(torch.inf, torch.inf)
    wrong = error > tolerance * (1 + expected.abs().nan_to_num(0.0, 0.0))
    if not wrong.any():
        return None
    worst = int(error.masked_fill(~wrong, -1.0).argmax())
    where = [int(index) for index in torch.unravel_index(torch.tensor(worst), expected.shape)]
    values = [show(tensor.flatten()[worst].item()) for tensor in (got, expected)]
    if truth:
        values = [str(tensor.flatten()[worst].item() != 0) for tensor in (got, expected)]
    if values[0] == values[1]:
        values = [repr(tensor.flatten()[worst].item()) for tensor in (got, expected)]
    phrase = f"{values[0]} instead of {values[1]}"
    if not expected.dim():
        return phrase
    if expected.numel() == 1:
        return f"{phrase} at {where}"
    return f"{phrase} at {where}, the worst of {expected.numel()} numbers ({int(wrong.sum())} are wrong)"


def of_types(got: torch.dtype, expected: torch.dtype) -> str | None:
    """Truth values are no numbers, codes no fractions; a float may be wider than asked for, not narrower."""
    whole = not got.is_floating_point and not expected.is_floating_point
    truth = (got == torch.bool) != (expected == torch.bool)
    fraction = got.is_floating_point and not expected.is_floating_point
    narrow = got in NARROW and expected.is_floating_point and expected not in NARROW
    if (truth and (whole or fraction or got == torch.bool)) or fraction or narrow:
        return f"numbers of type {short(got)} instead of {short(expected)}"
    return None


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def kind(value: Any) -> str:
    """What kind of thing a value is, with its article."""
    if isinstance(value, bool):
        return show(value)
    if isinstance(value, int | float):
        return f"the number {show(value)}"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}" if value.dim() else "a tensor without dimensions"
    return NAMES.get(type(value).__name__, f"something of type {type(value).__name__}")


def show(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.6g}" if value != round_or_none(value) or abs(value) >= 1e15 else f"{int(value)}"
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def round_or_none(value: float) -> float | None:
    """The whole number next to `value`; None for nan and the infinities."""
    return round(value) if abs(value) < float("inf") else None
