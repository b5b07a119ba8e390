"""Hints, one at a time: for the first exercise of a chapter that is not done, or for one that is named."""

from pathlib import Path

from minipeft.course.chapters import Chapter
from minipeft.course.progress import DONE, exercise_states
from minipeft.errors import UserError
from minipeft.files import read_json, write_json


def next_hint(chapter: Chapter, exercise: str, given: Path) -> tuple[int, str]:
    """The number and the words of the hint after the last one given; after the third, the third again.

    given: the file that remembers how many hints were given.
    """
    counts = read_json(given, "delete it, and the hints begin anew") if given.exists() else {}
    key, hints = f"{chapter.folder.name}/{exercise}", chapter.hints[exercise]
    before = counts.get(key, 0)
    number = min(before, len(hints) - 1) if type(before) is int and before >= 0 else 0
    write_json(given, {**counts, key: number + 1})
    return number + 1, hints[number]


def choose(chapter: Chapter, exercise: str | None) -> str | None:
    """The exercise that needs a hint; None where all are done. Raises UserError for a name that is not there."""
    if exercise is None:
        return next((name for name, state in exercise_states(chapter).items() if state != DONE), None)
    if exercise not in chapter.exercises:
        raise UserError(f"{chapter.folder.name} has no exercise {exercise!r}, only {', '.join(chapter.exercises)}.")
    return exercise
