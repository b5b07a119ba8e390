"""What the chapter on LoRA measures: rank, place, the spectrum of full tuning's update, operations, memory and time.

    python lessons/13_lora/experiment.py

One race on `topic` for rank and place; the update of its full-tuning runs cut to low rank, without more training;
then, on a larger base, operations and bytes counted exactly and times taken by turns.
"""

import json
import time
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import minipeft
from minipeft.course import experiment
from minipeft.files import write_json
from minipeft.memory.counting import step_memory
from minipeft.methods.adapters.houlsby import Houlsby
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.selective.full import Full
from minipeft.racing.table import interval
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
SIZES = ((32, 128), (8, 64), (1, 32))  # (batch, length) of the sources when latency is taken
ANSWER, BLOCKS = 4, 5


def entry(label: str, rank: int, targets: str = "*blocks.*") -> str:
    """A row of the race; alpha = 2 rank, so that the factor before B A is 2 in every row."""
    return f"{label}=lora:rank={rank}:alpha={2 * rank}:targets={targets}"


def runs(args) -> dict:
    entries = ["full", *(entry(f"rank {rank}", rank) for rank in RANKS)]
    entries += [entry(label, *place) for label, place in PLACES.items() if label != "everything"]
    raced = experiment.race(TASK, entries, BASE, TASK, args, steps=STEPS)
    parts = {"race": raced}
    for name, measure in (("cut", cut_updates), ("counts", counts), ("steps", step_times), ("latency", latencies)):
        file = Path(args.out) / f"{name}.json"
        if not file.exists():
            print(f"measuring: {name}", flush=True)
            write_json(file, measure(args))
        parts[name] = json.loads(file.read_text(encoding="utf-8"))
    return parts


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
            for kept, key in ((start, "scores"), (trained, "with_the_rest")):
                for name, parameter in model.named_parameters():
                    parameter.copy_(start[name] + cut(updates[name], rank) if name in matrices else kept[name])
                score = minipeft.evaluate(model, task, "test", limit=limit)["score"]
                outcome[key].setdefault(rank, []).append(score)
    return outcome


# Operations and bytes, counted.


def new_methods() -> dict:
    return {"full": Full(), "lora": LoRA(rank=8, alpha=16), "lora q, v": LoRA(8, 16, ("query", "value"))}


def topic_batch(model, size: int = 32) -> Batch:
    return collate(encode_examples(model, minipeft.load_task(TASK).train[:size]), "cpu")


def counts(args) -> dict:
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


def cell(values: list[float], digits: int = 1) -> str:
    """Mean and half the width of its 95% interval."""
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {interval(values):.{digits}f}" if len(values) > 1 else text


