"""What the chapter on LoRA measures: rank, place, the spectrum of full tuning's update, operations, memory and time.

    python lessons/13_lora/experiment.py

One race on `topic` for rank and place; the update of its full-tuning runs cut to low rank, without more training;
then, on a larger base, operations and bytes counted exactly and times taken by turns.
"""

import time
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import minipeft
from minipeft.course.experiment import Summary, by_row, kept, main, race, table, together
from minipeft.memory.counting import step_memory
from minipeft.methods.adapters.houlsby import Houlsby
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.selective.full import Full
from minipeft.racing.table import interval, plus_minus
from minipeft.training.adapter_files import read_adapter
from minipeft.training.batches import collate, encode_examples
from minipeft.training.optimizers import make_optimizer
from minipeft.transformer.batch import Batch

BASE, LARGER, TASK, STEPS = "t5-0.8m", "t5-3.5m", "topic", 200
RANKS = (1, 2, 4, 8, 16, 32)
CUTS = (0, *RANKS, 72)  # 0: no update at all; 72: nothing is cut
# The paper's table 5: seven choices of matrices with as many numbers; two more that it has not.
PLACES = {
    "query": (8, "query"),
    "key": (8, "key"),
    "value": (8, "value"),
    "output": (8, "output"),
    "query, key": (4, "query,key"),
    "query, value": (4, "query,value"),
    "all of attention": (2, "query,key,value,output"),
    "feed-forward": (3, "gate,up,down"),
    "everything": (1, "*blocks.*"),
}
PAPER_PLACES = {
    "query": "70.4 / 91.0",
    "key": "70.0 / 90.8",
    "value": "73.0 / 91.0",
    "output": "73.2 / 91.3",
    "query, key": "71.4 / 91.3",
    "query, value": "73.7 / 91.3",
    "all of attention": "73.7 / 91.7",
}
PAPER_RANKS = {1: "74.1 / 91.2", 2: "73.7 / 91.7", 4: "74.0 / 91.7", 8: "74.0 / 91.5"}
PAPER_FULL = "73.8 / 89.5"
SIZES = ((32, 128), (8, 64), (1, 32))  # (batch, length) of the sources when latency is taken
ANSWER, BLOCKS = 4, 5


def entry(label: str, rank: int, targets: str = "*blocks.*") -> str:
    """A row of the race; alpha = 2 rank, so that the factor before B A is 2 in every row."""
    return f"{label}=lora:rank={rank}:alpha={2 * rank}:targets={targets}"


def runs(args) -> dict:
    entries = ["full", *(entry(f"rank {rank}", rank) for rank in RANKS)]
    entries += [entry(label, *place) for label, place in PLACES.items() if label != "everything"]
    return {
        "race": race(TASK, entries, BASE, TASK, args, steps=STEPS),
        "cut": kept(args, "cut", lambda: cut_updates(args)),
        "counts": kept(args, "counts", counts),
        "steps": kept(args, "steps", lambda: step_times(args)),
        "latency": kept(args, "latency", lambda: latencies(args)),
    }


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
def cut_updates(args) -> dict:
    """By seed: scores of the base with the update of its block matrices cut to each rank, and shares held."""
    task, limit = minipeft.load_task(TASK), 100 if args.quick else None
    outcome = {"scores": {}, "with_the_rest": {}, "share": {}, "share_of_noise": {}, "ranks": list(CUTS)}
    for seed in range(args.seeds):
        trained = read_adapter(Path(args.out) / TASK / "runs" / f"full-seed{seed}" / "adapter.pt")["weights"]
        model = minipeft.load(BASE)
        start = {name: value.clone() for name, value in model.named_parameters()}
        matrices = block_matrices(model)
        updates = {name: trained[name] - start[name] for name in matrices}
        torch.manual_seed(seed)
        noise = [torch.randn_like(update) for update in updates.values()]
        for rank in CUTS:
            outcome["share"].setdefault(rank, []).append(share(list(updates.values()), rank))
            outcome["share_of_noise"].setdefault(rank, []).append(share(noise, rank))
            for rest, key in ((start, "scores"), (trained, "with_the_rest")):
                for name, parameter in model.named_parameters():
                    parameter.copy_(start[name] + cut(updates[name], rank) if name in matrices else rest[name])
                score = minipeft.evaluate(model, task, "test", limit=limit)["score"]
                outcome[key].setdefault(rank, []).append(score)
    return outcome


# Operations and bytes, counted.


def new_methods() -> dict:
    return {"full": Full(), "lora": LoRA(rank=8, alpha=16), "lora q, v": LoRA(8, 16, ("query", "value"))}


def topic_batch(model, size: int = 32) -> Batch:
    return collate(encode_examples(model, minipeft.load_task(TASK).train[:size]), "cpu")


def counts() -> dict:
    """Floating-point operations of matrix products, forward and backward, and bytes at one step of 32 examples."""
    outcome = {}
    for name, method in new_methods().items():
        model = minipeft.load(LARGER)
        method.attach(model)
        batch = topic_batch(model)
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
    batch = topic_batch(model)
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


# What the chapter prints.


def summary(measured: dict) -> Summary:
    rows, counted, steps = by_row(measured["race"]), measured["counts"], measured["steps"]
    parts = {
        "ranks": ranks(measured["race"], rows),
        "places": places(rows),
        "spectrum": spectrum(measured["cut"]),
        "costs": costs(counted, steps),
        "latency": latency(measured["latency"]),
    }
    tables, numbers = together(parts)
    numbers |= {"full": rows["full"]["mean"], "full_interval": rows["full"]["interval"] or 0.0}
    numbers |= {"full_trained": rows["full"]["trained"], "chance": measured["race"]["chance"]}
    return tables, numbers


