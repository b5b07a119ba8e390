"""What an answer gave, compared with what it should have given, in words that follow "Got"."""

from typing import Any

import torch

NAMES = {"dict": "a dict", "list": "a list", "tuple": "a tuple", "str": "a string", "Tensor": "a tensor"}


def difference(got: Any, expected: Any, tolerance: float) -> str | None:
    """What `got` is instead of `expected`; None where they are equal.

    Numbers may differ by tolerance * (1 + |expected|). A list may stand for a tuple, a tensor without dimensions for a
    number; True is no 1.
    """
    if isinstance(got, torch.Tensor) and not got.dim() and not isinstance(expected, torch.Tensor):
        got = got.item()
    if expected is None or isinstance(expected, bool | str):
        same = got is expected if not isinstance(expected, str) else got == expected
        return None if same else f"{show(got)} instead of {show(expected)}"
    if got is None:
        return f"None instead of {kind(expected)}"
    if isinstance(expected, torch.Tensor):
        return of_tensors(got, expected, tolerance)
    if isinstance(expected, int | float):
        return of_numbers(got, expected, tolerance)
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return f"{kind(got)} instead of {kind(expected)}"
        if set(got) != set(expected):
            return f"a dict with the keys {list(got)} instead of {list(expected)}"
        return of_items(got, expected, list(expected), tolerance)
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple):
            return f"{kind(got)} instead of {kind(expected)}"
        if len(got) != len(expected):
            return f"{kind(got)} of {len(got)} instead of {len(expected)}"
        return of_items(got, expected, range(len(expected)), tolerance)
    return None if got == expected else f"{show(got)} instead of {show(expected)}"


def of_items(got: Any, expected: Any, keys: Any, tolerance: float) -> str | None:
    """The first difference among the items, and where it is."""
    for key in keys:
        phrase = difference(got[key], expected[key], tolerance)
        if phrase is not None:
            return f"{phrase}, for {key!r}" if isinstance(key, str) else f"{phrase}, in item {key}"
    return None


def of_numbers(got: Any, expected: float, tolerance: float) -> str | None:
    if isinstance(got, bool) or not isinstance(got, int | float):
        return f"{kind(got)} instead of the number {show(expected)}"
    return of_tensors(torch.tensor(got, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), tolerance)


def of_tensors(got: Any, expected: torch.Tensor, tolerance: float) -> str | None:
    """The worst of the numbers and where it is, a wrong shape, or nan."""
    if not isinstance(got, torch.Tensor):
        return f"{kind(got)} instead of a tensor of shape {tuple(expected.shape)}"
    if got.shape != expected.shape:
        return f"the shape {tuple(got.shape)} instead of {tuple(expected.shape)}"
    got, expected = got.detach().double().cpu(), expected.detach().double().cpu()
    error = (got - expected).abs().masked_fill(got == expected, 0.0)  # inf - inf is nan
    error = error.masked_fill(got.isnan() & expected.isnan(), 0.0).nan_to_num(torch.inf, torch.inf)
    wrong = error > tolerance * (1 + expected.abs().nan_to_num(0.0, 0.0))
    if not wrong.any():
        return None
    worst = int(error.masked_fill(~wrong, -1.0).argmax())
    where = [int(index) for index in torch.unravel_index(torch.tensor(worst), expected.shape)]
    values = [show(tensor.flatten()[worst].item()) for tensor in (got, expected)]
    if values[0] == values[1]:
        values = [repr(tensor.flatten()[worst].item()) for tensor in (got, expected)]
    phrase = f"{values[0]} instead of {values[1]}"
    if not expected.dim():
        return phrase
    return f"{phrase} at {where}, the worst of {expected.numel()} numbers ({int(wrong.sum())} are wrong)"


def kind(value: Any) -> str:
    """What kind of thing a value is, with its article."""
    if isinstance(value, bool):
        return show(value)
    if isinstance(value, int | float):
        return f"the number {show(value)}"
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
