"""The tables and numbers of chapter 16, from what its experiment measured: budgets, choices, cuts, ranks."""

import re
from statistics import mean

import torch

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.racing.table import interval, plus_minus, stored

experiment = beside(__file__)
BUDGETS, CHOICES, CRITERIA, CUTS = experiment.BUDGETS, experiment.CHOICES, experiment.CRITERIA, experiment.CUTS


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


def label(row: str) -> str:
    """What a table calls a row: lora2 -> LoRA, rank 2."""
    method, rank = re.fullmatch(r"(\D+)(\d?)", row).groups()
    if rank:
        return f"LoRA, rank {rank}" if method == "lora" else f"AdaLoRA, {rank_at_start(row)} to {rank} on average"
    return NAMES[row] if row in ("adalora", "at_once", "no_penalty", "averaged") else f"score: {NAMES[row]}"


def summary(measured: dict) -> Summary:
    parts = {name: raced(measured[name], order) for name, order in (("budgets", BUDGETS), ("choices", CHOICES))}
    parts["topic"] = (topic(measured["topic"]["rows"]), {})
    parts |= {f"cuts_{kind}": cuts(kind, seeds) for kind, seeds in measured["cuts"].items()}
    tables, numbers = together(parts)
    for row, seeds in measured["orthogonality"].items():
        numbers |= {f"{row}_{key}": mean(seed[key] for seed in seeds) for key in seeds[0]}
        numbers[f"{row}_gap_percent"] = 100 * numbers[f"{row}_singular_value_gap"]
    prunings = [seed["prunings"] for seed in measured["moves"]]
    numbers["prunings"] = len(prunings[0])
    rate = f"{AdaLoRA.suggested_learning_rate:g}"  # at which `moves` trains
    numbers["moves_rate_dev"] = measured["choices"]["sweep"].get("adalora", {}).get(rate, 0.0)
    numbers |= {key: mean(sum(one[key] for one in seed) for seed in prunings) for key in ("came", "went")}
    return tables, numbers | rank_numbers(measured["ranks"])


def raced(found: dict, entries: list[str]) -> tuple[dict, dict]:
    """A race, in the order of its entries, with AdaLoRA minus LoRA of its rank, or minus AdaLoRA as it is."""
    rows, cells, numbers = by_row(found), [], {}
    for name in (entry.partition("=")[0] for entry in entries):
        row, rate = rows[name], f"{found['learning_rates'][name] or 0:g}"
        beside = name.replace("adalora", "lora") if name[-1].isdigit() else "adalora"
        ahead = apart(row["scores"], rows[beside]["scores"]) if beside != name else "-"
        cells.append([label(name), f"{moved(name):,}", f"{stored(row):,}", rate, plus_minus(row["scores"]), ahead])
        numbers[f"{name}_score"] = row["mean"]
        if len(row["scores"]) > 1:
            numbers[f"{name}_interval"] = interval(row["scores"])
    other = "minus LoRA of its rank" if "lora1" in rows else "minus AdaLoRA"
    return table(["", "trained", "stored", "learning rate", "test accuracy, %", other], cells), numbers


def topic(rows: dict) -> dict:
    """The longer race on topic."""
    cells = []
    for name in sorted(rows)[::-1]:
        scores, beside = rows[name]["scores"], name.replace("adalora", "lora")
        ahead = apart(scores, rows[beside]["scores"]) if beside != name else "-"
        cells.append([label(name), f"{rows[name]['stored']:,}", plus_minus(scores), ahead])
    return table(["600 steps on topic", "stored", "test accuracy, %", "minus LoRA of its rank"], cells)


def cuts(kind: str, seeds: list[dict]) -> tuple[dict, dict]:
    """Scores by the number of triplets left, one row for each way of choosing them."""
    rows, numbers = [], {f"cut_{kind}_whole": mean(seed["144"] for seed in seeds)}
    first = [seed[CRITERIA[0]]["36"] for seed in seeds]
    for name in CRITERIA:
        columns = [[seed[name].get(str(left)) for seed in seeds] for left in CUTS]
        ahead = apart([seed[name]["36"] for seed in seeds], first) if name != CRITERIA[0] else "-"
        rows.append([NAMES[name], *("-" if None in scores else plus_minus(scores) for scores in columns), ahead])
        numbers |= {f"cut_{kind}_{name}_{left}": mean(seed[name][left] for seed in seeds) for left in seeds[0][name]}
    return table(["triplets left of 144, chosen by", *map(str, CUTS), "at 36, minus the first"], rows), numbers


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
