"""The tables and numbers of chapter 16, from what its experiment measured: budgets, penalties, choices, ranks."""

import re
from itertools import combinations
from statistics import mean

import torch

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.rank_picture import place
from minipeft.racing.table import interval, plus_minus, score_cell, stored, trained

experiment = beside(__file__)
LABELS = {
    "lora1": "LoRA, rank 1",
    "adalora1": "AdaLoRA, rank 3 to 1 on average",
    "lora4": "LoRA, rank 4",
    "adalora4": "AdaLoRA, rank 6 to 4 on average",
    "summed1": "summed",
    "scores": "by their scores, as AdaLoRA does",
    "evenly": "the best one of every matrix",
    "chance": "by chance",
}
COLUMNS = {"adalora1": "3 to 1", "summed1": "3 to 1, penalty summed", "adalora4": "6 to 4"}
CONTRASTS = {
    "feed-forward minus attention": ("feed_forward", "attention"),
    "last layers minus first": ("blocks.2.", "blocks.0."),
    "decoder minus encoder": ("decoder", "encoder"),
}
HARD = ("unseen", "nested")  # the slices that no pretraining text has, and on which something is left to gain


def summary(measured: dict) -> Summary:
    rows = by_row(measured["one"]) | by_row(measured["four"])
    rates = measured["one"]["learning_rates"] | measured["four"]["learning_rates"]
    parts = {
        "budgets": budgets(rows, rates),
        "penalties": penalties(rows, rates, measured["gaps"], measured["ways"]),
        "ways": ways(measured["ways"], rows["lora1"]["scores"]),
        "kinds": kinds(measured["ranks"]),
        "contrasts": contrasts(measured["ranks"]),
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
    numbers[f"{name}_steps_to_90"] = row["steps_to_90"] or 0.0
    return numbers | ({f"{name}_interval": interval(row["scores"])} if len(row["scores"]) > 1 else {})


def budgets(rows: dict, rates: dict) -> tuple[dict, dict]:
    """LoRA and AdaLoRA with as many triplets in the end."""
    cells, numbers = [], {}
    for name in ("lora1", "adalora1", "lora4", "adalora4"):
        row, other = rows[name], rows[name.replace("adalora", "lora")]
        ahead = [apart(row["scores"], other["scores"]), apart(on_slice(row, "unseen"), on_slice(other, "unseen"))]
        counts = [f"{trained(row):,}", f"{stored(row):,}", f"{rates[name] or 0:g}"]
        hard = [f"{mean(on_slice(row, part)):.1f}" for part in HARD]
        cells.append([LABELS[name], *counts, score_cell(row), *hard, *(ahead if other is not row else "--")])
        numbers |= row_numbers(name, row, rates[name])
        numbers[f"{name}_ahead"] = row["mean"] - other["mean"]
        numbers[f"{name}_least"] = min(row["scores"])
    columns = ["", "trained", "stored", "rate", "accuracy, %", *HARD, "minus LoRA of its rank", "on unseen"]
    return table(columns, cells), numbers


def penalties(rows: dict, rates: dict, gaps: dict, ways: dict) -> tuple[dict, dict]:
    """AdaLoRA from 3 to 1 with its penalty averaged and summed, each at its own rate, and without it at the first's."""
    own, lora, without = rows["adalora1"]["scores"], rows["lora1"]["scores"], ways["without"]
    lines = [(name, rates[name], rows[name]["scores"], mean(gaps[name])) for name in ("adalora1", "summed1")]
    lines.append(("without", rates["adalora1"], by_seed(without), mean(seed["gap"] for seed in without)))
    cells, numbers = [], row_numbers("summed1", rows["summed1"], rates["summed1"])
    for name, rate, scores, gap in lines:
        ahead = apart(scores, own) if name != "adalora1" else "-"
        label = {"adalora1": "averaged", "summed1": "summed", "without": "none"}[name]
        cells.append([label, f"{rate or 0:g}", f"{gap:.0f}", plus_minus(scores), ahead, apart(scores, lora)])
        numbers |= {f"{name}_score": mean(scores), f"{name}_gap": gap, f"{name}_ahead": mean(scores) - mean(lora)}
    *others, last = sorted(by_seed(without), reverse=True)
    numbers |= {"without_last": last, "without_others": mean(others or [last])}
    columns = ["penalty", "rate", "lam is off by, %", "accuracy, %", "minus averaged", "minus LoRA, rank 1"]
    return table(columns, cells), numbers


def by_seed(found: list[dict]) -> list[float]:
    return [seed["score"] for seed in found]


def ways(found: dict[str, list[dict]], lora: list[float]) -> tuple[dict, dict]:
    """The same training with the triplets that stay chosen in three ways."""
    cells, numbers = [], {}
    for name in ("scores", "evenly", "chance"):
        scores = by_seed(found[name])
        hard = {part: mean(seed["slices"][part] for seed in found[name]) for part in HARD}
        ahead = apart(scores, by_seed(found["scores"])) if name != "scores" else "-"
        parts = [f"{score:.1f}" for score in hard.values()]
        cells.append([LABELS[name], plus_minus(scores), *parts, ahead, apart(scores, lora)])
        numbers |= {f"way_{name}": mean(scores)} | {f"way_{name}_{part}": score for part, score in hard.items()}
    numbers["choice_gains"] = numbers["way_scores"] - numbers["way_evenly"]
    numbers["form_costs"] = mean(lora) - numbers["way_evenly"]
    numbers["chance_costs"] = numbers["way_scores"] - numbers["way_chance"]
    columns = ["which triplets stay", "accuracy, %", *HARD, "minus AdaLoRA's choice", "minus LoRA, rank 1"]
    return table(columns, cells), numbers


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
    """The mean rank left in a matrix of each kind, one column for each row of the race."""
    names = list(dict.fromkeys(map(kind, ranks["adalora1"])))
    cells, numbers = [], {}
    for name in names:
        paths = [path for path in ranks["adalora1"] if kind(path) == name]
        left = {row: mean(left_in(matrices, paths)) for row, matrices in ranks.items()}
        cells.append([name, len(paths), *(f"{rank:.1f}" for rank in left.values())])
        numbers |= {f"{row}_rank_{re.sub(r'[^a-z]+', '_', name)}": rank for row, rank in left.items()}
    return table(["mean rank left", "matrices", *map(COLUMNS.get, ranks)], cells), numbers


def left_in(matrices: dict[str, list[int]], paths: list[str]) -> list[float]:
    """The mean rank left in the matrices at `paths`, by seed."""
    return [mean(ranks) for ranks in zip(*map(matrices.get, paths), strict=True)]


def contrasts(ranks: dict[str, dict[str, list[int]]]) -> tuple[dict, dict]:
    """Mean ranks of the matrices of one place minus those of another."""
    cells, numbers = [], {}
    for name, (one, other) in CONTRASTS.items():
        line = [name]
        for row, matrices in ranks.items():
            first, second = (left_in(matrices, [path for path in matrices if part in path]) for part in (one, other))
            line.append(apart(first, second))
            numbers |= {
                f"{row}_in_{part.replace('.', '')}": mean(left) for part, left in ((one, first), (other, second))
            }
        cells.append(line)
    return table(["mean rank left in a matrix", *map(COLUMNS.get, ranks)], cells), numbers


def rank_numbers(ranks: dict[str, dict[str, list[int]]]) -> dict[str, float]:
    """Of every row: matrices that lost or kept everything with all seeds, and how alike the seeds are."""
    numbers = {}
    for row, matrices in ranks.items():
        allocations = list(zip(*matrices.values(), strict=True))
        most = max(map(max, allocations))
        numbers[f"{row}_always_0"] = sum(not any(seeds) for seeds in matrices.values())
        numbers[f"{row}_always_all"] = sum(min(seeds) == most for seeds in matrices.values())
        numbers[f"{row}_at_0"] = mean(allocation.count(0) for allocation in allocations)
        pairs = [alike(one, other) for one, other in combinations(allocations, 2)]
        if pairs:
            numbers[f"{row}_alike"] = mean(pairs)
    return numbers


def alike(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Correlation of two allocations: 1 for the same, 0 for unrelated ones."""
    return float(torch.corrcoef(torch.tensor([one, other], dtype=torch.float64))[0, 1])
