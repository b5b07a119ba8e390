"""Equal tuning effort: every method gets its own grid of four learning rates, judged on dev by three extra seeds.

A ranking of methods at one rate each is a ranking of rates. Grids grow until their winners stand inside (`rates.py`
says how one wins, and when a rate is given up after one seed). The test split is not read here.
"""

from dataclasses import replace
from pathlib import Path
from statistics import mean

from minipeft.errors import UserError
from minipeft.files import read_json, write_json
from minipeft.methods.prompts.embedding_size import embedding_size
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.registry import METHODS
from minipeft.methods.selective.full import Full
from minipeft.models import load
from minipeft.paths import DATA
from minipeft.provenance import provenance
from minipeft.racing.entries import make_method, parse_entry
from minipeft.racing.pool import run_all
from minipeft.racing.rates import Scores, hopeful, is_inside, next_rate, value, winner
from minipeft.racing.runs import RunSpec, folder_name, get_task, new_method, with_seed

RESULTS = DATA / "results"
TUNED = RESULTS / "learning_rates.json"
SWEEP_SEEDS = (1000, 1001, 1002)  # apart from the seeds 0, 1, 2, ... that are reported
UNIT = "unit of prompts"  # what a file of rates says of them
WIDENINGS = 4  # how often a grid may grow


def bundled_rates(model: str, task: str) -> dict[str, float]:
    """The rates that won our own sweep for this model and task, by method; empty where there was none."""
    return read_rates(TUNED).get(model, {}).get(task, {})


def read_rates(file: Path) -> dict:
    """A file of rates by model, task and method. In older ones those of prompts are not in units of the embeddings."""
    rates = read_json(file) if file.exists() else {}
    if UNIT not in rates:
        for model, tasks in rates.items():
            size = float(embedding_size(load(model)))
            for found in tasks.values():
                prompts = [name for name in found if issubclass(METHODS.get(name, Full), PromptTuning)]
                found.update({name: float(f"{found[name] / size:.3g}") for name in prompts})
        rates[UNIT] = "the r.m.s. of the base's embeddings"
    return rates


def refuse_swept(seeds: range) -> None:
    """Raise UserError where a rate chosen by `SWEEP_SEEDS` would be judged by them too, and by the words they drew."""
    if both := [seed for seed in SWEEP_SEEDS if seed in seeds]:
        raise UserError(
            f"Seed {both[0]} cannot be raced: learning rates are chosen on the seeds {SWEEP_SEEDS[0]} to "
            f"{SWEEP_SEEDS[-1]}. Take other ones with --seed and --seeds."
        )


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
    """The runs of all grids as they are at first: one for each entry of `methods`, rate and seed, scored on dev."""
    task = get_task(base)
    return [
        run
        for spec in entry_specs(base, methods) if spec.method != "untuned"
        for rate in new_method(spec, task).learning_rate_grid  # which may depend on what the method takes from the task
        for run in runs_at(spec, rate)
    ]  # fmt: skip


def runs_at(spec: RunSpec, rate: float) -> list[RunSpec]:
    """The runs of one row at one rate."""
    folder = Path(spec.folder) / "sweep"
    return [
        replace(
            with_seed(spec, seed),
            folder=str(folder / f"{folder_name(spec.row)}-{rate:g}-seed{seed}"),
            learning_rate=rate,
            split="dev",
        )
        for seed in SWEEP_SEEDS
    ]


def sweep(base: RunSpec, methods: list[str], workers: int) -> tuple[dict[str, float], dict[str, dict]]:
    """Run the grids, and what they grow by: the best rate of each row, and how it came about. `sweep.json` keeps both.

    Of each row: "dev", the scores of every rate, null where training failed; "rate", the winner; "inside", whether
    lower and higher ones were tried. Raises UserError where training fails at all rates of a row.
    """
    rows = {spec.row: spec for spec in entry_specs(base, methods)}
    specs = sweep_specs(base, methods)
    dev: dict[str, Scores] = {spec.row: {} for spec in specs}
    for grown in range(WIDENINGS + 1):
        add_scores(dev, [spec for spec in specs if spec.seed == SWEEP_SEEDS[0]], workers)
        while further := [spec for spec in specs if spec.seed != SWEEP_SEEDS[0] and wants_seeds(dev, spec)]:
            add_scores(dev, further, workers)  # again where a rate that was ahead fell back
        best = {row: winner(scores) for row, scores in dev.items()}
        edges = {row: rate for row, rate in best.items() if not is_inside(dev[row], rate) and len(dev[row]) > 1}
        if not edges or grown == WIDENINGS:
            break
        specs = [run for row, rate in edges.items() for run in runs_at(rows[row], next_rate(dev[row], rate))]
    found = {
        row: {"rate": best[row], "inside": is_inside(scores, best[row]), "dev": dict(sorted(scores.items()))}
        for row, scores in dev.items()
    }
    write_json(Path(base.folder) / "sweep.json", {"rows": found, "provenance": provenance()})
    for row, outcome in found.items():
        print(f"  {in_words(row, outcome)}")
    return best, found


def wants_seeds(dev: dict[str, Scores], spec: RunSpec) -> bool:
    """Whether the rate of `spec` has one seed so far and may still win."""
    scores = dev[spec.row]
    return len(scores[spec.learning_rate]) == 1 and spec.learning_rate in hopeful(scores)


def add_scores(dev: dict[str, Scores], specs: list[RunSpec], workers: int) -> None:
    """Run the specs and put their dev scores into `dev`, by row and rate."""
    for spec, result in zip(specs, run_all(specs, workers, "sweep on dev"), strict=True):
        score = None if "failed" in result else result["dev"]
        dev[spec.row].setdefault(spec.learning_rate, []).append(score)


def in_words(row: str, outcome: dict) -> str:
    """The winner of a row's sweep and how it stands. Raises UserError where there is none."""
    rate, dev = outcome["rate"], outcome["dev"]
    tried = f"{min(dev):g} to {max(dev):g}"
    if None in dev[rate]:
        raise UserError(f"{row}: training fails at every learning rate from {tried}: the loss is no number.")
    place = "" if outcome["inside"] else f", at the edge of {tried}"
    return f"{row}: learning rate {rate:g}, dev {mean(dev[rate]):.1f}, less its spread {value(dev[rate]):.1f}{place}"


def dev_means(outcome: dict) -> dict[float, float]:
    """The mean dev score at each rate; a run that failed counts as 0."""
    return {rate: mean(score or 0.0 for score in scores) for rate, scores in outcome["dev"].items()}
