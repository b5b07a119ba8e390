"""`python -m minipeft.racing.front`: several races as one, the mean over their tasks seed by seed.

    score of seed k = the mean over the tasks of the score of seed k on that task

A method that is best on one task may be poor on the next, and one saturated task tells methods apart by luck. The races
must be of one base, as many steps and the same seeds; a row counts that all of them have. The file keeps each row's
score and slices by task; `racing/tables.py` shows them, and `racing/picture.py` draws the file as it draws a race.
"""

import sys
from pathlib import Path
from statistics import mean

from minipeft.errors import UserError
from minipeft.files import read_json, write_json
from minipeft.flags import OneSentenceParser, ended
from minipeft.paths import DATA
from minipeft.provenance import provenance
from minipeft.racing.differences import as_json, differences
from minipeft.racing.table import copied, interval, known, mean_known, score_cell, stored, trained

RESULTS = DATA / "results"
RACES = ("sentiment-all", "topic", "category", "opinion_now")
OUT = RESULTS / "front.json"
ALIKE = ("model", "steps", "batch_size", "schedule", "split", "test_limit", "shots")  # settings that all races share


def front(reports: dict[str, dict]) -> dict:
    """One report from several, by file: its rows have "tasks", each row's mean and slices on every task.

    Raises UserError where the races differ in base, steps or seeds, or have no row in common.
    """
    first, *others = reports
    for name in others:
        theirs, ours = (common_settings(reports[file]) for file in (name, first))
        if different := [key for key in ours if theirs.get(key) != ours[key]]:
            raise UserError(f"{name} and {first} are no races of one kind: {different[0]} is not the same.")
    by_task = {
        report["settings"]["task"]: {row["method"]: row for row in report["rows"]} for report in reports.values()
    }
    shared = [method for method in next(iter(by_task.values())) if all(method in rows for rows in by_task.values())]
    if not shared:
        raise UserError(f"No row is in all of {', '.join(reports)}.")
    rows = [front_row({task: rows[method] for task, rows in by_task.items()}) for method in shared]
    return {
        "title": f"mean over {', '.join(by_task)}",
        "seeds": reports[first]["seeds"],
        "settings": common_settings(reports[first]),
        "races": list(reports),
        "chance": {report["settings"]["task"]: report["chance"] for report in reports.values()},
        "rows": sorted(rows, key=lambda row: -row["mean"]),
    }


def common_settings(report: dict) -> dict:
    """What the races must agree in."""
    return {name: report["settings"].get(name) for name in ALIKE} | {"seeds": report["seeds"]}


def front_row(found: dict[str, dict]) -> dict:
    """One method's rows, by task, as one; its costs are those of the first task."""
    first = next(iter(found.values()))
    scores = [mean(of_seed) for of_seed in zip(*(row["scores"] for row in found.values()), strict=True)]
    told = ("method", "family", "trained", "stored", "percent", "memory", "adapter_bytes", "seconds_per_step")
    return {
        **{name: first[name] for name in told},
        "scores": scores,
        "mean": mean(scores),
        "interval": interval(scores) if len(scores) > 1 and not copied(trained(first), scores) else None,
        "forgotten": mean_known(list(found.values()), "forgotten"),
        "skills_lost": mean_known(list(found.values()), "skills_lost"),
        "tasks": {
            task: {"scores": row["scores"], "mean": row["mean"], "slices": row.get("slices", {})}
            for task, row in found.items()
        },
    }


def front_table(report: dict) -> str:
    """Methods by tasks, best mean first, with what each trains, stores and lets the base forget."""
    tasks = list(report["chance"])
    lines = [
        f"| method | trained | stored | mean | {' | '.join(tasks)} | forgotten | skills lost |",
        "|---" + "|---:" * (len(tasks) + 5) + "|",
    ]
    for row in report["rows"]:
        cells = [row["method"], f"{trained(row):,}", f"{stored(row):,}", score_cell(row)]
        cells += [f"{row['tasks'][task]['mean']:.1f}" for task in tasks]
        cells += [f"{row['forgotten']:+.2f}" if known(row["forgotten"]) else "-"]
        cells += [f"{row['skills_lost']:.1f}" if known(row["skills_lost"]) else "-"]
        lines.append(f"| {' | '.join(cells)} |")
    guesses = [f"{report['chance'][task]:.1f}" for task in tasks]
    return "\n".join(
        [*lines, f"| a blind guess | | | {mean(report['chance'].values()):.1f} | {' | '.join(guesses)} | | |"]
    )


def front_slices(report: dict) -> str:
    """Methods by the slices of all tasks that have some, in the order of `report`'s rows."""
    names = [(task, name) for task in report["chance"] for name in report["rows"][0]["tasks"][task]["slices"]]
    lines = [
        f"| method | {' | '.join(f'{task}: {name}' for task, name in names)} |",
        "|---" + "|---:" * len(names) + "|",
    ]
    for row in report["rows"]:
        cells = [f"{row['tasks'][task]['slices'][name]:.1f}" for task, name in names]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = OneSentenceParser(prog="python -m minipeft.racing.front", description=__doc__.splitlines()[0])
    parser.add_argument(
        "races", nargs="*", default=[str(RESULTS / f"{name}.json") for name in RACES], help="files of races"
    )
    parser.add_argument("--out", default=str(OUT), help="the file to write (default data/results/front.json)")
    args = parser.parse_args(arguments)
    report = front({Path(file).name: read_json(Path(file)) for file in args.races})
    report |= {"differences": as_json(differences(report["rows"])), "provenance": provenance()}
    write_json(Path(args.out), report)
    print(front_table(report))
    print()
    print(front_slices(report))


if __name__ == "__main__":
    sys.exit(ended(main))
