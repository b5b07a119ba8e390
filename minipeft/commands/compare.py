"""`python -m minipeft compare`: several methods, several seeds, one task, one table and one picture."""

import time
from pathlib import Path

from minipeft.files import write_json
from minipeft.provenance import provenance
from minipeft.racing.picture import picture
from minipeft.racing.race import race
from minipeft.racing.runs import CONTROLS, RunSpec
from minipeft.racing.sweep import bundled_rates
from minipeft.racing.table import markdown


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
    report = {"title": title, **race(base, methods, seeds, workers, tune, rates)}
    rows = report["rows"]
    table = markdown(rows)
    print(f"\n{table}\n\nScore: {report['metric']} on {base.split}, in percent. Memory: MB at one training step.")
    report |= {"provenance": provenance(), "seconds": round(time.time() - started, 1)}
    write_json(Path(base.folder) / "result.json", report)
    (Path(base.folder) / "table.md").write_text(table + "\n", encoding="utf-8")
    path = Path(base.folder) / "picture.png"
    if picture(report, path):
        print(f"Picture: {path}")
    else:
        print("No picture: install the extra with  pip install -e '.[plots]'  to get one.")
    return rows
