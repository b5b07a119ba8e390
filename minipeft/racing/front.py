"""`python -m minipeft.racing.front`: several races as one, the mean over their tasks seed by seed.

    score of seed k = the mean over the tasks of the score of seed k on that task

A method that is best on one task may be poor on the next, and one saturated task tells methods apart by luck. The races
must be of bundled tasks, one base, as many steps and the same seeds, or seed k would mean another thing in each; a row
counts that all of them have. The file keeps each row's
score and slices by task; `racing/tables.py` shows them, and `racing/picture.py` draws the file as it draws a race.
"""

import shlex
import sys
from pathlib import Path
from statistics import mean

from minipeft.errors import UserError
from minipeft.files import write_json
from minipeft.flags import OneSentenceParser, ended
from minipeft.paths import DATA, REPOSITORY
from minipeft.provenance import provenance
from minipeft.racing.differences import as_json, differences
from minipeft.racing.reports import read_race, seeds_of
from minipeft.racing.table import cell, copied, interval, known, mean_known, score_cell, stored, trained

RESULTS = DATA / "results"
RACES = ("sentiment-all", "topic", "category", "opinion_now")
OUT = RESULTS / "front.json"
ALIKE = ("model", "data", "seed", "steps", "batch_size", "schedule", "patience", "max_source_length", "split",
         "test_limit", "shots")  # settings that all races share  # fmt: skip


def front(reports: dict[str, dict]) -> dict:
    """One report from several, by file: its rows have "tasks", each row's mean and slices on every task.

    Raises UserError where the races differ in what ALIKE names or in their seeds, where two are of one task, and where
    they have no row in common.
    """
    first, *others = reports
    for name in others:
        theirs, ours = (common_settings(reports[file]) for file in (name, first))
        if different := [key for key in ours if theirs.get(key) != ours[key]]:
            raise UserError(f"{name} and {first} are no races of one kind: {different[0]} is not the same.")
    of_task: dict[str, str] = {}
    for name, report in reports.items():
        if (other := of_task.setdefault(report["settings"]["task"], name)) != name:
            raise UserError(f"{other} and {name} are both races of {report['settings']['task']}: name one of them.")
    by_task = {task: {row["method"]: row for row in reports[name]["rows"]} for task, name in of_task.items()}
    shared = [method for method in next(iter(by_task.values())) if all(method in rows for rows in by_task.values())]
    if not shared:
        raise UserError(f"No row is in all of {', '.join(reports)}.")
    for method in shared:
        check_seeds(method, {name: by_task[task][method] for task, name in of_task.items()}, reports)
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


def check_seeds(method: str, rows: dict[str, dict], reports: dict[str, dict]) -> None:
    """Raise UserError where a method's k-th scores, by file, are not all of one seed."""
    first, *others = rows
    for name in others:
        counts = [len(rows[file]["scores"]) for file in (first, name)]
        if counts[0] != counts[1]:
            raise UserError(f"{method} has {counts[0]} scores in {first} and {counts[1]} in {name}: race both alike.")
        ours, theirs = (seeds_of(rows[file], reports[file]["settings"]) for file in (first, name))
        if ours != theirs:
            raise UserError(f"{method} has other seeds, or draws of words, in {name} than in {first}: race both alike.")


def front_row(found: dict[str, dict]) -> dict:
    """One method's rows, by task, as one; its costs are those of the first task."""
    first = next(iter(found.values()))
    scores = [mean(of_seed) for of_seed in zip(*(row["scores"] for row in found.values()), strict=True)]
    told = ("method", "family", "trained", "stored", "percent", "memory", "adapter_bytes", "seconds_per_step")
    return {
        **{name: first[name] for name in told if name in first},
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
        f"| method | trained | stored | mean | {' | '.join(map(cell, tasks))} | forgotten | skills lost |",
        "|---" + "|---:" * (len(tasks) + 5) + "|",
    ]
    for row in report["rows"]:
        cells = [cell(row["method"]), f"{trained(row):,}", f"{stored(row):,}", score_cell(row)]
        cells += [f"{row['tasks'][task]['mean']:.1f}" for task in tasks]
        cells += [f"{row['forgotten']:+.2f}" if known(row["forgotten"]) else "-"]
        cells += [f"{round(row['skills_lost'], 1) + 0:.1f}" if known(row["skills_lost"]) else "-"]
        lines.append(f"| {' | '.join(cells)} |")
    guesses = [f"{report['chance'][task]:.1f}" for task in tasks]
    return "\n".join(
        [*lines, f"| a blind guess | | | {mean(report['chance'].values()):.1f} | {' | '.join(guesses)} | | |"]
    )


def front_slices(report: dict) -> str:
    """Methods by the slices of all tasks that have some, in the order of `report`'s rows."""
    found = {
        (task, name): None
        for task in report["chance"]
        for row in report["rows"]
        for name in row["tasks"][task]["slices"]
    }
    names = list(found)
    lines = [
        f"| method | {' | '.join(cell(f'{task}: {name}') for task, name in names)} |",
        "|---" + "|---:" * len(names) + "|",
    ]
    for row in report["rows"]:
        slices = [row["tasks"][task]["slices"].get(name) for task, name in names]
        cells = ["-" if score is None else f"{score:.1f}" for score in slices]
        lines.append(f"| {cell(row['method'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def races_in(files: list[str]) -> dict[str, dict]:
    """The reports by path, which starts at the repository's folder for what lies in it, or else is the one given.

    Raises UserError for what is no race, and for a file named twice.
    """
    reports, seen = {}, set()
    for file in files:
        place = Path(file).resolve()
        if place in seen:
            raise UserError(f"{file} is named twice: name every race once.")
        seen.add(place)
        inside = place.is_relative_to(REPOSITORY)
        reports[place.relative_to(REPOSITORY).as_posix() if inside else file] = read_race(file, whole=True)
    return reports


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = OneSentenceParser(prog="python -m minipeft.racing.front", description=__doc__.splitlines()[0])
    parser.add_argument(
        "races", nargs="*", default=[str(RESULTS / f"{name}.json") for name in RACES], help="files of races"
    )
    parser.add_argument("--out", default=str(OUT), help="the file to write (default data/results/front.json)")
    args = parser.parse_args(arguments)
    report = front(races_in(args.races))
    command = shlex.join(["python", "-m", "minipeft.racing.front", *(sys.argv[1:] if arguments is None else arguments)])
    told = {"command": command, "provenance": provenance()}
    report |= {"differences": as_json(differences(report["rows"])), **told}
    write_json(Path(args.out), report)
    print(front_table(report))
    print()
    print(front_slices(report))


if __name__ == "__main__":
    sys.exit(ended(main))
