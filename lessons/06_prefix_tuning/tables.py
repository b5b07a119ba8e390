"""The tables and numbers of chapter 06: the race and its slices, rates, lengths, few examples, zeros, shares, costs."""

from statistics import mean, stdev

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import interval, plus_minus, score_cell, stored, trained

experiment = beside(__file__)
LABELS = {
    "lora": "LoRA",
    "network": "prefix, with its network",
    "table": "prefix, table alone",
    "embedding": "at the embedding alone",
    "infix": "infix",
    "prompt": "prompt",
    "random": "random numbers",
    "related": "words of the task",
    "elephant": "the word *elephant*",
}
HARD = {"sentiment": ("unseen", "nested"), "topic": ("knows", "reads")}
KINDS = {"encoder": "encoder", "decoder": "decoder", "cross": "cross-attention"}
SKILLS = ("plain", "contrast", "negation")


def summary(measured: dict) -> Summary:
    parts = {task: raced(task, measured) for task in HARD}
    parts |= {name: part(measured[name]) for name, part in PARTS.items()}
    parts["written"] = written(measured["written"])
    return together(parts)


def on_slice(row: dict, name: str) -> list[float]:
    """The scores of a race's row on one slice, by seed."""
    return [run["slices"][name] for run in row["runs"]]


def raced(task: str, measured: dict) -> tuple[dict, dict]:
    """The rows of the race on one task, and LoRA; how far each is from prefix tuning as the paper has it, by slice."""
    rows = by_row(measured["lora"][task]) | by_row(measured[task])
    rates = measured["lora"][task]["learning_rates"] | measured[task]["learning_rates"]
    cells, numbers = [], {}
    for name in ("lora", "network", "table", "embedding", "infix", "prompt"):
        row, whole = rows[name], rows["network"]
        parts = {part: mean(on_slice(row, part)) for part in HARD[task]}
        pairs = [
            (row["scores"], whole["scores"]),
            *((on_slice(row, part), on_slice(whole, part)) for part in HARD[task]),
        ]
        ahead = ["-" if row is whole else apart(*pair) for pair in pairs]
        counts = [f"{trained(row):,}", f"{stored(row):,}", f"{rates[name] or 0:g}"]
        cells.append([LABELS[name], *counts, score_cell(row), *ahead])
        numbers |= {f"{task}_{name}": row["mean"], f"{task}_{name}_behind": whole["mean"] - row["mean"]}
        numbers |= {f"{task}_{name}_{part}": score for part, score in parts.items()}
        numbers |= {f"{name}_moved": trained(row), f"{name}_stored": stored(row)}
    columns = ["", "moved", "stored", "rate", "accuracy, %", "minus the first prefix", *(f"on {p}" for p in HARD[task])]
    return table(columns, cells), numbers


def grids(found: dict) -> tuple[dict, dict]:
    """With the network and without, over rates and seeds, on dev: the best rate, and those the sweep began with."""
    cells, numbers = [], {}
    for task, rows in found.items():
        for name, scores in rows.items():
            means = {float(rate): mean(seeds) for rate, seeds in scores.items()}
            first = [rate for rate in means if rate in experiment.FIRST_RATES[name]]
            best = max(means, key=means.get)
            own, all_spreads = spread(scores[f"{best:g}"]), mean(spread(scores[f"{rate:g}"]) for rate in first)
            whole, worst = mean(means[rate] for rate in first), min(means[rate] for rate in first)
            told = [f"{best:g}", f"{means[best]:.1f}", f"{own:.1f}", f"{whole:.1f}", f"{worst:.1f}"]
            cells.append([task, LABELS[name], *told, f"{all_spreads:.1f}"])
            numbers |= {f"{task}_{name}_best": means[best], f"{task}_{name}_over_rates": whole,
                        f"{task}_{name}_worst": worst, f"{task}_{name}_spread": all_spreads,
                        f"{task}_{name}_own_spread": own, f"{task}_{name}_best_rate": best}  # fmt: skip
    columns = ["task", "", "best rate", "dev there", "spread of seeds there", "mean of four rates", "worst of them",
               "mean spread of seeds"]  # fmt: skip
    return table(columns, cells), numbers


def spread(scores: list[float]) -> float:
    """The standard deviation over seeds; 0 of a single one."""
    return stdev(scores) if len(scores) > 1 else 0.0


def over_rates(found: dict) -> tuple[dict, dict]:
    """The mean over the four rates that the sweep begins with, the network minus the table, seed by seed."""
    cells = [[task, apart(rows["network"], rows["table"])] for task, rows in found.items()]
    numbers = {f"{task}_over_rates_ahead": mean(rows["network"]) - mean(rows["table"]) for task, rows in found.items()}
    return table(["mean of four rates", "network minus table"], cells), numbers


