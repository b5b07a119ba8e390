"""Judging a test that a student wrote: which implementations it lets through, and which it refuses.

Everything random is seeded before each call, so that the verdict is the same each time. All that was let through and
all that was refused though it is right is listed, and what kind of test it is that says nothing.
"""

import ast
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import torch

from minipeft.course.checks import Finding, ToDo, is_to_do, report
from minipeft.course.watchdog import EndlessLoop, watchdog
from minipeft.course.watching import Missing, Outcome
from minipeft.errors import one_line

LETS, REFUSES, STOPS, SAYS, CRASHES = "lets through", "refuses", "stops", "says", "crashes"


@dataclass(frozen=True)
class Judged:
    """What a student's test did with one implementation, and what there is to say about that."""

    what: str
    words: str = ""


def prove(
    answers: ModuleType, name: str, right: dict[str, Any], wrong: dict[str, Any], *, holds: str, section: str
) -> None:
    """Report whether the student's test `name` lets all of `right` pass and none of `wrong`.

    right, wrong: implementations by what they are, as in "one that loses the last token".
    """
    test = getattr(answers, name, None)
    if not callable(test):
        found = Outcome(error=Missing(name))
        lines = (f"What should hold: {holds}", f"Got no result: there is no `{name}` in exercise.py any more.")
        report(Finding(found, 0.0, lines, section, nameable=False))
        return
    if compares_with_gap(answers.__source__, name):
        raise ToDo
    judged = {key: judge_one(test, implementation, answers) for key, implementation in (right | wrong).items()}
    passed = [key for key in wrong if judged[key].what in (LETS, SAYS)]
    refused = [key for key in right if judged[key].what == REFUSES]
    # A wrong implementation that crashes by itself on the student's inputs is seen to be wrong.
    stops = {key: (STOPS, CRASHES) if key in right else (STOPS,) for key in judged}
    stopped = {key: judged[key].words for key in judged if judged[key].what in stops[key]}
    said = [key for key in judged if judged[key].what == SAYS]
    lines = None
    if passed or refused or stopped:
        what = [f"lets pass, though wrong: {'; '.join(passed)}"] if passed else []
        what += [f"refuses, though right: {'; '.join(refused)}"] if refused else []
        if stopped:
            first = next(iter(stopped))
            what.append(f"stops in place of an assert, with {stopped[first]}, on: {'; '.join(stopped)}")
        where = f'see "{section}" in lessons/{Path(answers.__file__).parent.name}/README.md'
        lines = (
            f"What should hold: {holds}",
            f"Inputs: {len(right)} right and {len(wrong)} wrong implementations",
            f"Your test {'. It '.join(what)}.",
            " ".join([*kinds_of_nothing(answers.__source__, name, bool(said)), f"{where[0].upper()}{where[1:]}"]),
        )
    report(Finding(Outcome({key: judged[key].what for key in judged}), 0.0, lines, section, nameable=False))


def judge_one(test: Callable[[Any], Any], implementation: Any, answers: ModuleType) -> Judged:
    """Run the student's test on one implementation, with everything seeded, and every random state put back."""
    states = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)  # torch.manual_seed also writes down, for CUDA, who called it
        random.seed(0)
        numpy.random.seed(0)
        try:
            with watchdog(answers.__file__):
                said = test(implementation)
        except AssertionError:
            return Judged(REFUSES)
        except (Exception, SystemExit, EndlessLoop) as error:
            if is_to_do(error, answers.__file__):
                raise ToDo from None
            what = CRASHES if in_implementation(error, answers.__file__) else STOPS
            return Judged(what, of_stop(error, answers.__file__))
        finally:
            random.setstate(states[0])
            numpy.random.set_state(states[1])
    if said is ...:
        raise ToDo
    return Judged(LETS if said is None else SAYS)


def in_implementation(error: BaseException, file: str) -> bool:
    """Whether an exception comes out of the implementation that is tested, and not out of the test in `file`."""
    names = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = [name for name in names if name == file or Path(name).name == "test_exercise.py"]
    return isinstance(error, Exception) and bool(own) and own[-1] != file


def of_stop(error: BaseException, file: str) -> str:
    """The error and the line of the student's file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{type(error).__name__} ({one_line(error)}){f' at line {lines[-1]}' if lines else ''}"


def kinds_of_nothing(source: str, name: str, said: bool) -> list[str]:
    """What can be seen in the text of the test `name` that lets things through: sentences."""
    tops = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name]
    nodes = [node for top in tops for node in ast.walk(top)]
    found = ["It returns a value, which nobody looks at: write `assert` before the condition."] if said else []
    for node in nodes:
        line = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant | ast.Tuple):
            found.append(f"The assert in {line} asks about a constant, so it always comes out alike.")
        elif isinstance(node, ast.ExceptHandler) and swallows(node):
            found.append(f"The `except` in {line} swallows the AssertionError of the asserts above it.")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare):
            found.append(f"The comparison in {line} has no `assert` before it, so nothing comes of it.")
    return found


def compares_with_gap(source: str, name: str) -> bool:
    """Whether the test `name` still compares something with `...`."""
    tops = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name]
    compared = [node for top in tops for node in ast.walk(top) if isinstance(node, ast.Compare)]
    sides = [side for node in compared for side in (node.left, *node.comparators)]
    return any(isinstance(side, ast.Constant) and side.value is ... for side in sides)


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` takes an AssertionError and raises nothing in its place."""
    names = (
        [node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)] if handler.type else ["Exception"]
    )
    takes = {"Exception", "BaseException", "AssertionError"} & set(names)
    again = [node for node in ast.walk(handler) if isinstance(node, ast.Raise | ast.Assert)]
    return bool(takes) and not again