def ranks(raced: dict, rows: dict) -> tuple[dict, dict]:
    """The score by rank, beside the paper's for GPT-3."""
    cells, numbers = [], {}
    for name in (*(f"rank {rank}" for rank in RANKS), "full"):
        row, rank = rows[name], name.removeprefix("rank ")
        paper = PAPER_FULL if name == "full" else PAPER_RANKS.get(int(rank), "-")
        rate = f"{raced['learning_rates'][name] or 0:g}"
        cells.append([rank, f"{row['trained']:,}", plus_minus(row["scores"]), rate, paper])
        if name != "full":
            numbers |= {f"rank{rank}": row["mean"], f"rank{rank}_interval": row["interval"] or 0.0}
            numbers[f"rank{rank}_trained"] = row["trained"]
    for rank in (1, 32):  # empty after --quick, which does not tune
        dev = raced["sweep"].get(f"rank {rank}", {})
        numbers |= {f"rank{rank} dev at {rate}": score for rate, score in dev.items()}
    return table(["rank", "trained", "test", "best rate", "GPT-3, paper"], cells), numbers


def places(rows: dict) -> tuple[dict, dict]:
    """The score by the matrices that are adapted, with as many parameters in each row."""
    cells, numbers = [], {}
    for name, (rank, _) in PLACES.items():
        row = rows["rank 1" if name == "everything" else name]
        score, paper = plus_minus(row["scores"]), PAPER_PLACES.get(name, "-")
        cells.append([name, str(rank), f"{row['trained']:,}", score, paper])
        numbers[f"place {name}"] = row["mean"]
    return table(["matrices", "rank", "trained", "test", "GPT-3, paper"], cells), numbers


def spectrum(measured: dict) -> tuple[dict, dict]:
    """Full tuning's update cut to low rank: what is held of it, and the score that is left."""
    cells, numbers = [], {}
    for rank in map(str, CUTS):
        held, noise, cut_scores, kept_scores = (
            measured[key][rank] for key in ("share", "share_of_noise", "scores", "with_the_rest")
        )
        shares = [f"{mean(values):.0f}%" for values in (held, noise)]
        cells.append([rank, *shares, plus_minus(cut_scores), plus_minus(kept_scores)])
        numbers |= {f"cut{rank}": mean(cut_scores), f"kept{rank}": mean(kept_scores)}
        numbers |= {f"share{rank}": mean(held), f"noise{rank}": mean(noise)}
    columns = ["directions kept", "of the update", "of noise", "score, rest as before", "score, rest trained"]
    return table(columns, cells), numbers


def costs(counted: dict, steps: dict) -> tuple[dict, dict]:
    """Operations, bytes and milliseconds of a step, and LoRA's as shares of full tuning's, in percent."""
    memory = {name: found["memory"] for name, found in counted.items()}
    cells = [["trained numbers", *(f"{found['trained']:,}" for found in counted.values())]]
    for part in ("forward", "backward"):
        cells.append([f"{part}, 10^9 operations", *(f"{found[part] / 1e9:.2f}" for found in counted.values())])
    for part in ("weights", "gradients", "optimizer", "activations"):
        cells.append([f"{part}, MB", *(f"{found[part] / 1e6:.2f}" for found in memory.values())])
    for part in ("forward", "backward", "optimizer"):
        cells.append([f"{part}, ms", *(plus_minus(steps[name][part]) for name in counted)])
    whole = [[100 * part for part in steps[name]["of_full"]] for name in ("lora", "lora q, v")]
    cells.append(["whole step, % of full", "100", *map(plus_minus, whole)])

    full, numbers = counted["full"], {}
    for name in ("lora", "lora q, v"):
        key, found = name.replace(" q, v", "_qv"), counted[name]
        both = (found["forward"] + found["backward"]) / (full["forward"] + full["backward"])
        numbers |= {f"{key}_{part}_flops": 100 * found[part] / full[part] for part in ("forward", "backward")}
        numbers |= {f"{key}_{part}": 100 * memory[name][part] / memory["full"][part]
                    for part in ("gradients", "optimizer", "activations")}  # fmt: skip
        numbers[f"{key}_memory"] = 100 * sum(memory[name].values()) / sum(memory["full"].values())
        numbers |= {f"{key}_flops": 100 * both, f"{key}_time": 100 * mean(steps[name]["of_full"])}
    numbers["extra_forward_time"] = 100 * (mean(steps["lora"]["forward"]) / mean(steps["full"]["forward"]) - 1)
    numbers["extra_forward_operations"] = 100 * (counted["lora"]["forward"] / full["forward"] - 1)
    numbers |= {"larger_total": full["total"], "larger_trained": counted["lora"]["trained"]}
    return table(["one step of 32 examples", "full", "LoRA", "LoRA, q and v"], cells), numbers


def latency(measured: dict) -> tuple[dict, dict]:
    """How much longer a forward pass takes than the merged model's."""
    cells, numbers = [], {}
    for size, times in measured.items():
        longer = {name: f"{100 * (mean(ratios) - 1):+.1f}% ± {100 * interval(ratios):.1f}"
                  for name, ratios in times["ratio"].items()}  # fmt: skip
        cells.append([size, plus_minus(times["merged_ms"]), longer["unmerged q, v"], longer["unmerged"],
                      longer["houlsby"]])  # fmt: skip
        for name, ratios in times["ratio"].items():
            key = f"{name.replace(', ', '').replace(' ', '_')}_{size.split(' ')[0]}"
            numbers[key] = 100 * (mean(ratios) - 1)
    return table(["batch x length", "merged, ms", "LoRA q and v beside", "LoRA all beside", "adapters"], cells), numbers


if __name__ == "__main__":
    main(__file__, runs, summary)
