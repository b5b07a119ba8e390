"""`python -m minipeft compare`: several methods, several seeds, one task, one table.

Runs go to worker processes of one thread each: on a CPU, two of them do more than one with two threads. Every finished
run is a file, so a killed comparison goes on where it stopped.
"""

import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from minipeft.commands.runs import CONTROLS, RunSpec, finished, get_task, run
from minipeft.commands.table import markdown, picture, summarise
from minipeft.models import load
from minipeft.provenance import provenance, write_json
from minipeft.tasks.task import DATA
from minipeft.training.trainer import TrainingSettings, fine_tune

TUNED = DATA / "results" / "learning_rates.json"


def tuned_learning_rate(model: str, task: str, method: str) -> float | None:
    """The rate that won the bundled dev sweep for this model, task and method; None where there was none."""
    rates = json.loads(TUNED.read_text(encoding="utf-8"))["best"] if TUNED.exists() else {}
    return rates.get(model, {}).get(task, {}).get(method)


def make_specs(base: RunSpec, methods: list[str], seeds: int) -> list[RunSpec]:
    """One run per method and seed, each in its own folder; the untuned base needs no seeds."""
    specs = []
    for seed in range(base.seed, base.seed + seeds):
        for method in methods:
            if method == "untuned" and seed > base.seed:
                continue
            rate = base.learning_rate or (None if base.data else tuned_learning_rate(base.model, base.task, method))
            folder = Path(base.folder) / "runs" / f"{method}-seed{seed}"
            specs.append(replace(base, folder=str(folder), method=method, seed=seed, learning_rate=rate))
    return specs


def estimate_seconds(specs: list[RunSpec], workers: int) -> float:
    """A rough forecast from three steps of full tuning on this machine."""
    from minipeft.methods.selective.full import Full

    model, task = load(specs[0].model).to(specs[0].device), get_task(specs[0])
    method = Full()
    method.attach(model)
    settings = TrainingSettings(steps=3, batch_size=specs[0].batch_size, evaluate_every=10**9)
    per_step = fine_tune(model, method, replace(task, dev=task.dev[:8]), settings).seconds_per_step
    evaluation = 0.2  # dev and test reading, measured as a share of training time on the bundled tasks
    return sum(spec.steps for spec in specs if spec.method != "untuned") * per_step * (1 + evaluation) / workers


def start_worker(threads: int) -> None:
    torch.set_num_threads(threads)


def run_all(specs: list[RunSpec], workers: int, describe: str = "runs") -> list[dict]:
    """The results of all runs in the order of `specs`; finished ones are read, the others made."""
    results = {spec.folder: finished(spec) for spec in specs}
    missing = [spec for spec in specs if results[spec.folder] is None]
    if len(missing) < len(specs):
        print(f"{len(specs) - len(missing)} of {len(specs)} runs are there already and are kept.")
    # Workers are spawned, not forked: a forked process cannot use CUDA and inherits PyTorch's threads in any state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=start_worker, initargs=(1,)) as pool:
        futures = {pool.submit(run, spec): spec for spec in missing}
        with tqdm(total=len(missing), desc=describe, disable=not missing) as bar:
            for future in as_completed(futures):
                spec = futures[future]
                results[spec.folder] = outcome = future.result()
                bar.update()
                bar.set_postfix_str(f"{spec.method} seed {spec.seed}: {outcome[spec.split]:.1f}")
    return [results[spec.folder] for spec in specs]


def compare(base: RunSpec, methods: list[str], seeds: int, workers: int, title: str) -> list[dict]:
    """Run everything, print the table, write `result.json`, `table.md` and, with matplotlib, `picture.png`."""
    specs = make_specs(base, methods, seeds)
    todo = [spec for spec in specs if finished(spec) is None]
    print(
        f"{title}: {len(methods)} methods x {seeds} seed(s) on {base.model}, {base.steps} steps each, in {base.folder}"
    )
    for name in methods:
        if name in CONTROLS:
            print(f"  {name}: {CONTROLS[name]}")
    if todo:
        seconds = estimate_seconds(todo, workers)
        print(f"About {max(1, round(seconds / 60))} minute(s) with {workers} worker process(es).", flush=True)
    started = time.time()
    results = run_all(specs, workers)
    rows = summarise(results, base.split)
    table = markdown(rows)
    print(f"\n{table}\n\nScore: {results[0]['metric']} on {base.split}, in percent. Memory: MB at one training step.")
    report = {"title": title, "provenance": provenance(), "seconds": round(time.time() - started, 1), "rows": rows}
    write_json(Path(base.folder) / "result.json", report)
    (Path(base.folder) / "table.md").write_text(table + "\n", encoding="utf-8")
    path = Path(base.folder) / "picture.png"
    if picture(rows, title, results[0]["chance"], path):
        print(f"Picture: {path}")
    else:
        print("No picture: install the extra with  pip install -e '.[plots]'  to get one.")
    return rows


def default_workers(device: str) -> int:
    """One process per core on a CPU, one process on a GPU."""
    return 1 if device.startswith("cuda") else max(1, os.cpu_count() or 1)
