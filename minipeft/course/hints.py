"""Hints, one at a time: for the first exercise of a chapter that is not done, or for one that is named."""

import json
from pathlib import Path

from minipeft.course.chapters import Chapter
from minipeft.course.progress import DONE, exercise_states
from minipeft.errors import UserError
from minipeft.files import write_json


def next_hint(chapter: Chapter, exercise: str, given: Path) -> tuple[int, str]:
    """The number and the words of the hint after the last one given; after the third, the third again.

    given: the file that remembers how many hints were given.
    """
    counts = json.loads(given.read_text(encoding="utf-8")) if given.exists() else {}
    key, hints = f"{chapter.folder.name}/{exercise}", chapter.hints[exercise]
    number = min(counts.get(key, 0), len(hints) - 1)
    write_json(given, {**counts, key: number + 1})
    return number + 1, hints[number]


def choose(chapter: Chapter, exercise: str | None) -> str | None:
    """The exercise that needs a hint; None where all are done. Raises UserError for a name that is not there."""
    if exercise is None:
        return next((name for name, state in exercise_states(chapter).items() if state != DONE), None)
    if exercise not in chapter.exercises:
        raise UserError(f"{chapter.folder.name} has no exercise {exercise!r}, only {', '.join(chapter.exercises)}.")
    return exercise
