"""`python -m minipeft.racing.tables`: fills the tables of README.md and the pages of data/ from the result files.

Nine kinds of line ask for a table below them:

    [//]: # (table of data/results/topic.json)                               one race, with its costs
    [//]: # (scores of data/results/topic.json, data/results/category.json)  methods by tasks, scores only
    [//]: # (slices of data/results/topic.json)                              its rows on each sort of text
    [//]: # (differences of data/results/topic.json against full)            its rows against one of them
    [//]: # (front of data/results/front.json)                               the mean over several tasks
    [//]: # (front slices of data/results/front.json)                       its rows on each sort of text of all tasks
    [//]: # (claims of data/results/claims.json)                             what papers claim, and the verdicts
    [//]: # (ratios of tests/benchmarks/step_time.json)                      a step here against one of peft
    [//]: # (tasks of data/results/tasks.json)                               what each task asks, and what tuning makes
"""

import json
import re
import sys
from pathlib import Path

from minipeft.errors import UserError
from minipeft.files import write_text
from minipeft.flags import ended
from minipeft.paths import DATA, REPOSITORY
from minipeft.racing import differences_table, task_table
from minipeft.racing.differences import differences
from minipeft.racing.front import front_slices, front_table
from minipeft.racing.slices_table import slices_table
from minipeft.racing.table import across_tasks, markdown

ROOT = REPOSITORY
PAGE = DATA / "results" / "README.md"
PAGES = (REPOSITORY / "README.md", PAGE, DATA / "README.md")
KINDS = "table|scores|slices|differences|front slices|front|claims|ratios|tasks"
MARK = re.compile(rf"(\[//\]: # \(({KINDS}) of ([^)]+)\)\n\n)((?:\|.*\n)*)\n?")
FILES = re.compile(r"[^\s,]+\.json")


def fill(text: str) -> str:
    """`text` with every table that it asks for made from the files as they are now."""

    def table(match: re.Match) -> str:
        if not all((ROOT / name.strip()).exists() for name in FILES.findall(match[3])):
            return match[0]  # what is not measured yet stays as it is
        return f"{match[1]}{MAKERS[match[2]](match[3])}\n\n"

    return MARK.sub(table, text)


def report(name: str) -> dict:
    """The content of a result file, named from the repository's folder."""
    return json.loads((ROOT / name.strip()).read_text(encoding="utf-8"))


def scores(names: str) -> str:
    """Methods by tasks, of several files with commas between. Raises UserError for two of one task."""
    by_task: dict[str, dict] = {}
    for name in names.split(","):
        found = report(name)
        if by_task.setdefault(found["settings"]["task"], found) is not found:
            raise UserError(f"Two of the races in {names} are of {found['settings']['task']}: name one of them.")
    return across_tasks(by_task)


def against(text: str) -> str:
    """The differences of "file against row"."""
    name, row = text.split(" against ")
    return differences_table.markdown(differences(report(name)["rows"], row))


def claims(found: list[dict]) -> str:
    """A line for each claim: how many comparisons say yes, no and open, and what the first one gave."""
    lines = ["| | claim | source | verdict | yes, no, open | n | difference |", "|---:|---|---|---|---|---:|---|"]
    for claim in found:
        outcomes = [entry["outcome"] for entry in claim["comparisons"]]
        counts = ", ".join(str(outcomes.count(said)) for said in ("yes", "no", "open")) if outcomes else "-"
        verdict = claim["verdict"] + (" (test bed)" if claim["test_bed"] else "")
        ends = claim["interval"]
        measured = f"{claim['difference']:+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]" if ends else "-"
        cells = [claim["claim"], claim["source"], verdict, counts, claim["n"] or "-", measured]
        lines.append(f"| {claim['number']} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def ratios(results: list[dict]) -> str:
    """Methods by shapes of models: our time and our peak of memory as shares of theirs, "-" where not measured."""
    measured = {(row["method"], row["shape"]): row for row in results}
    methods, shapes = (list(dict.fromkeys(names)) for names in zip(*measured, strict=True))
    lines = [f"| method | {' | '.join(shapes)} |", "|---|" + "---|" * len(shapes)]
    for method in methods:
        rows = [measured.get((method, shape)) for shape in shapes]
        cells = [f"{row['time_ratio'][1]:.2f}, {row['memory_ratio']:.2f}" if row else "-" for row in rows]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


MAKERS = {
    "table": lambda name: markdown(report(name)["rows"]),
    "scores": scores,
    "slices": lambda name: slices_table(report(name)["rows"]),
    "differences": against,
    "front": lambda name: front_table(report(name)),
    "front slices": lambda name: front_slices(report(name)),
    "claims": lambda name: claims(report(name)["claims"]),
    "tasks": lambda name: task_table.markdown(report(name)),
    "ratios": lambda name: ratios(report(name)["results"]),
}


def main(*pages: Path) -> None:
    for page in pages or PAGES:
        write_text(page, fill(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(ended(main))
