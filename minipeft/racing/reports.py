"""The report of a race as it is read again: whether it is one, and which seeds a row has."""

import math
from pathlib import Path

from minipeft.errors import UserError, quoted
from minipeft.files import read_json, short

WHOLE = {"settings": dict, "seeds": int, "chance": int | float}  # what a report of today has besides its rows
RACED = "name a file that `compare` or an experiment wrote"


def read_race(file: str | Path, whole: bool = False) -> dict:
    """The report in `file`. whole: with settings, seeds and chance. Raises UserError for what is no race."""
    report = read_json(file, RACED)
    check_rows(report.get("rows"), short(Path(file)))
    if whole:
        missing = [name for name, kind in WHOLE.items() if not isinstance(report.get(name), kind)]
        missing += [] if missing or "task" in report["settings"] else ["task"]
        if missing:
            raise UserError(f"{short(Path(file))} is not the report of a race: it does not tell its {missing[0]}.")
    return report


def check_rows(rows: object, where: str) -> None:
    """Raise UserError, naming `where` they stand, for what are no rows: each has a name of its own and scores."""
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{where} is not the report of a race: it has no rows.")
    names = set()
    for row in rows:
        name = row.get("method") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise UserError(f"{where} has a row without a method: {quoted(row)}.")
        if name in names:
            raise UserError(f"{where} has two rows called {name}.")
        names.add(name)
        scores = row.get("scores")
        if not isinstance(scores, list) or not scores:
            raise UserError(f"{where}: the row {name} has no scores.")
        if odd := [score for score in scores if not is_score(score)]:
            raise UserError(f"{where}: the row {name} has a score that is no finite number: {quoted(odd[0])}.")


def is_score(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)


def seeds_of(row: dict, settings: dict | None = None) -> list[tuple[int, int]] | None:
    """Of each score its seed and its draw of the task's words: told by the runs, or else by the race's settings.

    Older reports keep no runs: their seeds follow each other, and their words are those of the task's files. None where
    neither tells.
    """
    runs = row.get("runs", ())
    if runs and all("seed" in run for run in runs):
        return [(run["seed"], run.get("word_draw", 0)) for run in runs]
    if not isinstance((settings or {}).get("seed"), int):
        return None
    return [(settings["seed"] + number, 0) for number in range(len(row["scores"]))]
