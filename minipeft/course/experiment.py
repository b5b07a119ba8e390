"""How a chapter measures: one script, resumable, whose results file holds every number that the chapter prints.

An `experiment.py` has `runs(args)`, which measures, and ends with `main(__file__, runs)`. Beside it, `tables.py` has
`summary(measured)`, which makes tables and numbers from the measurements alone, and `figures.py` draws.
"""

import argparse
import json
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from minipeft.course.chapters import ROOT, beside
from minipeft.course.figures import draw_figures
from minipeft.files import write_json
from minipeft.flags import OneSentenceParser, whole
from minipeft.provenance import provenance
from minipeft.racing import race as racing
from minipeft.racing.differences import difference
from minipeft.racing.pool import default_workers
from minipeft.racing.runs import RunSpec

QUICK = {"steps": 20, "test_limit": 100}

Summary = tuple[dict[str, dict], dict[str, float]]  # tables and numbers


def parser(about: str) -> argparse.ArgumentParser:
    flags = OneSentenceParser(description=about)
    flags.add_argument("--seeds", type=whole(), default=5)
    flags.add_argument("--quick", action="store_true", help="one seed, few steps, no tuning; writes no results")
    flags.add_argument("--device", default="cpu", help="cpu or cuda")
    flags.add_argument("--workers", type=whole(1, 1000), help="worker processes (default: one per core)")
    flags.add_argument("--figures", action="store_true", help="draw the figures from results.json, measure nothing")
    flags.add_argument("--summary", action="store_true", help="tables and numbers again from results.json's own runs")
    return flags


def main(file: str, runs: Callable[[Any], dict], arguments: list[str] | None = None) -> None:
    """Measure, and write results.json and figures/ beside `file`; `--quick` prints what came out and writes neither."""
    chapter = Path(file).resolve().parent
    args, summary = (
        parser(f"The measurements of {chapter.name}.").parse_args(arguments),
        beside(file, "tables.py").summary,
    )
    target = chapter / "results.json"
    if args.figures or args.summary:
        results = json.loads(target.read_text(encoding="utf-8"))
        results["tables"], results["numbers"] = summary(results["runs"])
    else:
        results = measure(chapter, args, runs, summary)
    if args.quick:
        print(json.dumps({"tables": results["tables"], "numbers": results["numbers"]}, indent=1))
        return
    if not args.figures:
        write_json(target, results)
    try:
        draw_figures(chapter, results["runs"], chapter / "figures")
    except ModuleNotFoundError:
        print("No figures: install the extra with  pip install -e '.[plots]'  and call again with --figures.")


def measure(chapter: Path, args: argparse.Namespace, runs: Callable, summary: Callable) -> dict:
    """The whole content of results.json."""
    if args.quick:
        args.seeds = 1
    args.out = ROOT / "runs" / "lessons" / (f"{chapter.name}-quick" if args.quick else chapter.name)
    args.workers = args.workers or default_workers(args.device)
    started, clock = time.time(), args.out / "seconds.json"
    try:
        measured = json.loads(json.dumps(runs(args)))  # as it will be read again: no tuples, no numbers as keys
    finally:  # a run that was killed and taken up again took the time of both
        earlier = json.loads(clock.read_text(encoding="utf-8")) if clock.exists() else 0.0
        write_json(clock, earlier + time.time() - started)
    tables, numbers = summary(measured)
    told = [f"--{flag} {shlex.quote(str(getattr(args, flag)))}" for flag in ("seeds", "device")]
    return {
        "command": f"python lessons/{chapter.name}/experiment.py {' '.join(told)}",
        "provenance": provenance(),
        "seeds": args.seeds,
        "seconds": round(earlier + time.time() - started, 1),
        "runs": measured,
        "tables": tables,
        "numbers": numbers,
    }


def race(
    folder: str,
    entries: list[str],
    model: str,
    task: str,
    args: argparse.Namespace,
    steps: int = 600,
    rates: dict[str, float] | None = None,
    **settings: Any,
) -> dict:
    """Several rows on one task with equal tuning effort: four learning rates each on dev, then `args.seeds` seeds.

    folder: a name, under the chapter's folder of runs. entries: rows as `compare --methods` reads them. rates: those of
    the rows where they were chosen before, on another task. settings: other fields of RunSpec. Finished runs are kept.
    Returns rows (best first), learning_rates, sweep, settings and commits.
    """
    base = RunSpec(str(Path(args.out) / folder), model, task, "", steps=steps, device=args.device, **settings)
    if args.quick:
        base = replace(base, **QUICK)
    settle(Path(base.folder), asdict(replace(base, folder="", method="")))
    print(f"{folder}: {len(entries)} rows on {task}, {model}, {base.steps} steps, {args.seeds} seed(s)")
    report = racing.race(base, entries, args.seeds, args.workers, tune=rates is None and not args.quick, rates=rates)
    told = ("rows", "learning_rates", "sweep", "sweep_runs", "settings", "chance", "commits")
    return {key: report[key] for key in told}


def kept(args: argparse.Namespace, name: str, measure_part: Callable[[], Any]) -> Any:
    """What `measure_part` gave, now or in an earlier call of this script, as JSON gives it back."""
    file = Path(args.out) / f"{name}.json"
    if not file.exists():
        print(f"measuring: {name}", flush=True)
        write_json(file, measure_part())
    return json.loads(file.read_text(encoding="utf-8"))


def table(columns: list[str], rows: list[list]) -> dict:
    """A table as results.json keeps it and `minipeft.course.pages` prints it."""
    return {"columns": list(columns), "rows": [list(row) for row in rows]}


def together(parts: dict[str, tuple[dict, dict[str, float]]]) -> Summary:
    """The tables by their names, and the numbers of all: every part is a table and the numbers that go with it."""
    numbers: dict[str, float] = {}
    for _, found in parts.values():
        numbers |= found
    return {name: content for name, (content, _) in parts.items()}, numbers


def apart(ours: list[float], theirs: list[float], digits: int = 1) -> str:
    """A cell: how far two rows are apart, paired by seed (or batch), and the 95% interval of the difference.

    Without one where that is not known, and where the rows are equal in every seed.
    """
    found = difference("", ours, "", theirs, paired=True)
    ends = "" if found.low in (None, found.high) else f" [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"
    return f"{found.difference:+.{digits}f}{ends}"


def by_row(raced: dict) -> dict[str, dict]:
    """The rows of a race by their names."""
    return {row["method"]: row for row in raced["rows"]}


def settle(folder: Path, settings: dict) -> None:
    """Runs that were begun with other settings cannot be gone on with: they are removed."""
    file, settings = folder / "settings.json", json.loads(json.dumps(settings))
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != settings:
        print(f"The settings of {folder.name} have changed: its runs are made anew.")
        shutil.rmtree(folder)
    write_json(file, settings)
