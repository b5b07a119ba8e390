"""How the test of an exercise judges an answer, and the four lines that it prints when the answer is wrong.

What should hold: y = W x + (alpha / rank) B A x
Inputs: x (3, 5), W (4, 5), A (2, 5), B (4, 2), alpha = 6.0
Got 1.25 instead of 2.5 at [0, 2], the worst of 12 numbers (9 are wrong).
Every number is half of what it should be; see "The mathematics" in lessons/13_lora/README.md

The last line says what can be computed from the value. `verdicts.py` puts the name of a known mistake in its place,
where every test of the exercise comes out as with that mistake.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from minipeft.course.complaints import complaint, describe
from minipeft.course.differences import first_difference
from minipeft.course.gradients import gradient_breach
from minipeft.course.loading import Gap
from minipeft.course.program_state import program_states
from minipeft.course.watchdog import EndlessLoop, watchdog
from minipeft.course.watching import Outcome, Watched, copied


class ToDo(Exception):
    """The answer is still the stub."""


class WrongResult(AssertionError):
    """An answer that is wrong; the message is the four lines."""


@dataclass(frozen=True)
class Finding:
    """What one check came to. lines: the four lines; None where all is right."""

    outcome: Outcome
    tolerance: float
    lines: tuple[str, ...] | None
    section: str
    nameable: bool = True  # whether the name of a known mistake may take the place of the last line


RECORDERS: list[list[Finding]] = []  # where findings go while somebody wants all of them, not the first wrong one


@contextmanager
def recording() -> Iterator[list[Finding]]:
    """All findings of the checks within: none of them raises WrongResult."""
    RECORDERS.append([])
    try:
        yield RECORDERS[-1]
    finally:
        RECORDERS.pop()


def check(
    answers: ModuleType,
    run: Callable[[ModuleType], Any],
    expected: Any,
    *,
    holds: str,
    inputs: dict[str, Any],
    section: str,
    tolerance: float = 1e-5,
    trained: Sequence[str] = (),
    may_draw: bool = False,
    secret: bool = False,
) -> None:
    """Raise WrongResult unless `run(answers)` is `expected` and no law is broken, ToDo where the stub is untouched.

    run: may be called again, on modules with known mistakes; all that varies goes in through it, random seeds too.
    expected: tensor, number, bool, str, or list, tuple, dict of these. holds, inputs, section: what the lines say.
    tolerance: relative and absolute; 0 for exact. trained: arguments that a finite gradient must reach. may_draw: the
    answer may draw from the program's own random numbers. secret: what was expected is not told, as of a prediction.
    The laws that every answer keeps are in watching.py.
    """
    outcome = attempt(run, answers, may_draw)
    found = None if outcome.error else first_difference(outcome.value, expected, tolerance)
    if not outcome.error and not found and not outcome.breach and trained:
        breach = gradient_breach(outcome.calls, trained)
        outcome = Outcome(outcome.value, None, outcome.calls, breach)
    lines = None
    if outcome.error or found or outcome.breach:
        where = f'see "{section}" in lessons/{Path(answers.__file__).parent.name}/README.md'
        phrase, fact = complaint(outcome, found, expected, answers.__file__, secret)
        lines = (
            f"What should hold: {holds}",
            f"Inputs: {', '.join(describe(name, value) for name, value in inputs.items())}",
            phrase,
            f"{fact[0].upper()}{fact[1:]}; {where}" if fact else f"{where[0].upper()}{where[1:]}",
        )
    report(Finding(outcome, tolerance, lines, section))


def report(finding: Finding) -> None:
    """Write a finding down, or raise it where nobody writes down."""
    if RECORDERS:
        RECORDERS[-1].append(finding)
    elif finding.lines:
        raise WrongResult("\n".join(finding.lines)) from None


def attempt(run: Callable[[ModuleType], Any], answers: ModuleType, may_draw: bool = False) -> Outcome:
    """Run the answer under the watchdog; ToDo where nothing has been written yet."""
    watched, states = Watched(answers), program_states()
    try:
        with watchdog(answers.__file__):
            value = run(watched)
    except (Exception, SystemExit, EndlessLoop) as error:
        if is_to_do(error, answers.__file__):
            raise ToDo from None
        return Outcome(None, error, watched._calls, None, watched._read)
    finally:
        breach = watched._breach(states, may_draw)
    if holds_gap(value):
        raise ToDo
    return Outcome(copied(value), None, watched._calls, breach)


def is_to_do(error: BaseException, file: str) -> bool:
    """Whether an exception is the stub's, or that of a `...` in the middle of an answer."""
    if isinstance(error, NotImplementedError):
        return traceback.extract_tb(error.__traceback__)[-1].filename == file
    return isinstance(error, TypeError) and ("ellipsis" in str(error) or "Gap" in str(error))


def holds_gap(value: Any) -> bool:
    """Whether a `...` that was to be replaced is still there."""
    if isinstance(value, dict):
        value = list(value.values())
    gap = value is ... or isinstance(value, Gap)
    return gap or (isinstance(value, list | tuple) and any(holds_gap(item) for item in value))
