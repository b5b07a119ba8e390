"""The tables and numbers of chapter 16, from what its experiment measured: budgets, penalties, choices, ranks."""

import re
from itertools import combinations
from statistics import mean

import torch

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.rank_picture import place
from minipeft.racing.table import interval, score_cell, stored, trained

experiment = beside(__file__)
GROUPS, WAYS = experiment.GROUPS, experiment.WAYS
LABELS = {
    "lora1": "LoRA, rank 1",
    "adalora1": "AdaLoRA, 3 to 1 on average",
    "summed1": "the penalty summed",
    "without1": "no penalty",
    "lora4": "LoRA, rank 4",
    "adalora4": "AdaLoRA, 6 to 4 on average",
    "scores": "by their scores, as AdaLoRA does",
    "evenly": "the best one of every matrix",
    "chance": "by chance",
}
HARD = ("unseen", "nested")  # the slices that no pretraining text has, and on which something is left to gain


def summary(measured: dict) -> Summary:
    rows = by_row(measured["one"]) | by_row(measured["four"])
    rates = measured["one"]["learning_rates"] | measured["four"]["learning_rates"]
    parts = {
        "budgets": budgets(rows, rates),
        "penalties": penalties(rows, rates, measured["orthogonality"]),
        "ways": ways(measured["ways"]),
        "kinds": kinds(measured["ranks"]),
    }
    tables, numbers = together(parts)
    return tables, numbers | moves(measured["ways"]["scores"]) | rank_numbers(measured["ranks"])


def on_slice(row: dict, name: str) -> list[float]:
    """The scores of a race's row on one slice, by seed."""
    return [run["slices"][name] for run in row["runs"]]


def row_numbers(name: str, row: dict, rate: float | None) -> dict[str, float]:
    numbers = {f"{name}_score": row["mean"], f"{name}_rate": rate or 0.0}
    numbers |= {f"{name}_{part}": mean(on_slice(row, part)) for part in row["slices"]}
    numbers |= {f"{name}_trained": trained(row), f"{name}_stored": stored(row)}
    return numbers | ({f"{name}_interval": interval(row["scores"])} if len(row["scores"]) > 1 else {})


def budgets(rows: dict, rates: dict) -> tuple[dict, dict]:
    """LoRA and AdaLoRA with as many triplets in the end."""
    cells, numbers = [], {}
    for name in ("lora1", "adalora1", "lora4", "adalora4"):
        row, other = rows[name], rows[name.replace("adalora", "lora")]
        ahead = apart(row["scores"], other["scores"]) if other is not row else "-"
        hard = [f"{mean(on_slice(row, part)):.1f}" for part in HARD]
        cells.append(
            [
                LABELS[name],
                f"{trained(row):,}",
                f"{stored(row):,}",
                f"{rates[name] or 0:g}",
                score_cell(row),
                *hard,
                ahead,
            ]
        )
        numbers |= row_numbers(name, row, rates[name])
        numbers[f"{name}_ahead"] = row["mean"] - other["mean"]
    columns = ["", "trained", "stored", "rate", "accuracy, %", *HARD, "minus LoRA of its rank"]
    return table(columns, cells), numbers


def penalties(rows: dict, rates: dict, gaps: dict) -> tuple[dict, dict]:
    """AdaLoRA from 3 to 1 with its penalty averaged, summed, and without it."""
    cells, numbers = [], {}
    for name in ("adalora1", "summed1", "without1"):
        row = rows[name]
        ahead = apart(row["scores"], rows["adalora1"]["scores"]) if name != "adalora1" else "-"
        label = LABELS[name] if name != "adalora1" else "the penalty averaged"
        hard = [f"{mean(on_slice(row, part)):.1f}" for part in HARD]
        gap = mean(gaps[name])
        above = apart(row["scores"], rows["lora1"]["scores"])
        cells.append([label, f"{rates[name] or 0:g}", f"{gap:.0f}", score_cell(row), *hard, ahead, above])
        numbers |= row_numbers(name, row, rates[name]) | {f"{name}_gap": gap}
        numbers[f"{name}_above_averaged"] = row["mean"] - rows["adalora1"]["mean"]
    columns = [
        "AdaLoRA, 3 to 1",
        "rate",
        "lam is off by, %",
        "accuracy, %",
        *HARD,
        "minus averaged",
        "minus LoRA, rank 1",
    ]
    return table(columns, cells), numbers


