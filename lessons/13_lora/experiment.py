"""What the chapter on LoRA measures: rank, the spectrum of full tuning's update, operations, memory and time.

    python lessons/13_lora/experiment.py

A race of ranks on `sentiment`, its ends once more for three times as many steps; the update of the race's full-tuning
runs cut to low rank, without more training; on a larger base, operations and bytes counted exactly and times taken by
turns. About twenty minutes on one core.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

import minipeft
from minipeft.course.chapters import beside
from minipeft.course.experiment import QUICK, kept, main, race, settle
from minipeft.flags import ended
from minipeft.racing import race as racing
from minipeft.racing.runs import RunSpec, task_of
from minipeft.training.adapter_files import read_adapter

costs = beside(__file__, "costs.py")
BASE, TASK, STEPS, LONGER = "t5-0.8m", "sentiment", 200, 600
RANKS = (1, 4, 16)
CUTS = (0, 1, 2, 4, 16, 88)  # 0: no update at all; 88: nothing is cut


def entry(rank: int) -> str:
    """A row of the race; alpha = 2 rank, so that the factor before B A is 2 in every row."""
    return f"rank {rank}=lora:rank={rank}:alpha={2 * rank}:targets=*blocks.*"


def runs(args) -> dict:
    raced = race(TASK, ["full", *map(entry, RANKS)], BASE, TASK, args, steps=STEPS)
    return {
        "race": raced,
        "cut": kept(args, "cut", lambda: cut_updates(args)),
        "counts": kept(args, "counts", costs.counts),
        "steps": kept(args, "steps", lambda: costs.step_times(args)),
        "latency": kept(args, "latency", lambda: costs.latencies(args)),
        "longer": longer(args, raced["learning_rates"]),
    }


def longer(args, rates: dict) -> dict:
    """Full tuning, the lowest and the highest rank with more steps, at the rates that they have in the race."""
    base = RunSpec(str(Path(args.out) / "longer"), BASE, TASK, "", steps=LONGER, device=args.device)
    if args.quick:
        base = replace(base, **QUICK)
    settle(Path(base.folder), asdict(replace(base, folder="", method="")) | {"rates": rates})
    entries = [entry(RANKS[-1]), "full", entry(RANKS[0])]
    return {"rows": racing.race(base, entries, args.seeds, args.workers, tune=False, rates=rates)["rows"]}


# Full tuning's update, cut to low rank.


def block_matrices(model) -> dict[str, torch.Tensor]:
    """The weights that LoRA adapts by default."""
    return {f"{path}.weight": module.weight for path, module in model.named_modules()
            if isinstance(module, nn.Linear) and "blocks." in path}  # fmt: skip


def cut(update: torch.Tensor, rank: int) -> torch.Tensor:
    """The nearest matrix of this rank: the `rank` largest singular values."""
    left, values, right = torch.linalg.svd(update, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]


def share(updates: list[torch.Tensor], rank: int) -> float:
    """How much of the updates' squared size the largest `rank` directions of each hold, in percent."""
    squares = [torch.linalg.svdvals(update) ** 2 for update in updates]
    return 100 * float(sum(values[:rank].sum() for values in squares) / sum(values.sum() for values in squares))


@torch.no_grad()
def put(model, start: dict, updates: dict, rank: int, rest: dict) -> None:
    """Into `model`: the base's block matrices with their updates cut to `rank`, and everything else as in `rest`."""
    for name, parameter in model.named_parameters():
        parameter.copy_(start[name] + cut(updates[name], rank) if name in updates else rest[name])


def cut_updates(args) -> dict:
    """By rank, one for each seed: scores of the base with the update of its block matrices cut, and shares held.

    In "scores" and "slices" everything else is as full tuning left it. "alone", by seed: nothing is cut, and everything
    else is as it was before.
    """
    limit = 100 if args.quick else None
    outcome = {name: {rank: [] for rank in CUTS} for name in ("share", "share_of_noise", "scores", "slices")}
    outcome["alone"] = []
    for seed in range(args.seeds):
        folder = Path(args.out) / TASK / "runs" / f"full-seed{seed}"
        task, trained = task_of(folder), read_adapter(folder / "adapter.pt")["weights"]
        model = minipeft.load(BASE)
        start = {name: value.detach().clone() for name, value in model.named_parameters()}
        updates = {name: trained[name] - start[name] for name in block_matrices(model)}
        torch.manual_seed(seed)
        noise = [torch.randn_like(update) for update in updates.values()]
        for rank in CUTS:
            put(model, start, updates, rank, rest=trained)
            found = minipeft.evaluate(model, task, "test", limit=limit)
            outcome["scores"][rank].append(found["score"])
            outcome["slices"][rank].append(found["slices"])
            outcome["share"][rank].append(share(list(updates.values()), rank))
            outcome["share_of_noise"][rank].append(share(noise, rank))
        put(model, start, updates, CUTS[-1], rest=start)
        outcome["alone"].append(minipeft.evaluate(model, task, "test", limit=limit)["score"])
    return outcome


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
