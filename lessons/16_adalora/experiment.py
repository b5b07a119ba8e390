"""Where AdaLoRA puts its ranks, whether that pays, what its parts are worth: `python lessons/16_adalora/experiment.py`.

Two races (equal budgets; one part of AdaLoRA changed at a time), one study of trained adapters whose triplets are cut
away by each criterion, and one of how the choice moves while training.
"""

import argparse
import json
import random
from functools import partial
from pathlib import Path
from statistics import mean

import torch

from minipeft.course.experiment import kept, main, race
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.rank_budget import Importance, Schedule, keep_best
from minipeft.models import load
from minipeft.racing.rank_picture import stored_ranks
from minipeft.racing.sweep import RESULTS
from minipeft.racing.table import stored
from minipeft.tasks.registry import load_task
from minipeft.training.adapter_files import read_adapter
from minipeft.training.batches import BatchOrder, collate, encode_examples
from minipeft.training.evaluating import evaluate
from minipeft.training.trainer import TrainingSettings, fine_tune

MODEL, TASK = "t5-0.8m", "sentiment"
STEPS = 300
BUDGETS = [
    "lora1=lora:rank=1:alpha=2",
    "lora2=lora:rank=2:alpha=4",
    "lora4=lora:rank=4:alpha=8",
    "adalora1=adalora:rank=2:target_rank=1:alpha=4:averaged=false",
    "adalora2=adalora:rank=3:target_rank=2:alpha=6:averaged=false",
    "adalora4=adalora:rank=6:target_rank=4:alpha=12:averaged=false",
]
CHOICES = [
    "adalora=adalora:rank=4:target_rank=1:alpha=8:averaged=false",
    "sensitivity=adalora:rank=4:target_rank=1:alpha=8:criterion=sensitivity:averaged=false",
    "magnitude=adalora:rank=4:target_rank=1:alpha=8:criterion=magnitude:averaged=false",
    "at_once=adalora:rank=4:target_rank=1:alpha=8:final=0.9:averaged=false",
    "no_penalty=adalora:rank=4:target_rank=1:alpha=8:orthogonality=0",
    # 0.1 / 72, which is a mean over all P and Q:
    "averaged=adalora:rank=4:target_rank=1:alpha=8:orthogonality=0.0014:averaged=false",
]
CUTS, TRIPLETS = (108, 72, 36, 18, 9), 144  # triplets left, and all there are
CRITERIA = ("sensitivity_uncertainty", "sensitivity", "magnitude", "equal", "random")
GAMMAS = {"averaged": 0.0014, "no_penalty": 0.0}  # at both the suggested learning rate has won the sweep
BATCHES = 40  # on which a trained adapter's importances are taken: the first is forgotten to 0.85^40


def runs(args: argparse.Namespace) -> dict:
    seeds = range(args.seeds)
    return {
        "cuts": {
            name: [kept(args, f"cuts-{name}-seed{seed}", partial(cut, args, seed, gamma)) for seed in seeds]
            for name, gamma in GAMMAS.items()
        },
        "moves": [kept(args, f"moves-seed{seed}", partial(moves, args, seed)) for seed in seeds],
        "choices": race("choices", CHOICES, MODEL, TASK, args, STEPS),
        "budgets": race("budgets", BUDGETS, MODEL, TASK, args, STEPS),
        "topic": committed("topic-rank_budget"),
        "ranks": {row: ranks(args, "budgets", row) for row in ("adalora1", "adalora2", "adalora4")}
        | {row: ranks(args, "choices", row) for row in ("adalora", "sensitivity", "magnitude", "no_penalty")},
        "orthogonality": {row: orthogonality(args, row) for row in ("adalora", "no_penalty", "averaged")},
        "schedule": [Schedule(0.1, 0.3, 10).budget(done, STEPS, 144, 36) for done in range(0, STEPS + 1, 10)],
    }


def committed(name: str) -> dict:
    """An earlier race: longer, on another task, with the same tuning effort."""
    report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    rows = {row["method"]: {"scores": row["scores"], "stored": stored(row)} for row in report["rows"]}
    return {key: report[key] for key in ("command", "commits", "learning_rates")} | {"rows": rows}


def adapter(args: argparse.Namespace, folder: str, row: str, seed: int) -> Path:
    return args.out / folder / "runs" / f"{row}-seed{seed}" / "adapter.pt"


def ranks(args: argparse.Namespace, folder: str, row: str) -> dict[str, list[int]]:
    """The ranks left in every matrix, one for each seed."""
    weights = [read_adapter(adapter(args, folder, row, seed))["weights"] for seed in range(args.seeds)]
    found = [stored_ranks(each) for each in weights]
    return {matrix: [seed[matrix] for seed in found] for matrix in found[0]}


