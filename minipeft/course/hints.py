"""Hints, one at a time: for the first exercise of a chapter that is not done, or for one that is named.

Each can be read again, and none is used up by a file that does not load.
"""

from pathlib import Path

from minipeft.course.chapters import Chapter
from minipeft.course.loading import load_exercise
from minipeft.course.progress import WITH_LIBRARY, exercise_states
from minipeft.course.verdicts import DONE
from minipeft.errors import UserError
from minipeft.files import read_json, write_json


def next_hint(chapter: Chapter, exercise: str, given: Path) -> tuple[int, str]:
    """The number and the words of the hint after the last one given; after the third, the third again.

    given: the file that remembers how many hints were given. The exercise asked about last stands last in it.
    """
    counts = remembered(given)
    key, hints = key_of(chapter, exercise), chapter.hints[exercise]
    number = min(count(counts, key), len(hints) - 1)
    write_json(given, {name: value for name, value in counts.items() if name != key} | {key: number + 1})
    return number + 1, hints[number]


def hints_given(chapter: Chapter, exercise: str | None, given: Path) -> tuple[str, list[str]]:
    """The exercise, which is that of the last hint where none is named, and all of its hints that were given already.

    Raises UserError where there is none.
    """
    counts, prefix = remembered(given), f"{chapter.folder.name}/"
    asked = [key.removeprefix(prefix) for key in counts if key.startswith(prefix) and count(counts, key)]
    asked = [name for name in asked if name in chapter.exercises]
    exercise = exercise or (asked[-1] if asked else None)
    hints = chapter.hints[exercise][: count(counts, key_of(chapter, exercise))] if exercise else []
    if not hints:
        about = exercise or chapter.folder.name
        raise UserError(f"No hint has been given for {about} yet: python -m minipeft hint {chapter.number} gives one.")
    return exercise, hints


def remembered(given: Path) -> dict:
    return read_json(given, "delete it, and the hints begin anew") if given.exists() else {}


def key_of(chapter: Chapter, exercise: str) -> str:
    return f"{chapter.folder.name}/{exercise}"


def count(counts: dict, key: str) -> int:
    """How many hints were given; 0 for whatever else somebody may have written there."""
    number = counts.get(key, 0)
    return number if type(number) is int and number >= 0 else 0


def choose(chapter: Chapter, exercise: str | None) -> str | None:
    """The exercise that needs a hint; None where all are done.

    Raises UserError for a name that is not there, and, with its one sentence, where exercise.py does not load: no hint
    helps there, so none is used up.
    """
    require_exercise(chapter, exercise)
    if exercise is None:
        done = (DONE, WITH_LIBRARY)
        return next((name for name, state in exercise_states(chapter).items() if state not in done), None)
    load_exercise(chapter.folder / "exercise.py")
    return exercise


def require_exercise(chapter: Chapter, exercise: str | None) -> None:
    if exercise is not None and exercise not in chapter.exercises:
        raise UserError(f"{chapter.folder.name} has no exercise {exercise!r}, only {', '.join(chapter.exercises)}.")
