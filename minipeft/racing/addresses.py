"""Where the numbers of a claim stand in the result files.

    "data/results/topic.json: lora"                                 the scores of a row, by seed
    "lessons/16_adalora/results.json: runs/budgets: adalora1"       a row of a race within a file
    "tests/benchmarks/x.json: results/shape=t5,tasks=8: speed_up"   an entry of a list, by its fields
    "lessons/16_adalora/results.json: runs/ranks/adalora1: *attention*"    the mean of all rows that match, by seed
    ["data/results/topic.json: lora", "data/results/topic.json: full"]    the first minus the second, by seed

A plain number stands for itself.
"""

import fnmatch
from collections.abc import Sequence
from functools import cache
from statistics import mean

from minipeft.errors import UserError
from minipeft.files import read_json
from minipeft.paths import REPOSITORY

Address = str | float | list[str]


def numbers_at(address: Address) -> list[float]:
    """The numbers at an address, by seed. Raises UserError for one that leads nowhere."""
    if isinstance(address, list):
        first, second = map(numbers_at, address)
        return [a - b for a, b in zip(first, second, strict=True)]
    if isinstance(address, int | float):
        return [float(address)]
    file, *place, row = address.split(": ")
    found = content(file)
    try:
        for step in place[0].split("/") if place else ():
            found = entry_of(found, step) if isinstance(found, list) else found[step]
        return numbers_of(found, row)
    except (KeyError, StopIteration, ValueError) as error:
        raise UserError(f"There is no {address!r}: {error!r} leads nowhere.") from None


@cache
def content(file: str) -> dict:
    """A file of the repository, which several addresses name."""
    return read_json(REPOSITORY / file)


def entry_of(entries: list[dict], wanted: str) -> dict:
    """The entry of a list whose fields are `wanted`, as "shape=t5-8.9m,tasks=8"."""
    fields = dict(pair.split("=") for pair in wanted.split(","))
    return next(entry for entry in entries if all(str(entry.get(name)) == value for name, value in fields.items()))


def numbers_of(found: dict, row: str) -> list[float]:
    """The numbers of `row`: scores of a race or of a part of a file, a list, or a single number."""
    rows = found.get("rows", found)
    if isinstance(rows, list):
        rows = {entry["method"]: entry for entry in rows}
    if "*" in row:
        matching = [values for name, values in rows.items() if fnmatch.fnmatchcase(name, row)]
        if not matching:
            raise KeyError(row)
        return [mean(values) for values in zip(*matching, strict=True)]
    values = rows[row]["scores"] if isinstance(rows[row], dict) else rows[row]
    return values if isinstance(values, list) else [values]


def files_of(addresses: Sequence[Address]) -> list[str]:
    """The files that the addresses name, each once."""
    texts = [text for address in addresses for text in (address if isinstance(address, list) else [address])]
    return list(dict.fromkeys(text.split(": ")[0] for text in texts if isinstance(text, str)))