def ways(found: dict[str, list[dict]]) -> tuple[dict, dict]:
    """The same training with the triplets that stay chosen in three ways."""
    cells, numbers = [], {}
    own = [seed["score"] for seed in found["scores"]]
    for name in WAYS:
        scores = [seed["score"] for seed in found[name]]
        hard = {part: mean(seed["slices"][part] for seed in found[name]) for part in HARD}
        ahead = apart(scores, own) if name != "scores" else "-"
        half = f" ± {interval(scores):.1f}" if len(scores) > 1 else ""
        cells.append([LABELS[name], f"{mean(scores):.1f}{half}", *(f"{score:.1f}" for score in hard.values()), ahead])
        numbers |= {f"way_{name}": mean(scores)} | {f"way_{name}_{part}": score for part, score in hard.items()}
    return table(["which triplets stay", "accuracy, %", *HARD, "minus AdaLoRA's choice"], cells), numbers


def moves(seeds: list[dict]) -> dict[str, float]:
    """How many prunings a run has, and how many triplets go and come back in it."""
    prunings = [seed["prunings"] for seed in seeds]
    counted = {key: mean(sum(one[key] for one in run) for run in prunings) for key in ("came", "went")}
    return {"prunings": len(prunings[0]), **counted}


def kind(path: str) -> str:
    """encoder.blocks.0.attention.query -> encoder, self-attention: queries."""
    block, matrix = place(path)
    stack = block.split()[0]
    if matrix.startswith("feed_forward"):
        return f"{stack}, feed-forward"
    where = "cross-attention" if matrix.startswith("cross") else "self-attention"
    names = {"query": "queries", "key": "keys", "value": "values", "output": "outputs"}
    return f"{stack}, {where}: {names[matrix.split()[-1]]}"


def kinds(ranks: dict[str, dict[str, list[int]]]) -> tuple[dict, dict]:
    """The mean rank left in a matrix of each kind, one column for each row of the races."""
    columns = {
        "adalora1": "3 to 1, averaged",
        "summed1": "summed",
        "without1": "no penalty",
        "adalora4": "6 to 4, averaged",
    }
    names = list(dict.fromkeys(kind(path) for path in ranks["adalora1"]))
    cells, numbers = [], {}
    for name in names:
        line = [name, sum(kind(path) == name for path in ranks["adalora1"])]
        for row in columns:
            left = mean(mean(seeds) for path, seeds in ranks[row].items() if kind(path) == name)
            line.append(f"{left:.1f}")
            numbers[f"{row}_rank_{re.sub(r'[^a-z]+', '_', name)}"] = left
        cells.append(line)
    return table(["mean rank left", "matrices", *columns.values()], cells), numbers


def rank_numbers(ranks: dict[str, dict[str, list[int]]]) -> dict[str, float]:
    """Of every row: ranks by layer and part, matrices that always lost or kept everything, how alike the seeds are."""
    numbers = {}
    for row, matrices in ranks.items():
        by_seed = list(zip(*matrices.values(), strict=True))
        most = max(map(max, by_seed))
        wanted = {
            "feed_forward": "feed_forward",
            "attention": "attention",
            "encoder": r"^encoder",
            "decoder": r"^decoder",
        }
        wanted |= {f"layer{layer}": rf"blocks\.{layer}\." for layer in range(3)}
        for name, pattern in wanted.items():
            numbers[f"{row}_rank_{name}"] = mean(
                mean(seeds) for path, seeds in matrices.items() if re.search(pattern, path)
            )
        numbers[f"{row}_always_0"] = sum(not any(seeds) for seeds in matrices.values())
        numbers[f"{row}_always_all"] = sum(min(seeds) == most for seeds in matrices.values())
        numbers[f"{row}_at_0"] = mean(sum(not rank for rank in seed) for seed in by_seed)
        pairs = [alike(one, other) for one, other in combinations(by_seed, 2)]
        if pairs:
            numbers[f"{row}_alike"] = mean(pairs)
    return numbers


def alike(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Correlation of two allocations: 1 for the same, 0 for unrelated ones."""
    return float(torch.corrcoef(torch.tensor([one, other], dtype=torch.float64))[0, 1])
