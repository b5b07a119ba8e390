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
from typing import NamedTuple

from minipeft.errors import UserError
from minipeft.files import read_json
from minipeft.paths import REPOSITORY
from minipeft.racing.differences import is_fixed
from minipeft.racing.reports import seeds_of

Address = str | float | list[str]


class Found(NamedTuple):
    """What stands at an address: its numbers, their seeds and draws of words where these are told, and whether the
    numbers are copies of one, as what trains nothing has."""

    numbers: list[float]
    seeds: list[tuple[int, int]] | None
    fixed: bool


def numbers_at(address: Address) -> list[float]:
    """The numbers at an address, by seed. Raises UserError for one that leads nowhere."""
    return found_at(address).numbers


def found_at(address: Address) -> Found:
    """`numbers_at`, with what is known of the seeds. Raises UserError also for two rows of other seeds."""
    if isinstance(address, list):
        first, second = map(found_at, address)
        if len(first.numbers) != len(second.numbers) or first.seeds != second.seeds:
            raise UserError(f"{address[0]!r} and {address[1]!r} have not the same seeds: no seed has a difference.")
        numbers = [a - b for a, b in zip(first.numbers, second.numbers, strict=True)]
        return Found(numbers, first.seeds, first.fixed and second.fixed)
    if isinstance(address, int | float):
        return Found([float(address)], None, True)
    file, *place, row = address.split(": ")
    found = content(file)
    try:
        for step in place[0].split("/") if place else ():
            found = entry_of(found, step) if isinstance(found, list) else found[step]
        settings = found.get("settings") or content(file).get("settings")
        return numbers_of(found, row, settings)
    except (KeyError, StopIteration, ValueError) as error:
        raise UserError(f"There is no {address!r}: {error!r} leads nowhere.") from None


def same_seeds(first: Address, second: Address) -> bool:
    """Whether the k-th numbers of both belong together: of one seed, or of one batch or round of one measurement.

    Where neither tells its seeds, they do if they stand in one file.
    """
    ours, theirs = found_at(first).seeds, found_at(second).seeds
    return files_of([first]) == files_of([second]) if ours is None and theirs is None else ours == theirs


@cache
def content(file: str) -> dict:
    """A file of the repository, which several addresses name."""
    return read_json(REPOSITORY / file)


def entry_of(entries: list[dict], wanted: str) -> dict:
    """The entry of a list whose fields are `wanted`, as "shape=t5-8.9m,tasks=8"."""
    fields = dict(pair.split("=") for pair in wanted.split(","))
    return next(entry for entry in entries if all(str(entry.get(name)) == value for name, value in fields.items()))


def numbers_of(found: dict, row: str, settings: dict | None) -> Found:
    """What stands at `row`: scores of a race or of a part of a file, a list, or a single number, which has no seeds."""
    rows = found.get("rows", found)
    if isinstance(rows, list):
        rows = {entry["method"]: entry for entry in rows}
    if "*" in row:
        matching = [values for name, values in rows.items() if fnmatch.fnmatchcase(name, row)]
        if not matching:
            raise KeyError(row)
        return Found([mean(values) for values in zip(*matching, strict=True)], None, False)
    values = rows[row]
    if isinstance(values, dict):
        return Found(values["scores"], seeds_of(values, settings), is_fixed(values))
    return Found(values, None, False) if isinstance(values, list) else Found([values], None, True)


def files_of(addresses: Sequence[Address]) -> list[str]:
    """The files that the addresses name, each once."""
    texts = [text for address in addresses for text in (address if isinstance(address, list) else [address])]
    return list(dict.fromkeys(text.split(": ")[0] for text in texts if isinstance(text, str)))
