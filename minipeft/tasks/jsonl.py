"""Examples as JSONL: one `{"source": ..., "target": ...}` a line, with "candidates" where one of them is the answer.

A line may name its "slice", the sort of example that it is: "negation".
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minipeft.errors import UserError, excerpt, require_text
from minipeft.tasks.metrics import folded
from minipeft.tasks.task import Example

LONGEST_LINE = 1_000_000  # bytes: far more than any model reads, and less than what fills a memory
LONGEST_SLICE = 40  # characters: a name, which tables and result files show
KEYS = ("source", "target", "candidates", "slice")


@dataclass(frozen=True)
class LocatedExample(Example):
    """An example that remembers its place ("my.jsonl, line 7"), so that a complaint can name it."""

    place: str = field(default="", compare=False)


def read_jsonl(path: str | Path) -> list[LocatedExample]:
    """The examples of a JSONL file; empty lines are passed over.

    Raises UserError naming the line and what is wrong with it.
    """
    path = Path(path)
    examples = [_parse(line, place) for place, line in _lines(path) if line.strip()]
    if not examples:
        raise UserError(f'{_shown(path)} is empty; write one {{"source": "...", "target": "..."}} a line.')
    return examples


def to_jsonl(examples: Iterable[Example]) -> str:
    """The text of a JSONL file with these examples."""
    lines = []
    for example in examples:
        row = {"source": example.source, "target": example.target}
        if example.candidates:
            row["candidates"] = list(example.candidates)
        if example.slice:
            row["slice"] = example.slice
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a file, each with its place. Raises UserError where it is no plain file of UTF-8 text."""
    name, number = _shown(path), 0
    try:
        if path.is_dir():
            raise UserError(f"{name} is a folder: give the JSONL file in it.")
        if path.exists() and not path.is_file():
            raise UserError(f"{name} is a pipe or a device: write its lines into a file, which can be read again.")
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):  # parted at "\n" alone: U+2028 may stand in a text
                number += 1
                place = f"{name}, line {number}"
                if len(line) > LONGEST_LINE:
                    raise UserError(f"{place}: longer than {LONGEST_LINE:,} bytes: write one example a line.")
                yield place, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no file {name}.") from None
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at position {error.start + 1}"
        raise UserError(f"{name}, line {number}: not UTF-8 text ({byte}): save the file as UTF-8.") from None
    except UserError:
        raise
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        raise UserError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _parse(line: str, place: str) -> LocatedExample:
    row = _row(line, place)
    for key in ("source", "target"):
        if key not in row:
            raise UserError(f'{place}: the key "{key}" is missing.')
        if not isinstance(row[key], str):
            raise UserError(f'{place}: "{key}" must be a string, got {type(row[key]).__name__}.')
        if not row[key].strip():
            raise UserError(f'{place}: "{key}" is empty.')
    candidates = _candidates(row, place)
    target = folded(row["target"]) if candidates else row["target"]
    return LocatedExample(row["source"], target, candidates, _slice(row, place), place)


def _row(line: str, place: str) -> dict:
    """The object of a line, with no keys but the known ones and no broken text."""
    try:  # numbers have no place here, so their value does not matter, which may have thousands of digits
        row = json.loads(line, object_pairs_hook=_no_key_twice, parse_int=len)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not valid JSON ({error.msg} at column {error.colno}).") from None
    except RecursionError:
        raise UserError(f"{place}: brackets within brackets, too deep to be read.") from None
    except ValueError as error:
        raise UserError(f"{place}: {error}.") from None
    if not isinstance(row, dict):
        raise UserError(f'{place}: expected an object {{"source": ..., "target": ...}}, got {type(row).__name__}.')
    if unknown := sorted(row.keys() - {*KEYS}):
        known = ", ".join(f'"{key}"' for key in KEYS)
        raise UserError(f'{place}: unknown key "{excerpt(unknown[0])}"; only {known} are known.')
    if "\\u" in line:  # half an emoji can stand in UTF-8 as an escape only
        for key, value in row.items():
            require_text(value, f'{place}: "{key}"')
    return row


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{excerpt(twice)}" stands there twice')
    return row


def _candidates(row: dict, place: str) -> tuple[str, ...]:
    """The answers to choose from, white space folded as in every comparison of answers."""
    candidates = row.get("candidates", [])
    if not isinstance(candidates, list) or not all(isinstance(answer, str) for answer in candidates):
        raise UserError(f'{place}: "candidates" must be a list of strings.')
    if not candidates:
        return ()
    answers = [folded(answer) for answer in candidates]
    if folded(row["target"]) not in answers:
        raise UserError(f'{place}: the target is not among the "candidates".')
    if "" in answers:
        raise UserError(f'{place}: one of the "candidates" is empty.')
    if len(answers) == 1:
        raise UserError(f'{place}: "candidates" holds one answer; to choose takes two or more.')
    if twice := next((answer for answer in answers if answers.count(answer) > 1), None):
        raise UserError(f'{place}: "candidates" holds {excerpt(twice)!r} twice (white space does not count).')
    return tuple(answers)


def _slice(row: dict, place: str) -> str:
    """The name of the line's slice, white space folded; "" where it has none."""
    name = row.get("slice", "")
    if not isinstance(name, str):
        raise UserError(f'{place}: "slice" must be a string, got {type(name).__name__}.')
    if "slice" in row and not name.strip():
        raise UserError(f'{place}: "slice" is empty: name it, or leave the key out.')
    if len(folded(name)) > LONGEST_SLICE:
        raise UserError(f'{place}: "slice" is longer than {LONGEST_SLICE} characters: give it a shorter name.')
    return folded(name)


def _shown(path: Path) -> str:
    """The path as a sentence can show it: a name may be longer than a screen, and hold bytes that are no text."""
    return excerpt(str(path), most=200)