def lengths(found: dict) -> tuple[dict, dict]:
    """The table in several lengths, and how far each is from length 10."""
    cells, numbers = [], {}
    for task, raced_here in found.items():
        rows = {int(row["method"].removeprefix("length")): row for row in raced_here["rows"]}
        for length, row in sorted(rows.items()):
            ahead = "-" if length == 10 else apart(row["scores"], rows[10]["scores"])
            cells.append([task, length, f"{stored(row):,}", score_cell(row), ahead])
            numbers |= {f"{task}_length{length}": row["mean"], f"length{length}_stored": stored(row)}
    return table(["task", "length", "stored", "accuracy, %", "minus length 10"], cells), numbers


def few(found: dict) -> tuple[dict, dict]:
    """The three starts with few examples."""
    cells, numbers = [], {}
    for count, raced_here in found.items():
        rows = by_row(raced_here)
        for name in ("random", "related", "elephant"):
            row = rows[name]
            ahead = "-" if name == "random" else apart(row["scores"], rows["random"]["scores"])
            cells.append([count, LABELS[name], f"{raced_here['learning_rates'][name] or 0:g}", score_cell(row), ahead])
            numbers |= {f"few{count}_{name}": row["mean"]}
    return table(["examples", "start", "rate", "accuracy, %", "minus random numbers"], cells), numbers


def zeros(found: dict) -> tuple[dict, dict]:
    """Prefixes of zeros: loss, skills, and the share of attention that they get."""
    cells, numbers = [], {}
    for length, one in found.items():
        told = [f"{one['loss']:.2f}", *(f"{one['skills'][skill]:.1f}" for skill in SKILLS)]
        cells.append([length, *told, *(f"{one['shares'][kind]:.1f}" for kind in KINDS)])
        numbers |= {f"zeros{length}_loss": one["loss"], f"zeros{length}_costs": one["loss"] - found["0"]["loss"]}
        numbers |= {f"zeros{length}_{kind}": one["shares"][kind] for kind in KINDS}
        numbers |= {f"zeros{length}_{skill}": one["skills"][skill] for skill in SKILLS}
    shares = [f"share in {kind}, %" for kind in KINDS.values()]
    return table(["zeros", "nats per token", *SKILLS, *shares], cells), numbers


def after_training(found: dict) -> tuple[dict, dict]:
    """Of trained prefixes: the share of attention of each kind, and what the score loses without it."""
    cells, numbers = [], {}
    for name, seeds in found.items():
        whole = [seed["whole"] for seed in seeds]
        for kind, told in KINDS.items():
            shares, left = [seed["shares"][kind] for seed in seeds], [seed[f"without {kind}"] for seed in seeds]
            cells.append([LABELS[name], told, plus_minus(shares), plus_minus(left), apart(left, whole)])
            numbers |= {f"trained_{name}_{kind}": mean(shares), f"without_{name}_{kind}": mean(left)}
    return table(["", "in", "share of attention, %", "accuracy without it", "minus the whole prefix"], cells), numbers


def costs(found: dict) -> tuple[dict, dict]:
    """Parameters, megabytes and milliseconds of a training step."""
    cells, numbers = [], {}
    for name, one in found.items():
        own = (one["gradients"] + one["optimizer"]) / 1e6
        told = [f"{one['moved']:,}", f"{one['stored']:,}", f"{own:.2f}", f"{one['activations'] / 1e6:.1f}"]
        cells.append([name, *told, plus_minus(one["milliseconds"])])
        key = name.replace(", ", "_").replace(" ", "_")
        numbers |= {f"{key}_own": own, f"{key}_activations": one["activations"] / 1e6}
        numbers |= {f"{key}_milliseconds": mean(one["milliseconds"])}
        if len(one["milliseconds"]) > 1:
            numbers[f"{key}_interval"] = interval(one["milliseconds"])
    columns = ["", "moved", "stored", "gradients and optimizer, MB", "activations, MB", "a step, ms"]
    return table(columns, cells), numbers


def written(found: dict) -> tuple[dict, dict]:
    """Milliseconds a token while 16 answers are written."""
    labels = {"none": "no prefix", "table": "prefix, 10, table", "network": "prefix, 10, network left in"}
    cells = [[labels[name], plus_minus(times, 2)] for name, times in found.items()]
    numbers = {f"written_{name}": mean(times) for name, times in found.items()}
    numbers |= {f"written_{name}_more": 100 * (numbers[f"written_{name}"] / numbers["written_none"] - 1)
                for name in ("table", "network")}  # fmt: skip
    return table(["", "a token, ms"], cells), numbers


PARTS = {"grids": grids, "over_rates": over_rates, "lengths": lengths, "few": few, "zeros": zeros,
         "trained": after_training, "costs": costs}  # fmt: skip
