"""A race: several rows on one task, several seeds, learning rates tuned with equal effort or taken as given.

`compare` and the experiments of the course run their races here, so a row means the same wherever it is shown.
"""

from dataclasses import asdict, replace
from pathlib import Path

from minipeft.racing.pool import forecast, run_all
from minipeft.racing.runs import RunSpec
from minipeft.racing.sweep import entry_specs, folder_name, sweep, sweep_specs
from minipeft.racing.table import summarise


def make_specs(base: RunSpec, methods: list[str], seeds: int, rates: dict[str, float]) -> list[RunSpec]:
    """One run per entry and seed, each in its own folder; the untuned base needs no seeds.

    `methods` are entries as `parse_entry` reads them. `rates` by row or by method; without one, the method's suggestion
    is taken.
    """
    specs = []
    for seed in range(base.seed, base.seed + seeds):
        for spec in entry_specs(base, methods):
            if spec.method == "untuned" and seed > base.seed:
                continue
            folder = Path(base.folder) / "runs" / f"{folder_name(spec.row)}-seed{seed}"
            rate = rates.get(spec.row, rates.get(spec.method))
            specs.append(replace(spec, folder=str(folder), seed=seed, learning_rate=rate))
    return specs


def race(
    base: RunSpec, methods: list[str], seeds: int, workers: int, tune: bool, rates: dict[str, float] | None = None
) -> dict:
    """Run everything under `base.folder`, where finished runs are kept, and report.

    tune: first choose each row's learning rate on dev; otherwise `rates` hold, by row or by method. The report has the
    rows, best first, and how they came about: learning_rates, sweep (dev scores of every rate tried, by row), settings,
    metric, chance, and the commits of the runs, which may be older than the report.
    """
    rates, tried = dict(rates or {}), {}
    if tune:
        print(f"Learning rates on dev: {forecast(sweep_specs(base, methods), workers)}", flush=True)
        rates, tried = sweep(base, methods, workers)
    specs = make_specs(base, methods, seeds, rates)
    print(f"The race: {forecast(specs, workers)}", flush=True)
    results = run_all(specs, workers, "race")
    return {
        "metric": results[0]["metric"],
        "chance": results[0]["chance"],
        "settings": asdict(replace(base, folder="", method="")),
        "seeds": seeds,
        "learning_rates": {spec.row: spec.learning_rate for spec in specs},
        "sweep": tried,
        "commits": sorted({result["provenance"]["commit"] for result in results}),
        "rows": summarise(results, base.split),
    }
