"""Where AdaLoRA puts its ranks, and whether that pays: `python lessons/16_adalora/experiment.py`.

Two races at equal budgets, of one rank and of four for each matrix; in the first AdaLoRA's penalty is averaged and
summed. Then the same training with one thing changed: the triplets that stay are chosen evenly, or by chance, or there
is no penalty.
"""

import argparse
import re
import sys
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean

import torch

from minipeft.course.experiment import QUICK, kept, main, race
from minipeft.flags import ended
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.rank_budget import Importance
from minipeft.models import load
from minipeft.racing.rank_picture import stored_ranks
from minipeft.racing.runs import RunSpec, get_task, new_method, training_settings, with_seed
from minipeft.racing.sweep import entry_specs
from minipeft.training.adapter_files import read_adapter
from minipeft.training.evaluating import evaluate
from minipeft.training.trainer import fine_tune

MODEL, TASK, STEPS = "t5-0.8m", "sentiment", 200
ONE = [  # a third of the triplets stay, as in the script that came with the paper
    "lora1=lora:rank=1:alpha=2",
    "adalora1=adalora:rank=3:target_rank=1:alpha=6",
    "summed1=adalora:rank=3:target_rank=1:alpha=6:averaged=false",
]
FOUR = [  # two thirds stay, as the paper says
    "lora4=lora:rank=4:alpha=8",
    "adalora4=adalora:rank=6:target_rank=4:alpha=12",
]
WAYS = ("scores", "evenly", "chance", "without")  # the choice as it is, two others; as it is, without penalty
GROUPS = {  # the matrices in six bands, by what their paths hold
    "encoder: queries, keys": r"encoder.*\.attention\.(query|key)",
    "encoder: values, outputs": r"encoder.*\.attention\.(value|output)",
    "encoder: feed-forward": r"encoder.*feed_forward",
    "decoder: self-attention": r"decoder.*\.attention\.",
    "decoder: cross-attention": r"decoder.*cross_attention",
    "decoder: feed-forward": r"decoder.*feed_forward",
}


def runs(args: argparse.Namespace) -> dict:
    one = race("one", ONE, MODEL, TASK, args, STEPS)
    rate = one["learning_rates"]["adalora1"]
    found = {"one": one, "ways": {way: [] for way in WAYS}}
    for way, seed in product(WAYS, range(args.seeds)):
        found["ways"][way].append(kept(args, f"{way}-{rate}-seed{seed}", partial(watched, args, way, seed, rate)))
    found["four"] = race("four", FOUR, MODEL, TASK, args, STEPS)
    penalized = [("one", "adalora1"), ("one", "summed1"), ("four", "adalora4")]
    found["ranks"] = {row: ranks(args, folder, row) for folder, row in penalized}
    found["gaps"] = {row: list(map(gap, adapters(args, folder, row))) for folder, row in penalized}
    return found


def adapters(args: argparse.Namespace, folder: str, row: str) -> list[dict[str, torch.Tensor]]:
    """The weights that a race has left, one adapter for each seed."""
    files = [Path(args.out) / folder / "runs" / f"{row}-seed{seed}" / "adapter.pt" for seed in range(args.seeds)]
    return [read_adapter(file)["weights"] for file in files]


def ranks(args: argparse.Namespace, folder: str, row: str) -> dict[str, list[int]]:
    """The ranks left in every matrix, one for each seed."""
    found = [stored_ranks(weights) for weights in adapters(args, folder, row)]
    return {matrix: [seed[matrix] for seed in found] for matrix in found[0]}


def gap(weights: dict[str, torch.Tensor]) -> float:
    """How far |lam| is from the true singular values of P diag(lam) Q: the mean over the matrices left, in percent."""
    gaps = []
    for path in stored_ranks(weights):
        p, lam, q = (weights[f"{path}.{part}"].double() for part in ("P", "lam", "Q"))
        lam = lam[lam != 0]
        if len(lam) == p.shape[1] >= 1:
            true = torch.linalg.svdvals(p * lam @ q)[: len(lam)]
            gaps.append(float((lam.abs().sort(descending=True).values - true).norm() / true.norm()))
    return 100 * mean(gaps)


class Evenly(Importance):
    """First the best triplet of every matrix, then the second of each: in the end all matrices keep as many."""

    def triplet_scores(self, path: str, layer: torch.nn.Module) -> torch.Tensor:
        return -super().triplet_scores(path, layer).argsort(descending=True).argsort().float()


class ByChance(Importance):
    """Scores that are drawn at the first pruning and kept."""

    def __init__(self, seed: int, *betas: float):
        super().__init__(*betas)
        self.generator, self.drawn = torch.Generator().manual_seed(seed), {}

    def triplet_scores(self, path: str, layer: torch.nn.Module) -> torch.Tensor:
        if path not in self.drawn:
            self.drawn[path] = torch.rand(len(layer.lam), generator=self.generator)
        return self.drawn[path].to(layer.lam.device)


def watched(args: argparse.Namespace, way: str, seed: int, rate: float | None) -> dict:
    """One run of adalora1, in one of WAYS: scores on test, the gap of its lam, and what each pruning did."""
    base = RunSpec("", MODEL, TASK, "", steps=STEPS, device=args.device)
    entry = ONE[1] + ":orthogonality=0" * (way == "without")
    spec = replace(with_seed(entry_specs(base, [entry])[0], seed), learning_rate=rate)
    if args.quick:
        spec = replace(spec, **QUICK)
    task, model = get_task(spec), load(MODEL).to(args.device)
    torch.manual_seed(seed)
    method = new_method(spec, task)
    method.attach(model)
    if way == "evenly":
        method.importance = Evenly(method.beta1, method.beta2)
    elif way == "chance":
        method.importance = ByChance(seed, method.beta1, method.beta2)
    record = watch(method)
    fine_tune(model, method, task, training_settings(spec))
    found = evaluate(model, task, "test", limit=spec.test_limit)
    told = {"score": found["score"], "slices": found["slices"], "gap": gap(method.state_dict())}
    return told | {"prunings": record if way == "scores" else []}


def watch(method: AdaLoRA) -> list[dict]:
    """A list that grows while training: at every pruning the triplets left in each group, how many came and went."""
    record, choice, act = [], {path: layer.kept.clone() for path, layer in method.layers()}, method.after_step

    def after_step(step: int, total: int) -> None:
        act(step, total)
        if method.schedule.prunes(step + 1, total):
            now = {path: layer.kept.clone() for path, layer in method.layers()}
            came = sum(int((now[path] & ~choice[path]).sum()) for path in now)
            went = sum(int((~now[path] & choice[path]).sum()) for path in now)
            left = [sum(int(now[path].sum()) for path in now if re.match(group, path)) for group in GROUPS.values()]
            record.append({"step": step + 1, "came": came, "went": went, "left": left})
            choice.update(now)

    method.after_step = after_step
    return record


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
