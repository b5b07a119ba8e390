"""The differences of a race as a table: every row against one of them, with interval, p-values and verdict.

`python -m minipeft.racing.differences_table data/results/topic.json lora` prints that of a report against a row.
"""

import sys

from minipeft.errors import UserError
from minipeft.flags import ended
from minipeft.racing.differences import ALPHA, LEVEL_WITHIN, REFERENCES, Difference, differences
from minipeft.racing.reports import read_race
from minipeft.racing.table import cell


def markdown(pairs: list[Difference]) -> str:
    """The pairs as a table, readable in a terminal and as Markdown."""
    header = ["method", f"minus {cell(pairs[0].against)}", "95% interval", "with texts", "p", "p (Holm)", "verdict"]
    lines = [header, *map(cells, pairs)]
    if not any(pair.texts for pair in pairs):
        lines = [[*line[:3], *line[4:]] for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = [f"| {' | '.join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])} |" for line in lines]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([rows[0], f"|{rule}|", *rows[1:]])


def cells(pair: Difference) -> list[str]:
    """A pair as text, its intervals in brackets, "-" for what is not known."""
    over_seeds = None if pair.low is None else (pair.low, pair.high)
    intervals = [f"[{ends[0]:+.1f}, {ends[1]:+.1f}]" if ends else "-" for ends in (over_seeds, pair.texts)]
    chances = ["-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}" for p in (pair.p, pair.holm)]
    return [cell(pair.row), f"{pair.difference:+.1f}", *intervals, *chances, pair.verdict]


def told(pairs: list[Difference]) -> str:
    """The table, and what its columns say."""
    note = (
        f"Interval and p: of this pair alone. p (Holm): corrected for {len(pairs)} pairs; below {ALPHA:g} the row is "
    )
    note += f"higher or lower.\nLevel: the whole interval within {LEVEL_WITHIN:g} points. Open: neither."
    if any(pair.texts for pair in pairs):
        note += " With texts: if the test texts, too, had been others."
    return f"{markdown(pairs)}\n\n{note}"


def main(arguments: list[str]) -> None:
    """Print the table of a report's file, against the row that is named, or else full tuning or LoRA."""
    if not 1 <= len(arguments) <= 2:
        raise UserError("Name the file of a race, and if you like the row to compare with.")
    file, *reference = arguments
    pairs = differences(read_race(file)["rows"], *reference)
    print(told(pairs) if pairs else f"Nothing to compare: no row of {' or '.join(REFERENCES)}, or too few seeds.")


if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
