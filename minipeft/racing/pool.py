"""Many runs in worker processes of one thread each: on a CPU, two of them do more than one with two threads.

Every finished run is a file, so a killed command goes on where it stopped.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace

import torch
from tqdm import tqdm

from minipeft.methods.selective.full import Full
from minipeft.models import load
from minipeft.racing.runs import RunSpec, finished, get_task, run
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

EVALUATION_SHARE = 0.25  # dev and test reading, as a share of training time, on the bundled tasks


def default_workers(device: str) -> int:
    """One process per core on a CPU, one process on a GPU."""
    return 1 if device.startswith("cuda") else max(1, os.cpu_count() or 1)


def forecast(specs: list[RunSpec], workers: int) -> str:
    """About how long the unfinished runs will take, from three steps of full tuning on this machine."""
    missing = [spec for spec in specs if finished(spec) is None and spec.method != "untuned"]
    if not missing:
        return "Nothing is left to train."
    model, task = load(missing[0].model).to(missing[0].device), get_task(missing[0])
    method = Full()
    method.attach(model)
    settings = TrainingSettings(steps=3, batch_size=missing[0].batch_size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    per_step = fine_tune(model, method, replace(task, dev=task.dev[:8]), settings).seconds_per_step
    torch.set_num_threads(threads)
    seconds = sum(spec.steps for spec in missing) * per_step * (1 + EVALUATION_SHARE) / workers
    return f"{len(missing)} runs, about {max(1, round(seconds / 60))} minute(s) with {workers} worker process(es)."


def start_worker(threads: int) -> None:
    torch.set_num_threads(threads)


def run_all(specs: list[RunSpec], workers: int, description: str) -> list[dict]:
    """The results of all runs in the order of `specs`; finished ones are read, the others made."""
    results = {spec.folder: finished(spec) for spec in specs}
    missing = [spec for spec in specs if results[spec.folder] is None]
    if len(missing) < len(specs):
        print(f"{len(specs) - len(missing)} of {len(specs)} runs are there already and are kept.")
    # Workers are spawned, not forked: a forked process cannot use CUDA and inherits PyTorch's threads in any state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=start_worker, initargs=(1,)) as pool:
        futures = {pool.submit(run, spec): spec for spec in missing}
        with tqdm(total=len(missing), desc=description, disable=not missing) as bar:
            for future in as_completed(futures):
                spec = futures[future]
                results[spec.folder] = outcome = future.result()
                bar.update()
                bar.set_postfix_str(f"{spec.row} seed {spec.seed}: {outcome[spec.split]:.1f}")
    return [results[spec.folder] for spec in specs]
