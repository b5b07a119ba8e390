"""What 4 bits cost: in the numbers, in what the base can do, in the score after tuning, and when an update is merged.

`python lessons/14_qlora/experiment.py [--quick]` measures all of it, `--figures` draws results.json again.
"""

import sys
import time
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import torch
from torch import nn

import minipeft
from minipeft.course.chapters import beside
from minipeft.course.experiment import QUICK, kept, main, race
from minipeft.flags import ended
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.quantization.linear import QuantizedLinear
from minipeft.racing.entries import parse_entry
from minipeft.racing.pool import run_all
from minipeft.racing.race import make_specs
from minipeft.racing.runs import RunSpec, task_of
from minipeft.racing.table import summarise
from minipeft.tasks.task import Task

untuned = beside(__file__, "untuned.py")
BASE, MORE_SEEDS = "t5-0.8m", 10
STEPS = {"sentiment": 300, "topic": 200}
ROWS = ("lora", "nf4=qlora")  # each with a sweep of its own
WHOLE = f"int4_whole=qlora:format=int4:block_size={untuned.WHOLE}"
SHARED = ("nf4_shared=qlora",)  # this and those below at the rate of LoRA's sweep
FORMAT_ROWS = ("fp4=qlora:format=fp4", WHOLE)
START_ROWS = ("loftq", "qpissa", "pissa")
WAYS = {
    "attached": "adapter attached, as trained",
    "exact": "merged: W_q + update, 32 bits",
    "requantized": "merged and quantized again, 4 bits",
    "original": "update added to W in place of W_q",
}


def runs(args: Namespace) -> dict:
    """Every part is kept in a file of its own as soon as it is there; those of a base, too."""

    def of_bases(part: str, measure_base, bases=tuple(untuned.BASES)) -> dict:
        return {base: kept(args, f"{part}-{base}", partial(measure_base, base)) for base in bases}

    batches, draws, seeds = (2, 2, 1) if args.quick else (12, 12, 5)
    more = Namespace(**{**vars(args), "seeds": 1 if args.quick else MORE_SEEDS})
    found = {"sentiment": race("sentiment", list(ROWS), BASE, "sentiment", more, STEPS["sentiment"])}
    rate = found["sentiment"]["learning_rates"]["lora"]
    found |= {
        "formats": at_one_rate("formats", FORMAT_ROWS, "sentiment", rate, args),
        "topic": at_one_rate("topic", ROWS, "topic", rate, args),
        "shared": at_one_rate("formats", SHARED, "sentiment", rate, more),
        "merges": kept(args, "merges", lambda: {task: merges(args, task) for task in ("sentiment", "topic")}),
        "better_starts": at_one_rate("better_starts", START_ROWS, "sentiment", rate, args),
        "stored": of_bases("stored", untuned.stored),
        "normal": kept(args, "normal", lambda: [untuned.normal_weights(seed) for seed in range(seeds)]),
        "real": of_bases("real", untuned.real_weights),
        "loss": of_bases("loss", lambda base: untuned.held_out(base, batches)),
        "skills": kept(args, "skills", lambda: untuned.skills(BASE, draws)),
        "starts": of_bases("starts", lambda base: untuned.starts(base, batches), ("t5-0.4m", "t5-0.8m")),
        "speed": kept(args, "speed", lambda: {rows: speed(rows) for rows in (16, 256, 2048)}),
    }
    return found


def at_one_rate(folder: str, rows: tuple[str, ...], task: str, rate: float, args: Namespace) -> dict:
    """Several rows at one rate: they differ in nothing but how the base is stored and where the update starts."""
    base = RunSpec(str(Path(args.out) / folder), BASE, task, "", steps=STEPS[task], device=args.device)
    base = replace(base, **QUICK) if args.quick else base
    rates = {parse_entry(row).method: rate for row in rows}
    return {"rows": summarise(run_all(make_specs(base, list(rows), args.seeds, rates), args.workers, folder))}


def speed(rows: int, rounds: int = 15) -> dict:
    """Milliseconds of a forward and backward pass of one adapted layer, plain and quantized by turns."""
    torch.manual_seed(0)
    linear = nn.Linear(1024, 1024, bias=False).requires_grad_(False)
    layers = {"lora": LoRALinear(linear, 8, 16), "qlora": LoRALinear(QuantizedLinear(linear, "nf4", 64, True), 8, 16)}
    x = torch.randn(rows, 1024, requires_grad=True)
    times: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(rounds):
        for name, layer in layers.items():
            started = time.perf_counter()
            layer(x).sum().backward()
            times[name].append(1000 * (time.perf_counter() - started))
    return times


def merges(args: Namespace, task_name: str) -> list[dict]:
    """Of every seed of QLoRA: the score as trained, and in three ways without the adapter."""
    limit = 100 if args.quick else None
    rows = []
    for seed in range(args.seeds):
        run = Path(args.out) / task_name / "runs" / f"nf4-seed{seed}"
        rows.append({way: merged(way, run / "adapter.pt", task_of(run), limit) for way in WAYS})
    return rows


@torch.no_grad()
def merged(way: str, file: Path, task: Task, limit: int | None) -> dict:
    """attached: as trained. exact: W_q + update, in 32 bits. requantized: that sum in NF4. original: W + update."""
    model = minipeft.load(BASE)
    base = {name: value.clone() for name, value in model.state_dict().items()}
    method = minipeft.load_adapter(file, model)
    outcome = {}
    if way == "attached":
        layers = [layer for _, layer in method.layers()]
        outcome["update"] = mean(float(layer.update().norm() / layer.linear.weight.norm()) for layer in layers)
        outcome["lost"] = mean(
            untuned.relative_distance(layer.linear.weight, base[f"{path}.weight"]) for path, layer in method.layers()
        )
    if way == "exact":
        method.merge()
    if way == "requantized":
        outcome["error"] = mean(method.merge_requantized().values())
    if way == "original":
        updates = {path: layer.update() for path, layer in method.layers()}
        method.detach()
        for path, update in updates.items():
            model.get_submodule(path).weight.add_(update)
    model.eval()
    found = minipeft.evaluate(model, task, "test", limit=limit)
    return {**outcome, "score": found["score"], "slices": found.get("slices", {})}


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
