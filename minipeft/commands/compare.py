"""`python -m minipeft compare`: several methods, several seeds, one task, one table and one picture."""

import time
from dataclasses import asdict, replace
from pathlib import Path

from minipeft.provenance import provenance, write_json
from minipeft.racing.picture import picture
from minipeft.racing.pool import forecast, run_all
from minipeft.racing.runs import CONTROLS, RunSpec
from minipeft.racing.sweep import bundled_rates, entry_specs, folder_name, sweep, sweep_specs
from minipeft.racing.table import markdown, summarise


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


def compare(base: RunSpec, methods: list[str], seeds: int, workers: int, tune: bool = False) -> list[dict]:
    """Run everything, print the table, write `result.json`, `table.md` and, with matplotlib, `picture.png`.

    tune: first choose each method's learning rate on dev; otherwise the bundled sweep's winner is taken where there is
    one for this model and task.
    """
    title = f"{base.data or base.task}, {base.model}" + (f", {base.shots} shots" if base.shots else "")
    print(f"{title}: {len(methods)} methods x {seeds} seed(s), {base.steps} steps each, in {base.folder}")
    for name in methods:
        if name in CONTROLS:
            print(f"  {name}: {CONTROLS[name]}")
    started = time.time()
    rates = {} if base.data or base.shots else bundled_rates(base.model, base.task)
    if tune:
        print(f"Learning rates on dev: {forecast(sweep_specs(base, methods), workers)}", flush=True)
        rates = sweep(base, methods, workers)
    specs = make_specs(base, methods, seeds, rates)
    print(f"The race: {forecast(specs, workers)}", flush=True)
    results = run_all(specs, workers, "race")
    rows = summarise(results, base.split)
    table = markdown(rows)
    print(f"\n{table}\n\nScore: {results[0]['metric']} on {base.split}, in percent. Memory: MB at one training step.")
    report = {
        "title": title,
        "metric": results[0]["metric"],
        "chance": results[0]["chance"],
        "settings": asdict(replace(base, folder="", method="")),
        "seeds": seeds,
        "learning_rates": {spec.row: spec.learning_rate for spec in specs},
        "provenance": provenance(),
        "commits": sorted({result["provenance"]["commit"] for result in results}),  # runs may be older than the report
        "seconds": round(time.time() - started, 1),
        "rows": rows,
    }
    write_json(Path(base.folder) / "result.json", report)
    (Path(base.folder) / "table.md").write_text(table + "\n", encoding="utf-8")
    path = Path(base.folder) / "picture.png"
    if picture(report, path):
        print(f"Picture: {path}")
    else:
        print("No picture: install the extra with  pip install -e '.[plots]'  to get one.")
    return rows