def orthogonality(args: argparse.Namespace, row: str) -> list[dict[str, float]]:
    """By seed, over matrices: squared gram errors of the vectors left; how far |lam| is from the singular values."""
    found = []
    for seed in range(args.seeds):
        weights = read_adapter(adapter(args, "choices", row, seed))["weights"]
        errors, gaps = [], []
        for path in stored_ranks(weights):
            p, lam, q = (weights[f"{path}.{part}"].double() for part in ("P", "lam", "Q"))
            lam = lam[lam != 0]
            if len(lam) == p.shape[1] >= 1:
                gram = [p.T @ p, q @ q.T]
                errors += [float(sum((one - torch.eye(len(lam))).square().sum() for one in gram)) / len(lam)]
                true = torch.linalg.svdvals(p * lam @ q)[: len(lam)]
                gaps += [float((lam.abs().sort(descending=True).values - true).norm() / true.norm())]
        found.append({"gram_error_per_rank": mean(errors), "singular_value_gap": mean(gaps)})
    return found


def trained(args: argparse.Namespace, seed: int, method: AdaLoRA):
    """A model trained with `method` at its suggested rate, and its task; dev is read at the end only."""
    torch.manual_seed(seed)
    model, task = load(MODEL).to(args.device), load_task(TASK)
    method.attach(model)
    steps = 20 if args.quick else STEPS
    fine_tune(model, method, task, TrainingSettings(steps, schedule="constant", seed=seed, evaluate_every=steps))
    return model, task


def cut(args: argparse.Namespace, seed: int, gamma: float) -> dict:
    """Test scores of a trained, unpruned AdaLoRA as triplets are taken away by each criterion, without training on."""
    method = AdaLoRA(rank=4, target_rank=4, alpha=8.0, final=0.0, orthogonality=gamma, averaged=False)
    model, task = trained(args, seed, method)
    layers, limit = method.layers(), 100 if args.quick else None
    importance = measured_importance(model, method, task, seed)
    values = {path: layer.lam.detach().clone() for path, layer in layers}
    choose, scores = random.Random(seed), {}
    model.eval()
    for criterion in CRITERIA:
        importance.criterion = criterion if criterion in CRITERIA[:3] else CRITERIA[0]
        for left in CUTS:
            if criterion == "equal":
                if left % len(layers):
                    continue
                for layer in layers:
                    keep_best([layer], importance, left // len(layers))
            else:
                keep_best(layers, importance, left)
            if criterion == "random":
                places = choose.sample(range(sum(map(len, values.values()))), left)
                marks = torch.zeros(sum(map(len, values.values())), dtype=torch.bool)
                marks[places] = True
                for (_, layer), part in zip(layers, marks.split([len(each) for each in values.values()]), strict=True):
                    layer.kept.copy_(part)
            with torch.no_grad():
                for path, layer in layers:
                    layer.lam.copy_(values[path] * layer.kept)
            score = evaluate(model, task, "test", limit=limit)["score"]
            scores.setdefault(criterion, {})[str(left)] = score
    for left, factor in (("144", 1.0), ("0", 0.0)):
        with torch.no_grad():
            for path, layer in layers:
                layer.lam.copy_(values[path] * factor)
        scores[left] = evaluate(model, task, "test", limit=limit)["score"]
    return scores


def measured_importance(model, method: AdaLoRA, task, seed: int) -> Importance:
    """Both moving averages over some batches of the training split; nothing is updated."""
    examples, importance = encode_examples(model, task.train), Importance(method.beta1, method.beta2)
    order = BatchOrder(examples, 32, 10_000 + seed)
    device = next(model.parameters()).device
    model.train()
    for step in range(BATCHES):
        for parameter in method.named_parameters().values():
            parameter.grad = None
        batch = collate([examples[index] for index in order.at(step)], device)
        (model.loss(batch) + method.penalty()).backward()
        importance.update(method.named_parameters())
    return importance


def moves(args: argparse.Namespace, seed: int) -> dict:
    """One training run: at every pruning the triplets left in each matrix, and how many came and went."""
    method, record, choice = AdaLoRA(rank=4, target_rank=1, alpha=8.0, averaged=False), [], {}

    def watched(step: int, total: int, act=method.after_step) -> None:
        if not choice:
            choice.update({path: layer.kept.clone() for path, layer in method.layers()})
        act(step, total)
        if method.schedule.prunes(step + 1, total):
            now = {path: layer.kept.clone() for path, layer in method.layers()}
            came = sum(int((now[path] & ~choice[path]).sum()) for path in now)
            went = sum(int((~now[path] & choice[path]).sum()) for path in now)
            left = {path: int(marks.sum()) for path, marks in now.items()}
            record.append({"step": step + 1, "came": came, "went": went, "left": left})
            choice.update(now)

    method.after_step = watched
    trained(args, seed, method)
    return {"prunings": record}


if __name__ == "__main__":
    main(__file__, runs)
