"""Equal tuning effort: every method gets its own grid of four learning rates, judged on dev by one extra seed.

A ranking of methods at one rate each is a ranking of rates. The test split is not read here.
"""

from dataclasses import replace
from pathlib import Path

from minipeft.errors import UserError
from minipeft.files import read_json, write_json
from minipeft.paths import DATA
from minipeft.provenance import provenance
from minipeft.racing.entries import make_method, parse_entry
from minipeft.racing.pool import run_all
from minipeft.racing.runs import RunSpec, folder_name, get_task, new_method, with_seed

RESULTS = DATA / "results"
TUNED = RESULTS / "learning_rates.json"
SWEEP_SEED = 1000  # apart from the seeds 0, 1, 2, ... that are reported


def bundled_rates(model: str, task: str) -> dict[str, float]:
    """The rates that won our own sweep for this model and task, by method; empty where there was none."""
    rates = read_json(TUNED) if TUNED.exists() else {}
    return rates.get(model, {}).get(task, {})


def grid(method: str, hyperparameters: dict | None = None) -> tuple[float, ...]:
    """The rates to try, which may depend on the hyper-parameters; the random base is tuned like full tuning."""
    return make_method("full" if method == "random_base" else method, hyperparameters or {}).learning_rate_grid


def entry_specs(base: RunSpec, methods: list[str]) -> list[RunSpec]:
    """What every run of an entry of `methods` has in common (`parse_entry` says what an entry is)."""
    entries = [parse_entry(text) for text in methods]
    labels = [entry.label for entry in entries]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UserError(f"Two rows would be called {twice[0]!r}: give one a name, as in  other={twice[0]}")
    return [
        replace(
            base,
            method=entry.method,
            hyperparameters=entry.hyperparameters,
            label="" if entry.label == entry.method else entry.label,
        )
        for entry in entries
    ]


def sweep_specs(base: RunSpec, methods: list[str]) -> list[RunSpec]:
    """One run for each entry of `methods` and rate, scored on dev."""
    folder, task = Path(base.folder) / "sweep", get_task(base)
    return [
        replace(with_seed(spec, SWEEP_SEED), folder=str(folder / f"{folder_name(spec.row)}-{rate:g}"),
                learning_rate=rate, split="dev")
        for spec in entry_specs(base, methods) if spec.method != "untuned"
        for rate in new_method(spec, task).learning_rate_grid  # which may depend on what the method takes from the task
    ]  # fmt: skip


def sweep(base: RunSpec, methods: list[str], workers: int) -> tuple[dict[str, float], dict[str, dict[float, float]]]:
    """Run the grid; the best rate of each row, and the dev score of every rate. Both are kept in `sweep.json`."""
    specs = sweep_specs(base, methods)
    scores: dict[str, dict[float, float]] = {}
    for spec, result in zip(specs, run_all(specs, workers, "sweep on dev"), strict=True):
        scores.setdefault(spec.row, {})[spec.learning_rate] = result["dev"]
    best = {method: max(by_rate, key=by_rate.get) for method, by_rate in scores.items()}
    write_json(Path(base.folder) / "sweep.json", {"best": best, "dev_scores": scores, "provenance": provenance()})
    for method, rate in best.items():
        print(f"  {method}: learning rate {rate:g}, dev {scores[method][rate]:.1f}")
    return best, scores
