"""`python -m minipeft.racing.task_table`: what every bundled task asks of a base, and what tuning makes of it.

For each task: a blind guess, the best rule that does not read, the same network from random weights, LoRA, full tuning
and prompt tuning, each at the rate that its method suggests: nothing is tuned here, so what a method could reach may
lie higher. Every seed draws its own words. A random network may lie RANDOM_SLACK points above the rule and the guess
before a task is faulted for it. The numbers go to a file, from which `racing/tables.py` fills the table of
data/README.md. Finished runs are kept, so a command that was stopped goes on where it was.
"""

import sys
from pathlib import Path
from statistics import mean

from minipeft.errors import UserError
from minipeft.files import write_json
from minipeft.flags import OneSentenceParser, ended, whole, words
from minipeft.models import load
from minipeft.paths import DATA
from minipeft.provenance import provenance
from minipeft.racing.pool import run_all
from minipeft.racing.race import make_specs
from minipeft.racing.runs import RunSpec
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.registry import task_names
from minipeft.tasks.rules.scores import rule_scores

CONTENDERS = ("random_base", "lora", "full", "prompt_tuning")
BASE, STEPS, SEEDS = "t5-0.8m", 600, 3
OUT = DATA / "results" / "tasks.json"
MARGIN = 20.0  # how far above chance and rule LoRA has to come, in percent of what lies between chance and 100
SATURATED = 97.0
RANDOM_SLACK = 3.0  # points by which a random network, trained three times, may lie above the rule by luck


def measure(names: list[str], base: str, steps: int, seeds: int, folder: Path, workers: int) -> dict:
    """The runs of all tasks, and what the file says of each: `task_row` by name.

    Raises UserError before the first run for a task or a base that is not there.
    """
    for name in names:
        drawn_task(name, 0)
    load(base)
    specs = []
    for name in names:
        task_folder = str(folder / name)
        specs += make_specs(RunSpec(task_folder, base, name, "", steps=steps), list(CONTENDERS), seeds, {})
    results = run_all(specs, workers, "tasks", lambda spec, result: f"{spec.task} {spec.row} {result[spec.split]:.1f}")
    by_task = {name: [result for result in results if result["spec"]["task"] == name] for name in names}
    return {name: task_row(name, seeds, by_task[name]) for name in names}


def task_row(name: str, seeds: int, results: list[dict]) -> dict:
    """One task: metric, chance, the rule that is best on average over the draws, and every contender's scores."""
    tasks = [drawn_task(name, draw) for draw in range(seeds)]
    scores = [rule_scores(task) for task in tasks]
    rules = {rule: round(mean(each[rule] for each in scores), 2) for rule in scores[0]}
    best = max(rules, key=rules.get)
    row = {"metric": tasks[0].metric, "chance": tasks[0].chance, "rule": best, "rule_score": rules[best], "rows": {}}
    row["commits"] = sorted({result["provenance"]["commit"] for result in results})
    for contender in CONTENDERS:
        runs = [result for result in results if result["spec"]["method"] == contender]
        slices = [run.get("slices", {}) for run in runs]
        row["rows"][contender] = {
            "scores": [run["test"] for run in runs],
            "slices": {slice_name: round(mean(each[slice_name] for each in slices), 2) for slice_name in slices[0]},
        }
    return row


def shortcomings(row: dict) -> list[str]:
    """What keeps a task from teaching anything, in words; nothing where it does."""
    scores = {contender: mean(found["scores"]) for contender, found in row["rows"].items()}
    margin, lora = MARGIN / 100 * (100 - row["chance"]), row["rows"]["lora"]
    found = []
    if scores["lora"] < row["chance"] + margin:
        found.append("LoRA is near a blind guess")
    if scores["lora"] < row["rule_score"] + margin:
        found.append("LoRA is near a rule that does not read")
    if scores["random_base"] > max(row["rule_score"], row["chance"]) + RANDOM_SLACK:
        found.append("a network without pretraining is above the rule")
    if min([scores["lora"], *lora["slices"].values()]) >= SATURATED:
        found.append("LoRA has nothing left to gain")
    return found


def markdown(report: dict) -> str:
    """The table: one line a task, the mean over the seeds, and LoRA's score in each slice."""
    lines = [
        "| task | blind guess | best rule without reading | random network | LoRA | full | prompt | LoRA by slice |",
        "|---|---:|---|---:|---:|---:|---:|---|",
    ]
    for name, row in report["tasks"].items():
        random_base, lora, full, prompt = (f"{mean(row['rows'][each]['scores']):.1f}" for each in CONTENDERS)
        slices = ", ".join(f"{part} {score:.0f}" for part, score in row["rows"]["lora"]["slices"].items())
        rule = f"{row['rule_score']:.1f}, {row['rule']}"
        cells = [f"`{name}`", f"{row['chance']:.1f}", rule, random_base, lora, full, prompt, slices or "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def listed(text: str) -> list[str]:
    """The names between commas, each once and in order. Raises UserError where there are none."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError(f"--tasks {text!r} names no task.")
    return names


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = OneSentenceParser(prog="python -m minipeft.racing.task_table", description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=words, default=BASE, help=f"a bundled base or a folder (default {BASE})")
    parser.add_argument("--tasks", type=words, default=",".join(task_names()), help="comma-separated (default: all)")
    parser.add_argument("--steps", type=whole(), default=STEPS, help=f"of each run (default {STEPS})")
    parser.add_argument(
        "--seeds", type=whole(1, 1000), default=SEEDS, help=f"each with its own words (default {SEEDS})"
    )
    parser.add_argument("--workers", type=whole(1, 1000), default=2, help="worker processes (default 2)")
    parser.add_argument("--folder", type=words, default="runs/tasks", help="where the runs go (default runs/tasks)")
    parser.add_argument(
        "--out", type=words, default=str(OUT), help="the file to write (default data/results/tasks.json)"
    )
    args = parser.parse_args(arguments)
    found = measure(listed(args.tasks), args.base, args.steps, args.seeds, Path(args.folder), args.workers)
    told = f"--base {args.base} --steps {args.steps} --seeds {args.seeds} --tasks {args.tasks}"
    report = {"command": f"python -m minipeft.racing.task_table {told}", "base": args.base}
    report |= {"steps": args.steps, "seeds": args.seeds, "provenance": provenance(), "tasks": found}
    write_json(Path(args.out), report)
    print(markdown(report))
    for name, row in found.items():
        for lacking in shortcomings(row):
            print(f"{name}: {lacking}")


if __name__ == "__main__":
    sys.exit(ended(main))