def summary(measured: dict) -> experiment.Summary:
    rows = {row["method"]: row for row in measured["race"]["rows"]}
    cut_scores, kept = measured["cut"]["scores"], measured["cut"]["with_the_rest"]
    shares, noise = measured["cut"]["share"], measured["cut"]["share_of_noise"]
    counted, steps, rates = measured["counts"], measured["steps"], measured["race"]["learning_rates"]
    numbers = {"full": rows["full"]["mean"], "chance": measured["race"]["chance"]}
    numbers["full_interval"], numbers["full_trained"] = rows["full"]["interval"] or 0.0, rows["full"]["trained"]
    for rank in RANKS:
        row = rows[f"rank {rank}"]
        numbers |= {f"rank{rank}": row["mean"], f"rank{rank}_interval": row["interval"] or 0.0}
        numbers |= {f"rank{rank}_trained": row["trained"]}
    for rank in map(str, CUTS):
        numbers |= {f"cut{rank}": mean(cut_scores[rank]), f"kept{rank}": mean(kept[rank])}
        numbers |= {f"share{rank}": mean(shares[rank]), f"noise{rank}": mean(noise[rank])}
    for name in PLACES:
        numbers["place " + name] = rows["rank 1" if name == "everything" else name]["mean"]
    for rank in (1, 32):  # empty after --quick, which does not tune
        dev = measured["race"]["sweep"].get(f"rank {rank}", {})
        numbers |= {f"rank{rank} dev at {rate}": score for rate, score in dev.items()}
    numbers["extra_forward_time"] = 100 * (mean(steps["lora"]["forward"]) / mean(steps["full"]["forward"]) - 1)
    numbers["extra_forward_operations"] = 100 * (counted["lora"]["forward"] / counted["full"]["forward"] - 1)
    full, lora = counted["full"], counted["lora"]
    for name in ("lora", "lora q, v"):
        key = name.replace(" q, v", "_qv")
        for part in ("forward", "backward"):
            numbers[f"{key}_{part}_flops"] = 100 * counted[name][part] / full[part]
        both = (counted[name]["forward"] + counted[name]["backward"]) / (full["forward"] + full["backward"])
        numbers[f"{key}_flops"] = 100 * both
        for part in ("gradients", "optimizer", "activations"):
            numbers[f"{key}_{part}"] = 100 * counted[name]["memory"][part] / full["memory"][part]
        numbers[f"{key}_memory"] = 100 * sum(counted[name]["memory"].values()) / sum(full["memory"].values())
        numbers[f"{key}_time"] = 100 * mean(steps[name]["of_full"])
    numbers["larger_total"], numbers["larger_trained"] = full["total"], lora["trained"]
    for size, times in measured["latency"].items():
        for name, ratios in times["ratio"].items():
            key = f"{name.replace(', ', '').replace(' ', '_')}_{size.split(' ')[0]}"
            numbers[key] = 100 * (mean(ratios) - 1)
    tables = {
        "ranks": {
            "columns": ["rank", "trained", "test", "best rate", "GPT-3, paper"],
            "rows": [[str(rank), f"{row['trained']:,}", cell(row["scores"]), f"{rates[row['method']] or 0:g}",
                      PAPER_RANKS.get(rank, "-")] for rank in RANKS for row in [rows[f"rank {rank}"]]]
                    + [["full", f"{rows['full']['trained']:,}", cell(rows["full"]["scores"]),
                        f"{rates['full'] or 0:g}", "73.8 / 89.5"]],
        },
        "places": {
            "columns": ["matrices", "rank", "trained", "test", "GPT-3, paper"],
            "rows": [[name, str(rank), f"{row['trained']:,}", cell(row["scores"]), PAPER_PLACES.get(name, "-")]
                     for name, (rank, _) in PLACES.items()
                     for row in [rows["rank 1" if name == "everything" else name]]],
        },
        "spectrum": {
            "columns": ["directions kept", "of the update", "of noise", "score, rest as before", "score, rest trained"],
            "rows": [[str(rank), f"{mean(shares[str(rank)]):.0f}%", f"{mean(noise[str(rank)]):.0f}%",
                      cell(cut_scores[str(rank)]), cell(kept[str(rank)])] for rank in CUTS],
        },
        "costs": {
            "columns": ["one step of 32 examples", "full", "LoRA", "LoRA, q and v"],
            "rows": [
                ["trained numbers", *(f"{counted[name]['trained']:,}" for name in counted)],
                *([f"{part}, 10^9 operations", *(f"{counted[name][part] / 1e9:.2f}" for name in counted)]
                  for part in ("forward", "backward")),
                *([f"{part}, MB", *(f"{counted[name]['memory'][part] / 1e6:.2f}" for name in counted)]
                  for part in ("weights", "gradients", "optimizer", "activations")),
                *([f"{part}, ms", *(cell(steps[name][part]) for name in counted)]
                  for part in ("forward", "backward", "optimizer")),
                ["whole step, % of full", "100",
                 *(cell([100 * part for part in steps[name]["of_full"]]) for name in ("lora", "lora q, v"))],
            ],
        },
        "latency": {
            "columns": ["batch x length", "merged, ms", "LoRA q and v beside", "LoRA all beside", "adapters"],
            "rows": [[size, cell(times["merged_ms"]),
                      *(f"{100 * (mean(times['ratio'][name]) - 1):+.1f}% ± {100 * interval(times['ratio'][name]):.1f}"
                        for name in ("unmerged q, v", "unmerged", "houlsby"))]
                     for size, times in measured["latency"].items()],
        },
    }  # fmt: skip
    return tables, numbers


