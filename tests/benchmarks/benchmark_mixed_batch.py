"""Time to answer a batch of texts of several tasks: all rows at once, or task by task with its adapter put in.

Both sides have the same frozen base, the same adapters and the same rows, and write the same number of tokens greedily.
Task by task, an adapter's numbers are copied into the attached method before its rows are read. The sides take turns.

    python tests/benchmarks/benchmark_mixed_batch.py --out tests/benchmarks/mixed_batch.json
"""

import argparse
import copy
import statistics
import time
from dataclasses import replace

import pytest
import torch
from benchmark_step_time import quartiles
from training_steps import SHAPES, SOURCE, VOCABULARY, new_model

from minipeft.files import write_json
from minipeft.methods.registry import METHODS
from minipeft.provenance import provenance
from minipeft.serving.mixed_batch import MixedBatch
from minipeft.transformer.batch import Batch, pad

TOKENS = 8  # written for each row; no row ends early, as there is no end-of-sequence
METHODS_MIXED = {"prompt_tuning": {"prompt_length": 20, "init": "uniform"}, "lora": {"rank": 8}}
CASES = [(shape, method) for shape in SHAPES if shape.endswith("1.7m") for method in METHODS_MIXED]


def adapters(model, method: str, tasks: int) -> list[dict]:
    """States of `tasks` different adapters, as if each had been trained."""
    states = []
    for _ in range(tasks):
        one = METHODS[method](**METHODS_MIXED[method])
        one.attach(model)
        states.append({name: 0.02 * torch.randn_like(value) for name, value in one.state_dict().items()})
        one.detach()
    return states


def sources(rows: int) -> Batch:
    """Rows of half to full length."""
    lengths = torch.randint(SOURCE // 2, SOURCE + 1, (rows,)).tolist()
    return Batch(*pad([torch.randint(2, VOCABULARY, (length,)).tolist() for length in lengths]))


def sides(shape: str, method: str, tasks: int, rows: int) -> dict:
    """For each side a function that answers all texts, (tasks * rows) of them, task after task."""
    mixed_model = new_model(shape).eval()
    mixed_model.config = replace(mixed_model.config, eos=-1)
    switched_model = copy.deepcopy(mixed_model)
    states, batch = adapters(mixed_model, method, tasks), sources(tasks * rows)
    parts = [slice(task * rows, (task + 1) * rows) for task in range(tasks)]
    mixed = MixedBatch(METHODS[method](**METHODS_MIXED[method]), states)
    mixed.attach(mixed_model)
    switched = METHODS[method](**METHODS_MIXED[method])
    switched.attach(switched_model)
    numbers = [task for task in range(tasks) for _ in range(rows)]

    def together() -> list[list[int]]:
        with mixed.rows(numbers):
            return mixed_model.generate(batch, TOKENS)

    def one_by_one() -> list[list[int]]:
        answers = []
        for state, part in zip(states, parts, strict=True):
            switched.load_state_dict(state)
            answers += switched_model.generate(Batch(batch.source[part], batch.source_mask[part]), TOKENS)
        return answers

    return {"mixed": together, "switched": one_by_one}


def measure(shape: str, method: str, tasks: int, rows: int, rounds: int) -> dict:
    """Median and quartiles of milliseconds for all answers on both sides, and of their ratio, round by round."""
    torch.manual_seed(0)
    run, seconds = sides(shape, method, tasks, rows), {"mixed": [], "switched": []}
    first = {name: answer() for name, answer in run.items()}
    same = statistics.mean(a == b for a, b in zip(first["mixed"], first["switched"], strict=True))
    if same < 0.9:  # rounding may turn the choice between two equally likely tokens of a random model
        raise RuntimeError(f"Only {same:.0%} of the rows get the same answer from both sides.")
    for number in range(rounds):
        for name in sorted(run, reverse=number % 2 == 1):  # who goes first changes, as caches and clocks drift
            start = time.perf_counter()
            run[name]()
            seconds[name].append(time.perf_counter() - start)
    ratios = [mixed / switched for mixed, switched in zip(seconds["mixed"], seconds["switched"], strict=True)]
    return {
        "shape": shape,
        "method": method,
        "tasks": tasks,
        "rows_per_task": rows,
        "same_answers": round(same, 4),
        "milliseconds": {name: quartiles([1000 * second for second in taken]) for name, taken in seconds.items()},
        "time_ratio": quartiles(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="timed answers of each side in each case")
    parser.add_argument("--tasks", default="2,8,32", help="numbers of tasks in the batch")
    parser.add_argument("--rows", default="1,4", help="numbers of rows of each task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="result file to write")
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    print(f"{'':24} {'tasks':>5} {'rows':>4} {'mixed ms':>9} {'switched':>9} {'ratio (quartiles)':>22}")
    results = []
    for shape, method in CASES:
        for tasks in map(int, settings.tasks.split(",")):
            for rows in map(int, settings.rows.split(",")):
                row = measure(shape, method, tasks, rows, settings.rounds)
                mixed, switched = (row["milliseconds"][name][1] for name in ("mixed", "switched"))
                low, middle, high = row["time_ratio"]
                ratio = f"{middle:.2f} ({low:.2f}-{high:.2f})"
                print(f"{shape + ' ' + method:24} {tasks:5} {rows:4} {mixed:9.1f} {switched:9.1f} {ratio:>22}")
                results.append(row)
    if settings.out:
        command = f"python tests/benchmarks/benchmark_mixed_batch.py --rounds {settings.rounds}"
        flags = f"--tasks {settings.tasks} --rows {settings.rows} --threads {settings.threads} --out {settings.out}"
        run = {"command": f"{command} {flags}", **provenance(), "tokens": TOKENS, "source": SOURCE}
        write_json(settings.out, {**run, "adapters": METHODS_MIXED, "results": results})


@pytest.mark.benchmark
@pytest.mark.parametrize(("shape", "method"), CASES)
def test_one_batch_of_eight_tasks_is_faster_than_task_by_task(shape, method):
    torch.set_num_threads(1)
    assert measure(shape, method, tasks=8, rows=1, rounds=9)["time_ratio"][1] < 1


if __name__ == "__main__":
    main()
