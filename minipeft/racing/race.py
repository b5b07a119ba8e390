"""A race: several rows on one task, each with its learning rate and every seed, and what came out of it.

`compare` and the experiments of the lessons both call it, so their numbers are made alike.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from minipeft.methods.selective.full import Full
from minipeft.models import load
from minipeft.racing.finished import finished
from minipeft.racing.pool import run_all
from minipeft.racing.rehearsal import rehearse
from minipeft.racing.runs import RunSpec, folder_name, get_task, with_seed
from minipeft.racing.sweep import dev_means, entry_specs, refuse_swept, sweep, sweep_specs
from minipeft.racing.table import summarise
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

EVALUATION_SHARE = 0.25  # dev and test reading, as a share of training time, on the bundled tasks


def race(
    base: RunSpec,
    entries: list[str],
    seeds: int,
    workers: int,
    tune: bool,
    rates: dict[str, float] | None = None,
    row_done: Callable[[dict], str] = lambda row: "",
) -> dict:
    """Run `entries`, as `parse_entry` reads them, with `seeds` seeds each. Finished runs are kept.

    tune: first choose each row's learning rate on dev; otherwise `rates` hold, by row or by method, and the methods'
    suggestions where there is none. row_done: what to print when a row has all its runs. Returns the report: the rows,
    best first, and how they came about. Raises UserError before the first run where an entry cannot act on the model,
    and where a seed is one of those that choose the rates.
    """
    if tune or rates:
        refuse_swept(range(base.seed, base.seed + seeds))
    rehearse(entry_specs(base, entries))
    tried = {}
    if tune:
        print(f"Learning rates on dev, at first: {forecast(sweep_specs(base, entries), workers)}", flush=True)
        rates, tried = sweep(base, entries, workers)
    specs = make_specs(base, entries, seeds, rates or {})
    print(f"The race: {forecast(specs, workers)}", flush=True)
    wanted, done = Counter(spec.row for spec in specs), {spec.row: [] for spec in specs}

    def run_done(spec: RunSpec, result: dict) -> str:
        done[spec.row].append(result)
        return row_done(*summarise(done[spec.row], base.split)) if len(done[spec.row]) == wanted[spec.row] else ""

    results = run_all(specs, workers, "race", run_done)
    return {
        "metric": results[0]["metric"],
        "chance": results[0]["chance"],
        "settings": asdict(replace(base, folder="", method="")),
        "seeds": seeds,
        "learning_rates": {spec.row: spec.learning_rate for spec in specs},
        "sweep": {row: dev_means(outcome) for row, outcome in tried.items()},
        "sweep_runs": tried,
        "commits": sorted({result["provenance"]["commit"] for result in results}),  # runs may be older than the report
        "rows": summarise(results, base.split),
    }


def make_specs(base: RunSpec, entries: list[str], seeds: int, rates: dict[str, float]) -> list[RunSpec]:
    """One run per entry and seed, each in its own folder.

    Every seed also draws the words of a bundled task anew. The untuned base needs no seeds where nothing is drawn.
    """
    specs = []
    for seed in range(base.seed, base.seed + seeds):
        for spec in entry_specs(base, entries):
            if spec.method == "untuned" and seed > base.seed and base.data is not None:
                continue
            folder = Path(base.folder) / "runs" / f"{folder_name(spec.row)}-seed{seed}"
            rate = rates.get(spec.row, rates.get(spec.method))
            specs.append(replace(with_seed(spec, seed), folder=str(folder), learning_rate=rate))
    return specs


def forecast(specs: list[RunSpec], workers: int) -> str:
    """About how long the unfinished runs will take, from three steps of full tuning on this machine."""
    missing = [spec for spec in specs if finished(spec) is None and spec.method != "untuned"]
    if not missing:
        return "Nothing is left to train."
    model, task = load(missing[0].model).to(missing[0].device), get_task(missing[0])
    method = Full()
    method.attach(model)
    settings = TrainingSettings(
        steps=3, batch_size=missing[0].batch_size, max_source_length=missing[0].max_source_length
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    per_step = fine_tune(model, method, replace(task, dev=task.dev[:8]), settings).seconds_per_step
    torch.set_num_threads(threads)
    workers = min(workers, len(missing))
    seconds = sum(spec.steps for spec in missing) * per_step * (1 + EVALUATION_SHARE) / workers
    time = f"{round(seconds / 60)} minutes" if seconds > 90 else f"{max(10, round(seconds, -1)):.0f} seconds"
    return f"{len(missing)} runs, about {time} with {workers} worker process(es)."
