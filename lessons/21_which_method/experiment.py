"""Makes the committed tables: `python lessons/21_which_method/experiment.py` races methods on every task named here.

For each task: learning rates swept on dev, five seeds, the test split read once at the end of each run; results go to
`data/results/<task>.json`, the winning rates to `data/results/learning_rates.json`. Can be killed and run again; runs
that another race has made already are kept.
"""

import shlex
import sys
from pathlib import Path

from minipeft.commands.arguments import DEFAULT_MODEL
from minipeft.commands.compare import compare
from minipeft.files import write_json
from minipeft.flags import OneSentenceParser, ended, whole
from minipeft.methods.registry import METHODS
from minipeft.racing.entries import split_entries
from minipeft.racing.every_method import fitting, with_bundled_starts
from minipeft.racing.picture import picture
from minipeft.racing.pool import default_workers
from minipeft.racing.runs import CONTROLS, RunSpec
from minipeft.racing.sweep import RESULTS, TUNED, read_rates

FRONT = ("full", "lora", "houlsby", "pfeiffer", "mam", "ia3", "norm_tuning", "prefix_tuning", "p_tuning_v2",
         "prompt_tuning", "hard_prompt")  # fmt: skip
UNTOLD = ("out", "workers")  # flags on which no number depends
TASKS = ("topic", "category", "opinion_now")  # with sentiment, on which all methods are raced, the front table's four


def accept(base: RunSpec, methods: list[str], seeds: int, workers: int, name: str, command: str) -> None:
    """Tune and race on one task, and copy what came out to `data/results/<name>.json`."""
    report = compare(base, methods, seeds, workers, tune=True)
    report["command"] = command
    write_json(RESULTS / f"{name}.json", report)
    if not base.shots:
        rates = read_rates(TUNED)
        won = {row: rate for row, rate in report["learning_rates"].items() if rate and row in {*METHODS, *CONTROLS}}
        rates.setdefault(base.model, {}).setdefault(base.task, {}).update(won)
        write_json(TUNED, rates)
    picture(report, RESULTS / f"{name}.png")


def main() -> None:
    parser = OneSentenceParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", help=f"as for compare, or all (default: {','.join(FRONT)} and the controls)")
    parser.add_argument("--name", default="", help="goes behind the task in the names of the files")
    parser.add_argument("--shots", type=whole(), help="as for compare")
    parser.add_argument("--steps", type=whole(), default=RunSpec.steps)
    parser.add_argument("--seeds", type=whole(), default=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=whole(), help="worker processes (default: one per core, one on a GPU)")
    parser.add_argument("--out", default="runs/acceptance")
    args = parser.parse_args()
    if args.methods and args.methods != "all":
        methods = split_entries(args.methods, [*METHODS, *CONTROLS])
    elif not args.methods:
        methods = fitting((*FRONT, *CONTROLS), args.model)
    for task in args.tasks.split(","):
        flags = vars(args) | {"tasks": task}
        told = [f"--{flag} {shlex.quote(str(value))}" for flag, value in flags.items() if value and flag not in UNTOLD]
        command = f"python lessons/21_which_method/experiment.py {' '.join(told)}"
        folder = Path(args.out) / (f"{task}-{args.shots}shots" if args.shots else task)
        told_of_all = {"steps": args.steps, "shots": args.shots, "device": args.device}
        base = RunSpec(folder=str(folder), model=args.model, task=task, method="", **told_of_all)
        name = f"{task}-{args.name}" if args.name else task
        if args.methods == "all":
            methods = fitting(with_bundled_starts((*METHODS, *CONTROLS), task), args.model)
        accept(base, methods, args.seeds, args.workers or default_workers(args.device), name, command)


if __name__ == "__main__":
    sys.exit(ended(main))
