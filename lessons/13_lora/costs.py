"""What a step and a use of LoRA cost on the larger base: operations and bytes, counted; times, taken by turns."""

import time
from itertools import pairwise
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

import minipeft
from minipeft.memory.counting import step_memory
from minipeft.methods.adapters.houlsby import Houlsby
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.selective.full import Full
from minipeft.training.batches import collate, encode_examples
from minipeft.training.optimizers import make_optimizer
from minipeft.transformer.batch import Batch

LARGER, TASK = "t5-1.7m", "sentiment"
SIZES = ((32, 128), (8, 64), (1, 32))  # (batch, length) of the sources when latency is taken
ANSWER, BLOCKS = 4, 5

# Operations and bytes, counted.


def new_methods() -> dict:
    return {"full": Full(), "lora": LoRA(rank=8, alpha=16), "lora q, v": LoRA(8, 16, ("query", "value"))}


def task_batch(model, size: int = 32) -> Batch:
    return collate(encode_examples(model, minipeft.load_task(TASK).train[:size]), "cpu")


def counts() -> dict:
    """Floating-point operations of matrix products, forward and backward, and bytes at one step of 32 examples."""
    outcome = {}
    for name, method in new_methods().items():
        model = minipeft.load(LARGER)
        method.attach(model)
        batch = task_batch(model)
        with FlopCounterMode(display=False) as forward:
            loss = model.loss(batch)
        with FlopCounterMode(display=False) as backward:
            loss.backward()
        memory = step_memory(model, method, minipeft.load_task(TASK), 32)
        operations = {"forward": forward.get_total_flops(), "backward": backward.get_total_flops()}
        total = sum(parameter.numel() for parameter in minipeft.load(LARGER).parameters())
        outcome[name] = {**operations, "memory": memory, "trained": method.stored_count(), "total": total}
    return outcome


# Times, taken by turns in one process, one thread.


def by_turns(sides: dict, turns: int) -> dict[str, list]:
    """What each side returns, block after block, a turn of each after the other; the order changes every turn."""
    for side in sides.values():
        side()
    outcome = {name: [[] for _ in range(BLOCKS)] for name in sides}
    for block in range(BLOCKS):
        for turn in range(turns):
            for name in sorted(sides, reverse=turn % 2 == 1):
                outcome[name][block].append(sides[name]())
    return outcome


def training_step(method) -> tuple:
    """A function that makes one step and returns the seconds of forward, backward and optimizer."""
    model = minipeft.load(LARGER)
    method.attach(model)
    batch = task_batch(model)
    optimizer = make_optimizer("adamw", method.parameter_groups(1e-4), 1e-4, 0.0)

    def step() -> tuple[float, float, float]:
        marks = [time.perf_counter()]
        loss = model.loss(batch)
        marks.append(time.perf_counter())
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        optimizer.zero_grad()
        marks.append(time.perf_counter())
        return tuple(b - a for a, b in pairwise(marks))

    return step


def step_times(args) -> dict:
    """Median milliseconds of each part of a step, by block, and LoRA's part over full tuning's."""
    torch.set_num_threads(1)
    taken = by_turns({name: training_step(method) for name, method in new_methods().items()}, 2 if args.quick else 20)
    parts = ("forward", "backward", "optimizer")
    outcome = {name: {part: [1000 * median(step[number] for step in block) for block in blocks]
                      for number, part in enumerate(parts)} for name, blocks in taken.items()}  # fmt: skip
    for name, blocks in taken.items():
        pairs = [list(zip(mine, full, strict=True)) for mine, full in zip(blocks, taken["full"], strict=True)]
        outcome[name]["of_full"] = [median(sum(a) / sum(b) for a, b in block) for block in pairs]
    return outcome


def sides_of_latency() -> dict:
    """Models with the same outputs up to their adapters: LoRA merged, LoRA beside the weights, adapters."""
    merged, models = LoRA(rank=8, alpha=16), {}
    others = {
        "unmerged": LoRA(rank=8, alpha=16),
        "unmerged q, v": LoRA(8, 16, ("query", "value")),
        "houlsby": Houlsby(16),
    }
    for name, method in {"merged": merged, **others}.items():
        models[name] = minipeft.load(LARGER)
        method.attach(models[name])
    merged.merge()
    return models


@torch.no_grad()
def latencies(args) -> dict:
    """By size of the batch: milliseconds of a forward pass when merged, and how many times as long the others take."""
    torch.set_num_threads(1)
    models, outcome = sides_of_latency(), {}
    for size, length in SIZES:
        torch.manual_seed(0)
        source, target = torch.randint(2, 4000, (size, length)), torch.randint(2, 4000, (size, ANSWER))
        batch = Batch(
            source, torch.ones_like(source, dtype=torch.bool), target, torch.ones_like(target, dtype=torch.bool)
        )

        def timed(model, batch=batch) -> float:
            start = time.perf_counter()
            model(batch)
            return time.perf_counter() - start

        turns = 2 if args.quick else max(10, 1000 // (size * length))
        taken = by_turns({name: (lambda model=model: timed(model)) for name, model in models.items()}, turns)
        outcome[f"{size} x {length}"] = {
            "merged_ms": [1000 * median(block) for block in taken["merged"]],
            "ratio": {name: [median(a / b for a, b in zip(mine, base, strict=True))
                             for mine, base in zip(blocks, taken["merged"], strict=True)]
                      for name, blocks in taken.items() if name != "merged"},
        }  # fmt: skip
    return outcome
