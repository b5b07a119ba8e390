"""Examples as JSONL: one `{"source": ..., "target": ...}` a line, with "candidates" where one of them is the answer."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from minipeft.errors import UserError
from minipeft.tasks.task import Example


@dataclass(frozen=True)
class LocatedExample(Example):
    """An example that remembers its place ("my.jsonl, line 7"), so that a complaint can name it."""

    place: str = field(default="", compare=False)


def read_jsonl(path: str | Path) -> list[LocatedExample]:
    """The examples of a JSONL file; empty lines are passed over.

    Raises UserError naming the line and what is wrong with it.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines would also cut at U+2028
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}.") from None
    examples = [_parse(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not examples:
        raise UserError(f'{path} is empty; write one {{"source": "...", "target": "..."}} a line.')
    return examples


def to_jsonl(examples: Iterable[Example]) -> str:
    """The text of a JSONL file with these examples."""
    lines = []
    for example in examples:
        row = {"source": example.source, "target": example.target}
        if example.candidates:
            row["candidates"] = list(example.candidates)
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def _parse(line: str, place: str) -> LocatedExample:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: not valid JSON ({error.msg} at column {error.colno}).") from None
    if not isinstance(row, dict):
        raise UserError(f'{place}: expected an object {{"source": ..., "target": ...}}, got {type(row).__name__}.')
    for key in ("source", "target"):
        if key not in row:
            raise UserError(f'{place}: the key "{key}" is missing.')
        if not isinstance(row[key], str):
            raise UserError(f'{place}: "{key}" must be a string, got {type(row[key]).__name__}.')
        if not row[key].strip():
            raise UserError(f'{place}: "{key}" is empty.')
    if unknown := sorted(row.keys() - {"source", "target", "candidates"}):
        raise UserError(f'{place}: unknown key "{unknown[0]}"; only "source", "target", "candidates" are known.')
    return LocatedExample(row["source"], row["target"], _candidates(row, place), place)


def _candidates(row: dict, place: str) -> tuple[str, ...]:
    candidates = row.get("candidates", [])
    if not isinstance(candidates, list) or not all(isinstance(answer, str) for answer in candidates):
        raise UserError(f'{place}: "candidates" must be a list of strings.')
    if candidates and row["target"] not in candidates:
        raise UserError(f'{place}: the target is not among the "candidates".')
    return tuple(candidates)
