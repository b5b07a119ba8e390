"""`python -m minipeft.racing.tables`: fills the tables of the pages of data/ from the result files.

Four kinds of line ask for a table below them:

    [//]: # (table of data/results/topic.json)                               one race, with its costs
    [//]: # (scores of data/results/topic.json, data/results/category.json)  methods by tasks, scores only
    [//]: # (ratios of tests/benchmarks/step_time.json)                      a step here against one of peft
    [//]: # (tasks of data/results/tasks.json)                               what each task asks, and what tuning makes
"""

import json
import re
from pathlib import Path

from minipeft.files import write_text
from minipeft.paths import DATA, REPOSITORY
from minipeft.racing import task_table
from minipeft.racing.table import across_tasks, markdown

ROOT = REPOSITORY
PAGE = DATA / "results" / "README.md"
PAGES = (PAGE, DATA / "README.md")
MARK = re.compile(r"(\[//\]: # \((table|scores|ratios|tasks) of ([^)]+)\)\n\n)((?:\|.*\n)*)\n?")


def fill(text: str) -> str:
    """`text` with every table that it asks for made from the files as they are now."""

    def table(match: re.Match) -> str:
        if not all((ROOT / name.strip()).exists() for name in match[3].split(",")):
            return match[0]  # what is not measured yet stays as it is
        reports = [json.loads((ROOT / name.strip()).read_text(encoding="utf-8")) for name in match[3].split(",")]
        if match[2] == "table":
            return f"{match[1]}{markdown(reports[0]['rows'])}\n\n"
        if match[2] == "tasks":
            return f"{match[1]}{task_table.markdown(reports[0])}\n\n"
        if match[2] == "ratios":
            return f"{match[1]}{ratios(reports[0]['results'])}\n\n"
        return f"{match[1]}{across_tasks({report['settings']['task']: report for report in reports})}\n\n"

    return MARK.sub(table, text)


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


def main(*pages: Path) -> None:
    for page in pages or PAGES:
        write_text(page, fill(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
