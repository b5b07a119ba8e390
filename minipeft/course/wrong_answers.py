"""Wrong answers that are known by name: small edits of a chapter's solution.

They stand in `tests/wrong_answers/NN_name.py`, apart from the exercises. A test that fails runs them on its own inputs,
and when one gives what the student's answer gave, the failure says which mistake that is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from minipeft.course.chapters import LESSONS, ROOT, load_answers

WRONG_ANSWERS = ROOT / "tests" / "wrong_answers"


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake. `name` completes the sentence "this is what you get when ...".

    edits: (old, new) pairs on the text of solution.py; each old text stands there exactly once.
    """

    name: str
    exercise: str
    edits: Sequence[tuple[str, str]]

    def applied_to(self, solution: str) -> str:
        """The text of the solution with this mistake in it."""
        for old, new in self.edits:
            if solution.count(old) != 1:
                raise ValueError(f"{self.name!r}: {old!r} stands {solution.count(old)} times in the solution, not once")
            solution = solution.replace(old, new)
        return solution

    def __hash__(self) -> int:
        return hash((self.name, self.exercise))


@cache
def wrong_answers(chapter: str, folder: Path | None = None) -> tuple[WrongAnswer, ...]:
    """The known mistakes of a chapter by its folder's name; none where there is no such file."""
    file = (folder or WRONG_ANSWERS) / f"{chapter}.py"
    return tuple(load_answers(file).WRONG) if file.exists() else ()


@cache
def wrong_module(wrong: WrongAnswer, chapter: Path) -> ModuleType:
    """The solution in the folder `chapter` with the mistake in it, loaded."""
    file = chapter / "solution.py"
    file = file if file.exists() else LESSONS / chapter.name / "solution.py"
    return load_answers(file, wrong.applied_to(file.read_text(encoding="utf-8")))
