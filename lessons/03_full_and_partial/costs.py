"""What a training step costs: multiplications and bytes, counted; times, taken by turns on one thread."""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

import minipeft
from minipeft.memory.counting import batch_memory
from minipeft.methods.method import Method
from minipeft.methods.selective.freeze_layers import FreezeLayers
from minipeft.methods.selective.full import Full
from minipeft.training.batches import collate, encode_examples
from minipeft.training.optimizers import make_optimizer
from minipeft.transformer.batch import Batch

TASK, TEXTS = "sentiment", 32
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def rows_of(base: str) -> dict[str, Callable[[], Method]]:
    """By the number of trained blocks in each stack: the head alone, then one block more each time, then everything."""
    labels = minipeft.load_task(TASK).labels
    blocks = len(minipeft.load(base).decoder.blocks)
    rows = {str(count): lambda count=count: FreezeLayers(count) for count in range(1, blocks + 1)}
    return {"0": lambda: FreezeLayers(0, head="new", labels=labels), **rows, "all": Full}


def attached(base: str, new_method: Callable[[], Method], texts: int) -> tuple[torch.nn.Module, Method, Batch]:
    model, method = minipeft.load(base), new_method()
    method.attach(model)
    return model, method, collate(encode_examples(model, minipeft.load_task(TASK).train[:texts]))


def by_blocks(base: str, args: argparse.Namespace) -> dict[str, dict]:
    """For each row: numbers trained, multiplications forward and backward, bytes, and milliseconds of a step."""
    rows, found = rows_of(base), {}
    for name, new_method in rows.items():
        model, method, batch = attached(base, new_method, TEXTS)
        with FlopCounterMode(display=False) as forward:
            loss = model.loss(batch)
        with FlopCounterMode(display=False) as backward:
            loss.backward()
        counted = {"forward": forward.get_total_flops() // 2, "backward": backward.get_total_flops() // 2}
        found[name] = {"trained": method.trained_count(), **counted, "bytes": batch_memory(model, method, batch)}
    for name, taken in times({name: step_of(*attached(base, row, TEXTS)) for name, row in rows.items()}, args).items():
        found[name]["milliseconds"] = taken
    return found


def by_batch_size(base: str, args: argparse.Namespace) -> dict[str, dict]:
    """Full tuning on batches of every size: bytes and milliseconds of a step."""
    sides, found = {}, {}
    for size in SIZES:
        model, method, batch = attached(base, Full, size)
        sides[str(size)] = step_of(model, method, batch)
        found[str(size)] = {"bytes": batch_memory(model, method, batch)}
    for name, taken in times(sides, args).items():
        found[name]["milliseconds"] = taken
    return found


def step_of(model, method: Method, batch: Batch) -> Callable[[], float]:
    """A function that makes one step, with so low a rate that nothing changes, and returns its milliseconds."""
    optimizer = make_optimizer("adamw", method.parameter_groups(1e-9), 1e-9)

    def step() -> float:
        start = time.process_time()
        model.loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        return 1000 * (time.process_time() - start)

    return step


def times(sides: dict[str, Callable[[], float]], args: argparse.Namespace) -> dict[str, list[float]]:
    """The median of each side in each block of turns, a turn of each after the other."""
    torch.set_num_threads(1)
    blocks, turns = (1, 2) if args.quick else (args.seeds, 8)
    for side in sides.values():
        side()
    taken = {name: [[] for _ in range(blocks)] for name in sides}
    for block in range(blocks):
        for turn in range(turns):
            for name in sorted(sides, reverse=turn % 2 == 1):  # the order changes every turn
                taken[name][block].append(sides[name]())
    return {name: [median(block) for block in own] for name, own in taken.items()}
