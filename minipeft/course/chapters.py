"""The chapters of the course as they lie on disk, and loading the answers in them.

A chapter is a folder `NN_name` with README.md, exercise.py, test_exercise.py, solution.py and hints.json. A folder
without README.md is a chapter still planned: its experiments may stand there already. Everything is found beside the
file at hand, so a copy of `lessons/` in another place works as well.
"""

import ast
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from minipeft.errors import UserError, one_line
from minipeft.files import read_json
from minipeft.paths import REPOSITORY

ROOT = REPOSITORY
LESSONS = ROOT / "lessons"
AGAIN = "get the chapter's files again, with git checkout"
FOLDER = re.compile(r"\d\d_\w+")
FILES = ("README.md", "exercise.py", "test_exercise.py", "solution.py", "hints.json")
SECTIONS = ("The question", "The picture", "The mathematics", "The code", "What we measured", "Exercises", "Questions",
            "What people get wrong", "Where to read on")  # fmt: skip


def load_answers(
    file: Path, source: str | None = None, tree: ast.Module | None = None, names: dict | None = None
) -> ModuleType:
    """`file` (or `source` in its place) run as a fresh module whose `__file__` is `file` and `__source__` its text.

    tree: what is run in place of the text. names: what stands in the module before it runs.
    """
    text = file.read_text(encoding="utf-8") if source is None else source
    name = f"{file.stem}_{file.parent.name}" + ("" if source is None else f"_{abs(hash(source))}")
    module = ModuleType(name)
    module.__file__ = str(file)
    module.__dict__.update(names or {}, __source__=text)
    sys.modules[name] = module  # dataclasses look their module up there
    exec(compile(tree or text, str(file), "exec"), module.__dict__)
    return module


def beside(file: str, name: str = "experiment.py") -> ModuleType:
    """The file `name` in the folder of `file`: lessons are no package, so they do not import one another."""
    return load_answers(Path(file).with_name(name))


@dataclass(frozen=True)
class Chapter:
    """One folder of the course."""

    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name[:2])

    @property
    def text(self) -> str:
        """The chapter itself, README.md."""
        return (self.folder / "README.md").read_text(encoding="utf-8")

    @property
    def results(self) -> dict:
        """What its experiment measured; empty where it has none."""
        file = self.folder / "results.json"
        return read_json(file, AGAIN) if file.exists() else {}

    @property
    def hints(self) -> dict[str, list[str]]:
        """Three hints for each exercise, in the order of the chapter."""
        file = self.folder / "hints.json"
        hints = read_json(file, AGAIN)
        for words in hints.values():
            if not words or not isinstance(words, list) or not all(isinstance(hint, str) for hint in words):
                raise UserError(f"{file} does not hold a list of hints for each exercise: {AGAIN}.")
        return hints

    @property
    def exercises(self) -> list[str]:
        """The names of the exercises, lower case, in the order of the chapter."""
        return list(self.hints)

    def answers(self, file: str = "exercise.py") -> ModuleType:
        return load_answers(self.folder / file)

    def tests(self) -> dict[str, Callable[[ModuleType], None]]:
        """The functions of test_exercise.py by name, in their order."""
        file = self.folder / "test_exercise.py"
        try:
            names = vars(load_answers(file))
        except Exception as error:  # whatever stands in the file now
            raise UserError(f"{file} cannot be run ({one_line(error)}): {AGAIN}.") from error
        return {name: value for name, value in names.items() if name.startswith("test_")}

    def exercise_of(self, test: str) -> str:
        """The exercise that a test is about: the longest name that it starts with."""
        return exercise_of(test, self.exercises)


def exercise_of(test: str, exercises: list[str]) -> str:
    """`test_lora_output_is_zero_at_first` is about `lora_output`."""
    fitting = [name for name in exercises if test.startswith(f"test_{name}_")]
    if not fitting:
        raise UserError(f"{test} starts with the name of no exercise: {', '.join(exercises)}")
    return max(fitting, key=len)


def chapters(lessons: Path = LESSONS) -> list[Chapter]:
    """All written chapters, in their order. Raises UserError where there is no such folder."""
    if not lessons.is_dir():
        raise UserError(
            f"There is no folder {lessons}. The course is not part of the installed package: clone the project, and "
            "name its lessons/ with --lessons."
        )
    written = sorted(file.parent for file in lessons.glob("*/README.md"))
    return [Chapter(folder) for folder in written if FOLDER.fullmatch(folder.name)]


def find_chapter(text: str, lessons: Path = LESSONS) -> Chapter:
    """The chapter that `13`, `lora` or `13_lora` names."""
    there = chapters(lessons)
    for chapter in there:
        number, name = chapter.folder.name.split("_", 1)
        if text in (number, number.lstrip("0"), name, chapter.folder.name):
            return chapter
    known = ", ".join(chapter.folder.name for chapter in there) or f"none yet in {lessons}"
    raise UserError(f"There is no chapter {text!r}; there are {known}.")
