"""An exercise judged as a whole.

Its message is that of the first of its tests that fails. A known mistake is named only where every test of the
exercise, those that pass too, comes out as it does with that mistake.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from minipeft.course.chapters import Chapter
from minipeft.course.checks import Finding, ToDo, recording
from minipeft.course.differences import difference
from minipeft.course.watchdog import EndlessLoop
from minipeft.course.watching import Outcome
from minipeft.course.wrong_answers import WrongAnswer, wrong_answers, wrong_module
from minipeft.errors import one_line

DONE, WRONG, TO_DO = "done", "wrong", "to do"
MOST_NAMES = 3  # so many known mistakes are named where several give the same
Findings = dict[str, Sequence[Finding] | None]  # of each test; None where it is to do


@dataclass(frozen=True)
class Verdict:
    """What an exercise came to. tests: the state of each of its tests. message: what a wrong one gets to read."""

    tests: dict[str, str]
    message: str = ""


def tests_of(chapter: Chapter, exercise: str) -> dict[str, Callable]:
    return {name: test for name, test in chapter.tests().items() if chapter.exercise_of(name) == exercise}


def findings_of(tests: dict[str, Callable], answers: ModuleType) -> Findings:
    """All that the tests of an exercise find in `answers`; after an endless loop the others are not waited for."""
    found: Findings = {}
    for name, test in tests.items():
        found[name] = findings_of_test(name, test, answers)
        if endless(found[name]):
            return dict.fromkeys(tests, found[name]) | found
    return found


def findings_of_test(name: str, test: Callable, answers: ModuleType) -> Sequence[Finding] | None:
    with recording() as findings:
        try:
            test(answers)
        except ToDo:
            return None
        except (Exception, SystemExit) as error:  # of the test itself, outside any check
            lines = (f"{name} stops: {type(error).__name__}: {one_line(error)}",)
            findings.append(Finding(Outcome(error=error), 0.0, lines, "", nameable=False))
    return tuple(findings)


def endless(findings: Sequence[Finding] | None) -> bool:
    return any(isinstance(finding.outcome.error, EndlessLoop) for finding in findings or ())


def verdict(chapter: Chapter, exercise: str, answers: ModuleType, tests: dict[str, Callable] | None = None) -> Verdict:
    """The state of every test of an exercise, and the one message for those that fail."""
    tests = tests_of(chapter, exercise) if tests is None else tests
    return verdict_on(findings_of(tests, answers), chapter, exercise, tests)


def verdict_on(found: Findings, chapter: Chapter, exercise: str, tests: dict[str, Callable]) -> Verdict:
    """The verdict that follows from what all tests of the exercise found."""
    states = {name: TO_DO if findings is None else WRONG if first_wrong(findings) else DONE
              for name, findings in found.items()}  # fmt: skip
    failing = [name for name, state in states.items() if state == WRONG]
    if not failing:
        return Verdict(states)
    first = first_wrong(found[failing[0]])
    lines = list(first.lines)
    names = same_mistakes(chapter.folder, exercise, tests, found) if first.nameable else []
    if names:
        where = f'see "{first.section}" in lessons/{chapter.folder.name}/README.md'
        lines[-1] = f"This is what you get when {', or when '.join(names[:MOST_NAMES])}; {where}"
    if len(failing) > 1 and not isinstance(first.outcome.error, EndlessLoop):
        rest = len(failing) - 1
        lines.append(f"{rest} more of its tests {'fail' if rest > 1 else 'fails'}.")
    return Verdict(states, "\n".join(lines))


def first_wrong(findings: Sequence[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.lines), None)


def same_mistakes(folder: Path, exercise: str, tests: dict[str, Callable], found: Findings) -> list[str]:
    """The known wrong answers with which every test comes out as it did here, so far as there are values to compare."""
    wrong = [finding for findings in found.values() for finding in findings or () if finding.lines]
    if all(finding.outcome.error is not None for finding in wrong):
        return []  # an exception is no fingerprint: many mistakes stop with the same words
    known = [mistake for mistake in wrong_answers(folder.name) if mistake.exercise == exercise]
    return [mistake.name for mistake in known if all_the_same(found, findings_of_mistake(mistake, folder, tests))]


def findings_of_mistake(mistake: WrongAnswer, folder: Path, tests: dict[str, Callable]) -> Findings:
    """What the tests find in a known wrong answer; kept, as every message of the exercise asks for it."""
    return kept_findings(mistake, folder, tuple(tests.items()))


@cache
def kept_findings(mistake: WrongAnswer, folder: Path, tests: tuple) -> Findings:
    return findings_of(dict(tests), wrong_module(mistake, folder))


def all_the_same(one: Findings, other: Findings) -> bool:
    """Whether two answers came out alike in every check of every test."""
    return all(alike(findings, other[name]) for name, findings in one.items())


def alike(one: Sequence[Finding] | None, other: Sequence[Finding] | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return one is other
    return all(map(same_finding, one, other))


def same_finding(one: Finding, other: Finding) -> bool:
    if not one.lines or not other.lines:
        return bool(one.lines) == bool(other.lines)
    first, second = one.outcome, other.outcome
    if first.error is not None or second.error is not None:
        return repr(first.error) == repr(second.error)
    if first.breach and not first.breach == second.breach:
        return False
    return difference(first.value, second.value, min(one.tolerance, 1e-4)) is None
