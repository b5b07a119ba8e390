"""Makes the committed tables: `python -m minipeft.commands.acceptance` races every method on every task named here.

For each task: learning rates swept on dev, five seeds, the test split read once at the end of each run; results go to
`data/results/<task>.json`, the winning rates to `data/results/learning_rates.json`. Can be killed and run again.
"""

import argparse
import json
from pathlib import Path

from minipeft.__main__ import applies
from minipeft.commands.arguments import DEFAULT_MODEL
from minipeft.commands.compare import compare
from minipeft.commands.picture import picture
from minipeft.commands.pool import default_workers
from minipeft.commands.runs import CONTROLS, RunSpec
from minipeft.commands.sweep import TUNED
from minipeft.methods.registry import METHODS
from minipeft.provenance import write_json
from minipeft.tasks.task import DATA

RESULTS = DATA / "results"
TASKS = ("sentiment", "sentiment_food", "topic", "category")


def accept(task: str, model: str, steps: int, folder: Path, seeds: int, workers: int) -> None:
    """Tune and race on one task, and copy what came out to `data/results`."""
    methods = [name for name in (*METHODS, *CONTROLS) if applies(name, model)]
    base = RunSpec(folder=str(folder / task), model=model, task=task, method="", steps=steps)
    compare(base, methods, seeds, workers, tune=True)
    report = json.loads((folder / task / "result.json").read_text(encoding="utf-8"))
    report["command"] = (
        f"python -m minipeft.commands.acceptance --model {model} --tasks {task} --steps {steps} --seeds {seeds}"
    )
    report["sweep"] = json.loads((folder / task / "sweep.json").read_text(encoding="utf-8"))["dev_scores"]
    write_json(RESULTS / f"{task}.json", report)
    rates = json.loads(TUNED.read_text(encoding="utf-8")) if TUNED.exists() else {}
    rates.setdefault(model, {})[task] = {name: rate for name, rate in report["learning_rates"].items() if rate}
    write_json(TUNED, rates)
    picture(report, RESULTS / f"{task}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--steps", type=int, default=RunSpec.steps)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", default="runs/acceptance")
    args = parser.parse_args()
    for task in args.tasks.split(","):
        accept(task, args.model, args.steps, Path(args.out), args.seeds, default_workers("cpu"))


if __name__ == "__main__":
    main()