def figures(results: dict, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    draw_idea(folder / "idea.png")
    draw_ranks(results["runs"], folder / "ranks.png")
    draw_costs(results["runs"], folder / "costs.png")


def new_axes(size: tuple[float, float], columns: int = 1):
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=size, dpi=150, facecolor="white")
    for one in [axes] if columns == 1 else axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def draw_idea(path: Path) -> None:
    """A large frozen square beside two thin trained strips, to scale for 72 x 72 and rank 8."""
    figure, axes = new_axes((7, 3.3))
    axes.set_axis_off()
    boxes = [(0, 0, 72, 72, "0.85", "W\n72 x 72\nfrozen"), (150, 0, 8, 72, "tab:orange", ""),
             (190, 32, 72, 8, "tab:blue", "")]  # fmt: skip
    for x, y, width, height, colour, text in boxes:
        axes.add_patch(matplotlib_rectangle(x, y, width, height, colour))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=11)
    axes.text(36, 80, "5,184 numbers", ha="center", fontsize=10, color="0.3")
    axes.text(111, 36, "+  alpha / rank  x", ha="center", va="center", fontsize=12)
    axes.text(154, 80, "B: 72 x 8", ha="center", fontsize=11, color="tab:orange")
    axes.text(154, -8, "576 numbers,\nstart at 0", ha="center", va="top", fontsize=9, color="0.3")
    axes.text(226, 48, "A: 8 x 72", ha="center", fontsize=11, color="tab:blue")
    axes.text(226, 24, "576 numbers,\nstart at random", ha="center", va="top", fontsize=9, color="0.3")
    axes.text(174, 36, "x", ha="center", va="center", fontsize=13)
    axes.set_xlim(-4, 268)
    axes.set_ylim(-26, 90)
    axes.set_aspect("equal")
    save(figure, path)


def matplotlib_rectangle(x: float, y: float, width: float, height: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=colour, edgecolor="0.3")


def draw_ranks(measured: dict, path: Path) -> None:
    """Score by rank: LoRA trained at that rank, full tuning's update cut to it; full tuning as a band."""
    figure, axes = new_axes((7, 4.2))
    rows = {row["method"]: row for row in measured["race"]["rows"]}
    full = rows["full"]
    axes.axhspan(full["mean"] - (full["interval"] or 0), full["mean"] + (full["interval"] or 0), color="0.88")
    axes.axhline(full["mean"], color="0.5", linewidth=1, label="full tuning")
    trained = [rows[f"rank {rank}"] for rank in RANKS]
    axes.errorbar([0.97 * rank for rank in RANKS], [row["mean"] for row in trained],
                  [row["interval"] or 0 for row in trained],
                  fmt="o-", capsize=4, label="LoRA of this rank")  # fmt: skip
    for key, style, label in (("with_the_rest", "s--", "full tuning's update, cut to this rank"),
                              ("scores", "^:", "the same, embeddings, norms and head as before")):  # fmt: skip
        cuts = [measured["cut"][key][str(rank)] for rank in CUTS[1:]]
        axes.errorbar([1.03 * rank for rank in CUTS[1:]], [mean(scores) for scores in cuts],
                      [interval(scores) if len(scores) > 1 else 0 for scores in cuts],
                      fmt=style, capsize=4, label=label)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(CUTS[1:], [str(rank) for rank in CUTS[1:]])
    axes.set_xlabel("rank")
    axes.set_ylabel(f"test accuracy on {TASK} (%)")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    save(figure, path)


def draw_costs(measured: dict, path: Path) -> None:
    """Bytes and milliseconds of a training step, full tuning beside LoRA, part by part."""
    figure, (left, right) = new_axes((7, 3.6), 2)
    names = {"full": "full", "lora": "LoRA", "lora q, v": "LoRA\nq and v"}
    bytes_of = {name: measured["counts"][name]["memory"] for name in names}
    milliseconds = {name: {part: mean(measured["steps"][name][part]) for part in ("forward", "backward", "optimizer")}
                    for name in names}  # fmt: skip
    for axes, title, content, scale in ((left, "memory, MB", bytes_of, 1e6), (right, "time, ms", milliseconds, 1)):
        bottom = [0.0] * len(names)
        colours = ("0.75", "tab:orange", "tab:red", "tab:blue") if scale > 1 else ("0.75", "tab:orange", "tab:red")
        for part, colour in zip(content["full"], colours, strict=True):
            heights = [content[name][part] / scale for name in names]
            axes.bar(list(names.values()), heights, bottom=bottom, color=colour, label=part, width=0.6)
            bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
        axes.set_title(title, fontsize=11)
        axes.set_ylim(0, 1.45 * max(bottom))
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    save(figure, path)


if __name__ == "__main__":
    experiment.main(__file__, runs, summary, figures)
