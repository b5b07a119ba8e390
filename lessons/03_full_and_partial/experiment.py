"""Which of a model's own numbers to train, and what that costs: `python lessons/03_full_and_partial/experiment.py`.

A race on `sentiment` by the number of trained blocks, by layer-wise rates and by gradual unfreezing; a race of vectors
alone on the GPT. At the rates that won: full tuning and the top blocks on few examples, two tasks one after the other
and together. Operations and bytes are counted, times taken by turns. About an hour on one quiet core.
"""

import argparse
import random
import sys
from dataclasses import replace
from functools import partial
from itertools import product

import torch

import minipeft
from minipeft.course.chapters import beside
from minipeft.course.experiment import QUICK, kept, main, race
from minipeft.flags import ended
from minipeft.methods.method import Method
from minipeft.methods.selective.freeze_layers import FreezeLayers
from minipeft.methods.selective.full import Full
from minipeft.racing.beside_the_score import forgotten
from minipeft.racing.runs import EVALUATE_EVERY
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.multi_task import mixture, prefixed
from minipeft.tasks.task import Task
from minipeft.training.batches import collate, encode_examples
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

costs = beside(__file__, "costs.py")
MODEL, GPT, TASK, OTHER, STEPS = "t5-0.8m", "gpt-1.7m", "sentiment", "topic", 300
ALL_BLOCKS = "freeze_layers:layers=3"
BLOCKS = [
    "head=freeze_layers:layers=0:head=new:labels=task",
    "top1=freeze_layers:layers=1",
    "top2=freeze_layers:layers=2",
    f"top3={ALL_BLOCKS}",
    "full",
]
RATES = [f"slower={ALL_BLOCKS}:decay=0.5", f"faster={ALL_BLOCKS}:decay=2", f"gradual={ALL_BLOCKS}:unfreeze=0.5"]
VECTORS = ["full", "bitfit", "norm_tuning"]
EXAMPLES = (50, 150, 500, 1500)
WATCH_EVERY = 20  # steps between two looks at the loss on dev


def runs(args: argparse.Namespace) -> dict:
    blocks = race("blocks", BLOCKS + RATES, MODEL, TASK, args, STEPS)
    rates = blocks["learning_rates"]
    found = {"blocks": blocks, "vectors": race("vectors", VECTORS, GPT, TASK, args, STEPS), "few": {}}
    for row, count in product(("full", "top1"), EXAMPLES):
        seeds = [kept(args, f"few-{row}-{count}-{rates[row]}-seed{seed}", partial(few, args, row, count, rates, seed))
                 for seed in range(args.seeds)]  # fmt: skip
        found["few"].setdefault(row, {})[str(count)] = seeds
    found["tasks"] = [kept(args, f"tasks-{rates['full']}-seed{seed}", partial(tasks, args, rates["full"], seed))
                      for seed in range(args.seeds)]  # fmt: skip
    found["costs"] = {base: kept(args, f"costs-{base}", partial(costs.by_blocks, base, args)) for base in (MODEL, GPT)}
    found["batches"] = kept(args, "batches", partial(costs.by_batch_size, MODEL, args))
    return found


def settings(args: argparse.Namespace, rate: float | None, seed: int, steps: int = STEPS) -> TrainingSettings:
    """Those of the races."""
    steps = QUICK["steps"] if args.quick else steps
    return TrainingSettings(steps=steps, learning_rate=rate, seed=seed, evaluate_every=EVALUATE_EVERY)


def scored(args: argparse.Namespace, model, task: Task) -> float:
    return evaluate(model, task, "test", limit=QUICK["test_limit"] if args.quick else None)["score"]


# Few examples: what is gained by stopping early.


def few(args: argparse.Namespace, row: str, count: int, rates: dict, seed: int) -> dict:
    """One run on `count` examples: losses while training, and the test score of the best and of the last weights."""
    task = drawn_task(TASK, seed)
    task = replace(task, train=tuple(random.Random(seed).sample(task.train, count)))
    model, method = minipeft.load(MODEL).to(args.device), Full() if row == "full" else FreezeLayers(1)
    torch.manual_seed(seed)
    method.attach(model)
    curve, last = watch(model, method, task)
    outcome = fine_tune(model, method, task, settings(args, rates[row], seed))
    for point in curve:
        step = point["step"]
        point["train"] = sum(outcome.losses[step - WATCH_EVERY : step]) / WATCH_EVERY
    best = scored(args, model, task)
    method.load_state_dict(last)
    dev = {"dev_scores": outcome.dev_scores, "best_step": outcome.best_step}
    return {"curve": curve, "best": best, "last": scored(args, model, task), **dev}


def watch(model, method: Method, task: Task) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """A list that grows while training, by the loss on dev after every few steps, and the last weights."""
    device = next(model.parameters()).device
    batch, curve, last = collate(encode_examples(model, task.dev), device), [], {}

    @torch.no_grad()
    def after_step(step: int, total: int, act=method.after_step) -> None:
        act(step, total)
        if (step + 1) % WATCH_EVERY == 0:
            curve.append({"step": step + 1, "dev": float(model.loss(batch))})
        if step + 1 == total:
            last.update(method.state_dict())

    method.after_step = after_step
    return curve, last


# Two tasks, one after the other and together.


def tasks(args: argparse.Namespace, rate: float | None, seed: int) -> dict:
    """Test scores on both tasks, and nats forgotten, after the first task, after the second, and of one mixture."""
    parts = [drawn_task(name, seed) for name in (TASK, OTHER)]
    named = [prefixed(part) for part in parts]
    model, told = minipeft.load(MODEL).to(args.device), {}
    for name, task in zip(("first", "second"), named, strict=True):
        tuned(args, model, task, rate, seed)
        told[name] = looked_at(args, model, named)
    model = minipeft.load(MODEL).to(args.device)
    tuned(args, model, mixture(parts), rate, seed, 2 * STEPS)
    told["together"] = looked_at(args, model, named)
    return told


def tuned(args: argparse.Namespace, model, task: Task, rate: float | None, seed: int, steps: int = STEPS) -> None:
    """Full tuning; what comes next starts from these weights."""
    method = Full()
    method.attach(model)
    fine_tune(model, method, task, settings(args, rate, seed, steps))
    method.merge()


def looked_at(args: argparse.Namespace, model, named: list[Task]) -> dict[str, float]:
    scores = {task.name: scored(args, model, task) for task in named}
    return {**scores, "forgotten": forgotten(model, MODEL)}


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
