"""Many runs in worker processes of one thread each: on a CPU, two of them do more than one with two threads.

Every finished run is a file, so a killed command goes on where it stopped. A worker ends with its parent, however that
ends; the first run that fails ends all workers and is named.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch
from tqdm import tqdm

from minipeft.child_processes import end_with_parent
from minipeft.errors import UserError, refusal_of_the_machine
from minipeft.racing.finished import finished
from minipeft.racing.runs import RunSpec, run

Done = Callable[[RunSpec, dict], str]  # what to print when a run is done, "" for nothing


def default_workers(device: str) -> int:
    """One process per core on a CPU, one process on a GPU."""
    return max(1, os.cpu_count() or 1) if device.startswith("cpu") else 1


def run_all(specs: list[RunSpec], workers: int, description: str, done: Done = lambda spec, result: "") -> list[dict]:
    """The results of all runs in the order of `specs`; finished ones are read, the others made.

    `done` is told of every result as it comes, the finished ones first. Raises UserError for the first run that fails,
    and stops the others.
    """
    results = {spec.folder: finished(spec) for spec in specs}
    missing = [spec for spec in specs if results[spec.folder] is None]
    if len(missing) < len(specs):
        print(f"{len(specs) - len(missing)} of {len(specs)} runs are there already and are kept.")
    with tqdm(total=len(missing), desc=description, disable=not missing) as bar:

        def tell(spec: RunSpec) -> None:
            if text := done(spec, results[spec.folder]):
                bar.write(text)

        for spec in specs:
            if spec not in missing:
                tell(spec)
        for spec, result in made(missing, min(workers, len(missing))):
            results[spec.folder] = result
            bar.update()
            bar.set_postfix_str(f"{spec.row} seed {spec.seed}: {result[spec.split]:.1f}")
            tell(spec)
    return [results[spec.folder] for spec in specs]


def made(specs: list[RunSpec], workers: int) -> Iterator[tuple[RunSpec, dict]]:
    """Make all runs and give back each with its result when it is done, in the order in which they end.

    A single worker is this process itself.
    """
    if workers <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for spec in specs:
                yield spec, result_of(spec, *outcome(spec))
        finally:
            torch.set_num_threads(threads)
        return
    waiting, busy, team = list(specs), {}, start_team(workers)
    try:
        for worker in team:
            worker.give(waiting.pop(0))
            busy[worker.line] = worker
        while busy:
            for line in wait(list(busy)):
                worker = busy.pop(line)
                yield worker.spec, worker.result()
                if waiting:
                    worker.give(waiting.pop(0))
                    busy[line] = worker
    finally:  # also after Ctrl-C: what the workers have saved is taken up again by the next call
        for worker in team:
            worker.process.terminate()
        for worker in team:
            worker.process.join()


@dataclass
class Worker:
    """One process, our end of the line to it, and what it does at the moment."""

    process: BaseProcess
    line: Connection
    spec: RunSpec | None = None

    def give(self, spec: RunSpec) -> None:
        self.spec = spec
        try:
            self.line.send(spec)
        except OSError:
            pass  # it has died already, which `result` will tell

    def result(self) -> dict:
        """What came out of the run; raises as `result_of` does, and where the process is gone."""
        try:
            return result_of(self.spec, *self.line.recv())
        except (EOFError, OSError):
            self.process.join()
            raise UserError(
                f"The process of {name(self.spec)} ended by itself (exit code {self.process.exitcode}), as it does "
                "when memory runs out: try fewer --workers. Finished runs are kept."
            ) from None


def start_team(workers: int) -> list[Worker]:
    """Workers are spawned, not forked: a forked process cannot use CUDA and inherits PyTorch's threads in any state."""
    context, team = multiprocessing.get_context("spawn"), []
    here = threading.current_thread() is threading.main_thread()
    # Ctrl-C reaches every process of the terminal; the parent alone answers, from the worker's first moment on.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if here else None
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            team.append(Worker(context.Process(target=work, args=(theirs,), daemon=True), ours))
            team[-1].process.start()
            theirs.close()  # so that our end tells when the process is gone
    finally:
        if here:
            signal.signal(signal.SIGINT, handler)
    return team


def work(line: Connection) -> None:
    """What a worker does: runs, one after the other, until its parent is gone or has no more of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # not inherited on Windows
    tqdm.set_lock(threading.RLock())  # its own is one of the system, which a process that is ended cannot give back
    end_with_parent()
    torch.set_num_threads(1)
    while True:
        try:
            spec = line.recv()
        except EOFError:
            return
        line.send(outcome(spec))


def outcome(spec: RunSpec) -> tuple[dict | None, str, str]:
    """The result of a run, or the sentence of a refusal, or the traceback of a fault."""
    try:
        return run(spec), "", ""
    except UserError as error:
        return None, str(error), ""
    except Exception as error:
        refusal = refusal_of_the_machine(error)
        return None, refusal, "" if refusal else traceback.format_exc()


def result_of(spec: RunSpec, result: dict | None, refusal: str, fault: str) -> dict:
    """The result of an `outcome`. Raises UserError for what the user can mend, RuntimeError for a fault of ours."""
    if refusal:
        raise UserError(f"{name(spec)}: {refusal}")
    if fault:
        raise RuntimeError(f"{name(spec)} failed:\n{fault}")
    return result


def name(spec: RunSpec) -> str:
    return f"{spec.row}, seed {spec.seed}"
