"""Time to answer one text for several tasks: with the layers below all adapters computed once, or each task whole.

Both sides have the same frozen base, the same adapters in the same layers, and the same texts, source and target. The
number of free layers counts T5's encoder from the bottom and then its decoder. The sides take turns.

    python tests/benchmarks/benchmark_adapter_drop.py --out tests/benchmarks/adapter_drop.json
"""

import argparse
import time

import pytest
import torch
from benchmark_step_time import quartiles
from training_steps import ROWS, SHAPES, SOURCE, TARGET, new_model, random_batch

from minipeft.files import write_json
from minipeft.methods.adapters.adapter_drop import AdapterDrop
from minipeft.provenance import provenance
from minipeft.serving.shared_lower_layers import SharedLowerLayers

BOTTLENECK = 16
LAYERS = {"t5-8.9m": 8, "gpt-5.6m": 6}


def adapters(model, free: int, tasks: int) -> list[dict]:
    """States of different adapters above the `free` lowest layers, as if each had been trained."""
    method, states = AdapterDrop(BOTTLENECK, dropped=free), []
    for _ in range(tasks):
        method.attach(model)
        states.append({name: 0.02 * torch.randn_like(value) for name, value in method.state_dict().items()})
        method.detach()
    return states


@torch.no_grad()
def measure(shape: str, tasks: int, free: int, rounds: int) -> dict:
    """Median and quartiles of milliseconds for all tasks on both sides, and of how many times faster sharing is."""
    torch.manual_seed(0)
    model, batch = new_model(shape).eval(), random_batch()
    shared = SharedLowerLayers(AdapterDrop(BOTTLENECK, dropped=free), adapters(model, free, tasks))
    shared.attach(model)
    run = {
        "shared": lambda: shared.outputs(batch),
        "whole": lambda: [shared.logits(task, batch) for task in range(tasks)],
    }
    first, seconds = {name: answer() for name, answer in run.items()}, {name: [] for name in run}
    torch.testing.assert_close(first["shared"], first["whole"])
    for number in range(rounds):
        for name in sorted(run, reverse=number % 2 == 1):  # who goes first changes, as caches and clocks drift
            start = time.perf_counter()
            run[name]()
            seconds[name].append(time.perf_counter() - start)
    return {
        "shape": shape,
        "layers": LAYERS[shape],
        "tasks": tasks,
        "free_layers": free,
        "milliseconds": {name: quartiles([1000 * second for second in taken]) for name, taken in seconds.items()},
        "speed_up": quartiles([b / a for a, b in zip(seconds["shared"], seconds["whole"], strict=True)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="timed answers of each side in each case")
    parser.add_argument("--tasks", default="2,4,8", help="numbers of tasks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="two tasks, three rounds, two numbers of free layers")
    parser.add_argument("--out", help="result file to write")
    settings = parser.parse_args()
    if settings.quick:
        settings.rounds, settings.tasks = 3, "2"
    torch.set_num_threads(settings.threads)
    print(f"{'':10} {'tasks':>5} {'free':>6} {'shared ms':>10} {'whole ms':>9} {'speed-up (quartiles)':>22}")
    results = []
    for shape, layers in LAYERS.items():
        for tasks in map(int, settings.tasks.split(",")):
            for free in range(0, layers, layers // 2 if settings.quick else 1):
                row = measure(shape, tasks, free, settings.rounds)
                shared, whole = (row["milliseconds"][name][1] for name in ("shared", "whole"))
                low, middle, high = row["speed_up"]
                gain = f"{middle:.2f} ({low:.2f}-{high:.2f})"
                print(f"{shape:10} {tasks:5} {free:2} of {layers} {shared:10.1f} {whole:9.1f} {gain:>22}", flush=True)
                results.append(row)
    if settings.out:
        flags = f"--rounds {settings.rounds} --tasks {settings.tasks} --threads {settings.threads}"
        quick = " --quick" if settings.quick else ""
        command = f"python tests/benchmarks/benchmark_adapter_drop.py {flags}{quick} --out {settings.out}"
        sizes = {"rows": ROWS, "source": SOURCE, "target": TARGET, "bottleneck": BOTTLENECK}
        write_json(settings.out, {"command": command, **provenance(), **sizes, "results": results})


def test_the_layers_named_here_are_those_of_the_shapes():
    for shape, layers in LAYERS.items():
        config = SHAPES[shape]
        assert layers == (config.encoder_layers + config.decoder_layers if shape[0] == "t" else config.layers)


@pytest.mark.benchmark
@pytest.mark.parametrize("shape", LAYERS)
def test_eight_tasks_that_share_half_of_the_layers_are_faster_than_task_by_task(shape):
    torch.set_num_threads(1)
    assert measure(shape, tasks=8, free=LAYERS[shape] // 2, rounds=5)["speed_up"][1] > 1.1


if __name__ == "__main__":
    main()
