"""What a prefix in every layer can do, and which parts of its recipe do it.

    python lessons/06_prefix_tuning/experiment.py

A race on two tasks: prefix tuning with its network and without, a prefix at the embedding alone, an infix, a prompt,
and LoRA beside them. Then other lengths, starts from words with few examples, and what needs no training: prefixes of
zeros, attention's shares, costs. About 65 minutes on one core that has nothing else to do.
"""

import sys
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import QUICK, by_row, kept, main, race
from minipeft.flags import ended
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.racing.pool import run_all
from minipeft.racing.runs import RunSpec
from minipeft.racing.sweep import entry_specs, runs_at

inside = beside(__file__, "inside.py")
MODEL, STEPS = "t5-0.8m", {"sentiment": 500, "topic": 250}
TABLE = "prefix_tuning:reparametrise=false"
ROWS = [
    "network=prefix_tuning",
    f"table={TABLE}",
    "embedding=embedding_prefix",
    "infix=infix_tuning",
    "prompt=prompt_tuning:prompt_length=18",  # as many numbers as a prefix of length 1
]
FIRST_RATES = {"network": PrefixTuning.network_grid, "table": PrefixTuning.table_grid}
LORA = {"lora": 0.01}  # its rate on sentiment at 600 steps
LENGTHS = {"sentiment": (1, 30), "topic": (1, 30, 100)}  # beside the 10 of the race
FEW, FEW_STEPS = ("topic", (50, 500)), 200
STARTS = [
    f"random={TABLE}",
    f"related={TABLE}:init=words:words=topic weather sport music cooking health travel school money farming crime",
    f"elephant={TABLE}:init=words:words=elephant",  # the paper's own example of a word that has nothing to do with it
]


def runs(args: Namespace) -> dict:
    races = {task: race(task, ROWS, MODEL, task, args, steps) for task, steps in STEPS.items()}
    grids = {task: {row: grid(args, task, races[task], row) for row in ("network", "table")} for task in STEPS}
    return {
        **races,
        "lora": {task: race(f"lora-{task}", ["lora"], MODEL, task, args, STEPS[task], LORA) for task in STEPS},
        "grids": grids,
        "over_rates": {
            task: {row: over_rates(row, found) for row, found in rows.items()} for task, rows in grids.items()
        },
        "lengths": {task: lengths(args, task, races[task]) for task in STEPS},
        "few": few(args),
        "zeros": {f"{n}": kept(args, f"zeros-{n}", partial(inside.zeros, n, args)) for n in inside.ZEROS},
        "trained": {row: kept(args, f"trained-{row}", partial(trained, row, args)) for row in ("network", "table")},
        "costs": kept(args, "costs", lambda: inside.costs(args)),
        "written": kept(args, "written", lambda: inside.written(args)),
    }


def base_spec(args: Namespace, task: str) -> RunSpec:
    """What the runs of the race on `task` have in common, as `race` makes them."""
    base = RunSpec(str(Path(args.out) / task), MODEL, task, "", steps=STEPS[task], device=args.device)
    return replace(base, **QUICK) if args.quick else base


def grid(args: Namespace, task: str, raced: dict, row: str) -> dict[str, list[float]]:
    """Dev scores of all rates that the sweep tried, by seed: also of those that it gave up after one."""
    entry = next(entry for entry in ROWS if entry.startswith(f"{row}="))
    spec = entry_specs(base_spec(args, task), [entry])[0]
    rates = sorted(map(float, raced["sweep_runs"][row]["dev"])) if raced["sweep_runs"] else [FIRST_RATES[row][2]]
    specs = [run for rate in rates for run in runs_at(spec, rate)[: args.seeds]]
    results = run_all(specs, args.workers, f"{task}, {row}")
    by_rate = {rate: [found["dev"] for found in results if found["spec"]["learning_rate"] == rate] for rate in rates}
    return {f"{rate:g}": scores for rate, scores in by_rate.items()}


def over_rates(row: str, found: dict[str, list[float]]) -> list[float]:
    """The mean over the rates with which the sweep begins, by seed: of both rows four, a factor of about 33 wide."""
    first = [scores for rate, scores in found.items() if float(rate) in FIRST_RATES[row]]
    return [mean(seed) for seed in zip(*first, strict=True)]


def lengths(args: Namespace, task: str, raced: dict) -> dict:
    """The table in other lengths, at the rate that the race chose for 10."""
    rows = [f"length{n}={TABLE}:prefix_length={n}" for n in LENGTHS[task]]
    rate = raced["learning_rates"]["table"] or FIRST_RATES["table"][2]
    rates = {f"length{n}": rate for n in LENGTHS[task]}
    found = race(f"lengths-{task}", rows, MODEL, task, args, STEPS[task], rates)
    return {"rows": [by_row(raced)["table"] | {"method": "length10"}, *found["rows"]], "settings": found["settings"]}


def few(args: Namespace) -> dict:
    """Three starts of the table with few examples; the rates that win with the fewest serve all."""
    task, counts = FEW
    found, rates = {}, None
    for count in counts:
        raced = race(f"few-{count}", STARTS, MODEL, task, args, FEW_STEPS, rates, shots=count)
        found[f"{count}"], rates = raced, None if args.quick else raced["learning_rates"]
    return found


def trained(row: str, args: Namespace) -> list[dict]:
    """Of each seed's prefix on sentiment: the share of attention that it gets, and the score without parts of it."""
    folder = Path(args.out) / "sentiment" / "runs"
    return [inside.trained(folder / f"{row}-seed{seed}", args) for seed in range(args.seeds)]


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
