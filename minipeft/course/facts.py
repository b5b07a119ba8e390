"""What can be computed about a wrong value, without a guess at its cause: sign, factor, place, order, type."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import torch

CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def facts(got: Any, expected: Any, arguments: dict[str, Any]) -> Iterator[str]:
    """Sentences without a full stop, each true of `got` and `expected`, the most telling first.

    arguments: of the call that gave it, by name: one of them may have come back.
    """
    if got is None:
        yield "nothing comes back: is a `return` missing?"
        return
    yield from same_as_argument(got, arguments)
    if isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        yield from of_lists(list(got), list(expected))
    elif isinstance(got, bool) or isinstance(expected, bool):
        return
    elif isinstance(got, torch.Tensor) and isinstance(expected, torch.Tensor):
        yield from of_tensors(got.detach().cpu(), expected.detach().cpu())
    elif isinstance(got, int | float) and isinstance(expected, int | float):
        yield from of_numbers(got, expected)


def same_as_argument(got: Any, arguments: dict[str, Any]) -> Iterator[str]:
    for name, value in arguments.items():
        both = isinstance(got, torch.Tensor) and isinstance(value, torch.Tensor) and got.shape == value.shape
        if both and got.dim() and got.dtype == value.dtype and torch.equal(got, value):
            yield f"this is `{name}` as it was given"


def of_lists(got: list, expected: list) -> Iterator[str]:
    """What two lists have in common."""
    if len(got) == len(expected) + 1 and expected in (got[1:], got[:-1]):
        yield f"one item too many stands at the {'end' if expected == got[:-1] else 'beginning'}"
    elif len(got) == len(expected) - 1 and got in (expected[1:], expected[:-1]):
        yield f"the {'last' if got == expected[:-1] else 'first'} item is missing"
    elif len(got) > 1 and got == expected[::-1]:
        yield "the items are right, but in the opposite order" if len(got) > 2 else "the two are exchanged"
    elif len(got) > 2 and got[1:] == expected[:-1]:
        yield "the items stand one place too far back"
    elif len(got) > 2 and got[:-1] == expected[1:]:
        yield "the items stand one place too far in front"
    elif len(got) > 1 and sorted(map(repr, got)) == sorted(map(repr, expected)):
        yield "the items are right, but in another order"


def of_numbers(got: float, expected: float) -> Iterator[str]:
    if got == -expected:
        yield "it has the other sign"
    elif isinstance(got, int) and isinstance(expected, int) and abs(got - expected) == 1:
        yield f"it is one too {'large' if got > expected else 'small'}"
    elif got and abs(expected) > 4 and (factor := telling(got / expected)):
        yield f"it is {factor} what it should be"


def of_tensors(got: torch.Tensor, expected: torch.Tensor) -> Iterator[str]:
    if got.shape != expected.shape:
        yield from of_shapes(got, expected)
        return
    if got.dtype == torch.bool and expected.dtype == torch.bool:
        if torch.equal(got, ~expected):
            yield "every truth value is the opposite of what it should be"
    elif got.dim():
        yield from of_values(got.double(), expected.double())
    else:
        yield from of_numbers(got.item(), expected.item())
    if got.dim() and got.dtype != torch.bool and not torch.allclose(got.double(), expected.double(), **CLOSE):
        yield from of_places(got.double(), expected.double())


def of_shapes(got: torch.Tensor, expected: torch.Tensor) -> Iterator[str]:
    """A dimension too many or too few, or the right numbers in other dimensions."""
    if got.dim() == expected.dim() and got.dim() < 5:
        for order in permutations(range(got.dim())):
            if got.permute(order).shape == expected.shape:
                right = torch.allclose(got.permute(order).double(), expected.double(), **CLOSE)
                yield f"the dimensions are in another order{', the numbers are right' if right else ''}"
                return
        wrong = [dim for dim in range(got.dim()) if got.shape[dim] != expected.shape[dim]]
        if len(wrong) == 1 and abs(got.shape[wrong[0]] - expected.shape[wrong[0]]) == 1:
            more = got.shape[wrong[0]] > expected.shape[wrong[0]]
            yield f"dimension {wrong[0]} has one place too {'many' if more else 'few'}"
    elif got.numel() == expected.numel():
        yield "there are as many numbers as there should be, in other dimensions"
    elif got.dim() == expected.dim() - 1 and tuple(got.shape) == tuple(expected.shape[1:]):
        yield "the first dimension is missing"


def of_values(got: torch.Tensor, expected: torch.Tensor) -> Iterator[str]:
    """One sign, factor or summand for all numbers."""
    if not got.isfinite().all():
        yield f"{int((~got.isfinite()).sum())} of {got.numel()} numbers are not finite"
    elif got.numel() > 1 and not got.any():
        yield "every number is zero"
    elif torch.allclose(got, -expected, **CLOSE):
        yield "every number has the other sign"
    elif torch.allclose(got, expected, **CLOSE):
        return
    elif torch.allclose(got.abs(), expected.abs(), **CLOSE):
        yield "the sizes are right, some signs are not"
    elif got.numel() > 1 and expected.isfinite().all():
        large = expected.abs().argmax()
        factor = float(got.flatten()[large] / expected.flatten()[large])
        offset = float((got - expected).mean())
        if torch.allclose(got, factor * expected, **CLOSE) and abs(factor) > 1e-6:
            yield f"every number is {telling(factor) or f'{factor:.4g} times'} what it should be"
        elif torch.allclose(got - offset, expected, **CLOSE):
            yield f"every number is too {'large' if offset > 0 else 'small'} by {abs(offset):.4g}"


def of_places(got: torch.Tensor, expected: torch.Tensor) -> Iterator[str]:
    """The right numbers in other places, or places that are all alike."""
    for dim in range(got.dim()):
        size = got.shape[dim]
        if size > 2:
            later = torch.allclose(got.narrow(dim, 1, size - 1), expected.narrow(dim, 0, size - 1), **CLOSE)
            sooner = torch.allclose(got.narrow(dim, 0, size - 1), expected.narrow(dim, 1, size - 1), **CLOSE)
            if later != sooner:
                yield f"the numbers stand one place too far {'back' if later else 'in front'} along dimension {dim}"
                return
        if size > 1 and torch.allclose(got, expected.flip(dim), **CLOSE):
            yield f"the numbers stand in the opposite order along dimension {dim}"
            return
    if got.dim() > 1 and len(got) > 1 and (got == got[:1]).all() and not (expected == expected[:1]).all():
        yield "all rows are alike"
    elif got.unique().numel() > got.numel() / 2 > 1 and torch.allclose(
        got.flatten().sort().values, expected.flatten().sort().values, **CLOSE
    ):
        yield "the numbers are right, but in another order"
    elif got.dim() and len(got) > 1:
        wrong = [row for row in range(len(got)) if not torch.allclose(got[row], expected[row], **CLOSE)]
        if len(wrong) == 1:
            yield f"only row {wrong[0]} is wrong" if got.dim() > 1 else f"only number {wrong[0]} is wrong"


def telling(factor: float) -> str | None:
    """A factor that is a small whole number, or one over such a number, in words."""
    for whole in range(2, 65):
        if abs(factor - whole) < 1e-4 * whole:
            return f"{whole} times"
        if abs(factor * whole - 1) < 1e-4:
            return f"one {whole}th of" if whole > 3 else f"{'half' if whole == 2 else 'a third'} of"
    return None
