"""Where AdaLoRA puts its ranks, whether that pays, what its parts are worth: `python lessons/16_adalora/experiment.py`.

Two races (equal budgets; one part of AdaLoRA changed at a time), one study of trained adapters whose triplets are cut
away by each criterion, and one of how the choice moves while training.
"""

import argparse
import json
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean

import torch

from minipeft.course.experiment import main, race
from minipeft.files import write_json
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.rank_budget import Importance, Schedule, keep_best
from minipeft.models import load
from minipeft.racing.rank_picture import stored_ranks
from minipeft.racing.sweep import RESULTS
from minipeft.racing.table import interval, stored
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
    "adalora1=adalora:rank=2:target_rank=1:alpha=4",
    "adalora2=adalora:rank=3:target_rank=2:alpha=6",
    "adalora4=adalora:rank=6:target_rank=4:alpha=12",
]
CHOICES = [
    "adalora=adalora:rank=4:target_rank=1:alpha=8",
    "sensitivity=adalora:rank=4:target_rank=1:alpha=8:criterion=sensitivity",
    "magnitude=adalora:rank=4:target_rank=1:alpha=8:criterion=magnitude",
    "at_once=adalora:rank=4:target_rank=1:alpha=8:final=0.9",
    "no_penalty=adalora:rank=4:target_rank=1:alpha=8:orthogonality=0",
    "averaged=adalora:rank=4:target_rank=1:alpha=8:orthogonality=0.0014",  # 0.1 / 72: a mean over all P and Q
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


def kept(args: argparse.Namespace, name: str, measure: Callable[[], dict]) -> dict:
    """What `measure` gave when it was last run to its end."""
    file = args.out / f"{name}.json"
    if not file.exists():
        write_json(file, measure())
        print(f"{name} is measured", flush=True)
    return json.loads(file.read_text(encoding="utf-8"))


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
    fine_tune(model, method, task, TrainingSettings(steps, seed=seed, evaluate_every=steps))
    return model, task


def cut(args: argparse.Namespace, seed: int, gamma: float) -> dict:
    """Test scores of a trained, unpruned AdaLoRA as triplets are taken away by each criterion, without training on."""
    method = AdaLoRA(rank=4, target_rank=4, alpha=8.0, final=0.0, orthogonality=gamma)
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
    method, record, choice = AdaLoRA(rank=4, target_rank=1, alpha=8.0), [], {}

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


NAMES = {
    "sensitivity_uncertainty": "sensitivity x uncertainty",
    "sensitivity": "sensitivity",
    "magnitude": "size of lam",
    "equal": "the same number in each matrix",
    "random": "chance",
    "adalora": "AdaLoRA",
    "at_once": "all pruned at step 30",
    "no_penalty": "without the penalty",
    "averaged": "the penalty averaged, not summed",
}
GROUPS = {  # the matrices in six bands, by what their paths hold
    "encoder: queries, keys": r"encoder.*\.attention\.(query|key)",
    "encoder: values, outputs": r"encoder.*\.attention\.(value|output)",
    "encoder: feed-forward": r"encoder.*feed_forward",
    "decoder: self-attention": r"decoder.*\.attention\.",
    "decoder: cross-attention": r"decoder.*cross_attention",
    "decoder: feed-forward": r"decoder.*feed_forward",
}


def cell(scores: list[float]) -> str:
    """Mean and half of its 95% interval."""
    return f"{mean(scores):.1f} ± {interval(scores):.1f}" if len(scores) > 1 else f"{scores[0]:.1f}"


def label(row: str) -> str:
    """What a table calls a row: lora2 -> LoRA, rank 2."""
    method, rank = re.fullmatch(r"(\D+)(\d?)", row).groups()
    if rank:
        return f"LoRA, rank {rank}" if method == "lora" else f"AdaLoRA, {rank_at_start(row)} to {rank} on average"
    return NAMES[row] if row in ("adalora", "at_once", "no_penalty", "averaged") else f"score: {NAMES[row]}"


def summary(measured: dict) -> tuple[dict, dict]:
    tables, numbers = {}, {}
    for name, order in (("budgets", BUDGETS), ("choices", CHOICES)):
        rows = {row["method"]: row for row in measured[name]["rows"]}
        order = [entry.partition("=")[0] for entry in order]
        tables[name] = {
            "columns": ["", "trained", "stored", "learning rate", "test accuracy, %"],
            "rows": [
                [label(row), f"{moved(row):,}", f"{stored(rows[row]):,}"]
                + [f"{measured[name]['learning_rates'][row] or 0:g}", cell(rows[row]["scores"])]
                for row in order
            ],
        }
        numbers |= {f"{row}_score": rows[row]["mean"] for row in order}
        numbers |= {f"{row}_interval": interval(rows[row]["scores"]) for row in order if len(rows[row]["scores"]) > 1}
    topic = measured["topic"]["rows"]
    tables["topic"] = {
        "columns": ["600 steps on topic", "stored", "test accuracy, %"],
        "rows": [
            [label(row), f"{topic[row]['stored']:,}", cell(topic[row]["scores"])] for row in sorted(topic, reverse=True)
        ],
    }
    for kind, cuts in measured["cuts"].items():
        chosen = {name: [[seed[name].get(str(n)) for seed in cuts] for n in CUTS] for name in CRITERIA}
        tables[f"cuts_{kind}"] = {
            "columns": ["triplets left of 144, chosen by", *map(str, CUTS)],
            "rows": [
                [NAMES[name], *("-" if None in scores else cell(scores) for scores in columns)]
                for name, columns in chosen.items()
            ],
        }
        for name in CRITERIA:
            numbers |= {f"cut_{kind}_{name}_{n}": mean(seed[name][n] for seed in cuts) for n in cuts[0][name]}
        numbers |= {f"cut_{kind}_whole": mean(seed["144"] for seed in cuts)}
    for row, seeds in measured["orthogonality"].items():
        numbers |= {f"{row}_{key}": mean(seed[key] for seed in seeds) for key in seeds[0]}
        numbers[f"{row}_gap_percent"] = 100 * numbers[f"{row}_singular_value_gap"]
    prunings = [seed["prunings"] for seed in measured["moves"]]
    numbers["prunings"] = len(prunings[0])
    rate = f"{AdaLoRA.suggested_learning_rate:g}"  # at which `moves` trains
    numbers["moves_rate_dev"] = measured["choices"]["sweep"]["adalora"].get(rate, 0.0)
    numbers |= {key: mean(sum(one[key] for one in seed) for seed in prunings) for key in ("came", "went")}
    return tables, numbers | rank_numbers(measured["ranks"])


def rank_at_start(row: str) -> int:
    entry = next(entry for entry in BUDGETS + CHOICES if entry.startswith(f"{row}="))
    return int(re.search(r":rank=(\d+)", entry)[1])


def moved(row: str) -> int:
    """How many numbers of a row the optimizer moves: 24 matrices of the model are square, 12 are not."""
    rank, lam = rank_at_start(row), not row.startswith("lora")
    return rank * (24 * (72 + 72 + lam) + 12 * (128 + 72 + lam))


def rank_numbers(ranks: dict[str, dict[str, list[int]]]) -> dict[str, float]:
    """Mean ranks of the groups, matrices that lost or kept everything in all seeds, and how alike the seeds are."""
    numbers = {}
    for row, matrices in ranks.items():
        for group, pattern in GROUPS.items():
            key = re.sub(r"\W+", "_", group).replace("-", "_")
            numbers[f"{row}_rank_{key}"] = mean(
                mean(seeds) for path, seeds in matrices.items() if re.match(pattern, path)
            )
        for kind, within in (("feed_forward", True), ("attention", False)):
            chosen = [mean(seeds) for path, seeds in matrices.items() if ("feed_forward" in path) == within]
            numbers[f"{row}_rank_{kind}"] = mean(chosen)
        last = [mean(seeds) for path, seeds in matrices.items() if path.startswith("decoder.blocks.1.")]
        numbers[f"{row}_last_block"] = sum(last)
        numbers[f"{row}_always_0"] = sum(not any(seeds) for seeds in matrices.values())
        numbers[f"{row}_ever_0"] = mean(sum(not rank for rank in seed) for seed in zip(*matrices.values(), strict=True))
        by_seed = list(zip(*matrices.values(), strict=True))
        pairs = [alike(one, other) for place, one in enumerate(by_seed) for other in by_seed[:place]]
        if pairs:
            numbers[f"{row}_alike"] = mean(pairs)
    return numbers


def alike(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Correlation of two allocations: 1 for the same, 0 for unrelated ones."""
    return float(torch.corrcoef(torch.tensor([one, other], dtype=torch.float64))[0, 1])


if __name__ == "__main__":
    main(__file__, runs, summary)
