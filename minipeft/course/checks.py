"""How the test of an exercise judges an answer, and the four lines that it prints when the answer is wrong.

What should hold: y = W x + (alpha / rank) B A x
Inputs: x (3, 5), W (4, 5), A (2, 5), B (4, 2), alpha = 6.0
Got 1.25 instead of 2.5 at [0, 2], the worst of 12 numbers (9 are wrong).
Likely: this is what you get when alpha / rank is forgotten; see "The mathematics" in lessons/13_lora/README.md
"""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from minipeft.course.differences import difference
from minipeft.course.wrong_answers import wrong_answers, wrong_module
from minipeft.errors import one_line

MOST_NAMES = 3  # so many known mistakes are named where several give the same


class ToDo(Exception):
    """The answer is still the stub."""


class WrongResult(AssertionError):
    """An answer that is wrong; the message is the four lines."""


@dataclass(frozen=True)
class Outcome:
    """What an answer gave: a value or an exception."""

    value: Any = None
    error: Exception | None = None


def check(
    answers: ModuleType,
    run: Callable[[ModuleType], Any],
    expected: Any,
    *,
    holds: str,
    inputs: dict[str, Any],
    section: str,
    likely: str,
    tolerance: float = 1e-5,
) -> None:
    """Raise WrongResult unless `run(answers)` is `expected`, ToDo where the stub is untouched.

    run: may be called again, on modules with known mistakes; all that varies goes in through it, random seeds too.
    expected: tensor, number, bool, str, or list, tuple, dict of these. holds, inputs, section, likely: what the four
    lines say. tolerance: relative and absolute; 0 for exact.
    """
    outcome = attempt(run, answers)
    phrase = complaint(outcome, expected, tolerance)
    if phrase is None:
        return
    folder = Path(answers.__file__).parent
    names = same_mistakes(outcome, run, folder, min(tolerance, 1e-4))
    if names:
        likely = f"this is what you get when {', or when '.join(names[:MOST_NAMES])}"
    elif outcome.error is not None:
        likely = "the code stops there on these inputs"
    elif outcome.value is None:
        likely = "the value is computed but not returned"
    lines = (
        f"What should hold: {holds}",
        f"Inputs: {', '.join(describe(name, value) for name, value in inputs.items())}",
        phrase,
        f'Likely: {likely}; see "{section}" in lessons/{folder.name}/README.md',
    )
    raise WrongResult("\n".join(lines)) from None


def accepts(test: Callable[[Any], None], implementation: Any) -> bool:
    """Whether a student's own test lets `implementation` pass: it returns, and raises no AssertionError."""
    try:
        test(implementation)
    except AssertionError:
        return False
    return True


def attempt(run: Callable[[ModuleType], Any], answers: ModuleType) -> Outcome:
    """Run the answer; ToDo where nothing has been written yet."""
    try:
        value = run(answers)
    except NotImplementedError as error:
        if traceback.extract_tb(error.__traceback__)[-1].filename == answers.__file__:
            raise ToDo from None
        return Outcome(error=error)
    except Exception as error:
        if isinstance(error, TypeError) and "ellipsis" in str(error):
            raise ToDo from None
        return Outcome(error=error)
    if holds_ellipsis(value):
        raise ToDo
    return Outcome(value)


def holds_ellipsis(value: Any) -> bool:
    """Whether a `...` that was to be replaced is still there."""
    if isinstance(value, dict):
        value = list(value.values())
    return value is ... or (isinstance(value, list | tuple) and any(holds_ellipsis(item) for item in value))


def complaint(outcome: Outcome, expected: Any, tolerance: float) -> str | None:
    """The third line; None where the outcome is as expected."""
    if outcome.error is None:
        phrase = difference(outcome.value, expected, tolerance)
        return phrase and f"Got {phrase}."
    return f"Got no result but {type(outcome.error).__name__}: {one_line(outcome.error)}{place(outcome.error)}."


def place(error: Exception) -> str:
    """The line of the student's file at which an exception left it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith("exercise.py")]
    own = [frame for frame in frames if not Path(frame.filename).name.startswith("test_")]
    return f" (line {own[-1].lineno} of exercise.py: {own[-1].line})" if own else ""


def same_mistakes(outcome: Outcome, run: Callable, folder: Path, tolerance: float) -> list[str]:
    """The names of the known wrong answers to the exercise under test that give the same outcome."""
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_name.startswith("test_"):
        frame = frame.f_back
    test = frame.f_code.co_name if frame else ""
    names = []
    for wrong in wrong_answers(folder.name):
        if not test.startswith(f"test_{wrong.exercise}_"):
            continue
        other = attempt(run, wrong_module(wrong, folder))
        if outcome.error is not None or other.error is not None:
            same = repr(outcome.error) == repr(other.error)
        else:
            same = difference(outcome.value, other.value, tolerance) is None
        names += [wrong.name] if same else []
    return names


def describe(name: str, value: Any) -> str:
    """An input for the second line: the shape of a tensor, the value of a small thing."""
    if isinstance(value, torch.Tensor) and value.dim():
        return f"{name} {tuple(value.shape)}"
    if isinstance(value, torch.nn.Module):
        return f"{name}: {type(value).__name__}"
    text = repr(value.item() if isinstance(value, torch.Tensor) else value)
    return f"{name} = {text if len(text) < 70 else text[:66] + ' ...'}"
