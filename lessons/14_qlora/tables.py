"""The tables and numbers of chapter 14, from what its experiment measured: bits, errors, losses, races, merges."""

import math
from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import interval, plus_minus

experiment = beside(__file__)
BLOCKS, FORMATS, WAYS = experiment.BLOCKS, experiment.FORMATS, experiment.WAYS
NAMES = {"full": "full tuning", "lora": "LoRA, 32-bit base", "nf4": "QLoRA, NF4", "fp4": "QLoRA, FP4",
         "int4": "QLoRA, Int4"}  # fmt: skip


def summary(measured: dict) -> Summary:
    """Tables and numbers of the chapter."""
    tables, numbers = together({
        "bits": (bits_table(measured["bits"]), {}),
        "errors": errors(measured),
        "losses": losses(measured["loss"]),
        "starts": (starts_table(measured["starts"]), {}),
        "race": races(measured),
        "merges": merging(measured["merges"]),
    })  # fmt: skip
    for rows, times in measured["speed"].items():  # other programs only make a round slower
        numbers[f"slower_{rows}"] = min(times["qlora"]) / min(times["lora"])
    return tables, numbers


def bits_table(measured: dict) -> dict:
    rows = [[size, *(f"{value:.3f}" for value in values)] for size, values in measured.items()]
    return table(["numbers in a block", "scales in 32 bits", "scales quantized, too"], rows)


def errors(measured: dict) -> tuple[dict, dict]:
    """Percent of the weights' size, in the table at blocks of 64; how evenly the codes are used; the bases' tails."""
    rows, numbers = [], {f"kurtosis_{base}": found["kurtosis"] for base, found in measured["real"].items()}
    for name in FORMATS:
        for size in map(str, BLOCKS):
            normal, real = ([100 * found["errors"][name][size] for found in weights]
                            for weights in (measured["normal"], measured["real"].values()))  # fmt: skip
            numbers |= {f"{name}_error_{size}": mean(normal), f"{name}_real_error_{size}": mean(real)}
            if size == "64":
                rows.append([name, plus_minus(normal, 2), *(f"{value:.2f}" for value in real)])
    for name in FORMATS[:3]:
        by_code = zip(*(seed["shares"][name] for seed in measured["normal"]), strict=True)
        used = [share for share in (sum(seeds) / len(seeds) for seeds in by_code) if share]
        numbers |= {f"{name}_rarest": 100 * min(used), f"{name}_commonest": 100 * max(used)}
        numbers[f"{name}_entropy"] = -sum(share * math.log2(share) for share in used)
    return table(["format", "normal numbers", *measured["real"]], rows), numbers


def rise(stored: list[float], exact: list[float]) -> list[float]:
    """Batch by batch: how much higher the loss is than that of the base as it is."""
    return [after - before for after, before in zip(stored, exact, strict=True)]


def risen(values: list[float]) -> str:
    """With a sign, as the difference that it is; no minus before a zero."""
    return f"{round(mean(values), 3) + 0.0:+.3f} ± {interval(values):.3f}"


def losses(measured: dict) -> tuple[dict, dict]:
    rows, numbers = [["as it is", *(f"{mean(found['exact']):.3f}" for found in measured.values())]], {}
    fewer = (("nf4", "fp4"), ("nf4", "int4"), ("int4", "fp4"))
    for name in FORMATS:
        rises = [rise(found[name], found["exact"]) for found in measured.values()]
        rows.append([name, *map(risen, rises)])
        numbers[f"{name}_loss_rise"] = mean(map(mean, rises))
    for ours, theirs in fewer:
        rows.append([f"{ours} minus {theirs}", *(apart(found[ours], found[theirs], 3) for found in measured.values())])
    return table(["format", *measured], rows), numbers


def starts_table(measured: dict) -> dict:
    """Percent of the weights' size, the rise of the loss on each base, and how much lower it is than QLoRA's."""
    labels = {"qlora": "QLoRA", "loftq1": "LoftQ, 1 round", "loftq5": "LoftQ, 5 rounds", "qpissa": "QPiSSA"}
    rows = []
    for name, label in labels.items():
        cells = [(f"{100 * base[name]['error']:.2f}", risen(rise(base[name]["loss"], base["exact"]["loss"])))
                 for base in measured.values()]  # fmt: skip
        saved = [apart(base[name]["loss"], base["qlora"]["loss"], 3) if name != "qlora" else "-"
                 for base in measured.values()]  # fmt: skip
        rows.append([label, *(cell for pair in cells for cell in pair), *saved])
    columns = [*(f"{base}: {what}" for base in measured for what in ("error %", "loss")),
               *(f"{base}: minus QLoRA" for base in measured)]  # fmt: skip
    return table(["start", *columns], rows)


def races(measured: dict) -> tuple[dict, dict]:
    """Scores on both tasks, the difference to LoRA on the base in 32 bits, and the megabytes on the first task."""
    tasks = {task: by_row(measured[task]) for task in ("sentiment", "topic")}
    rows = []
    for name, label in NAMES.items():
        scores = [plus_minus(raced[name]["scores"]) if name in raced else "-" for raced in tasks.values()]
        memory = tasks["sentiment"][name]["memory"]
        ahead = [apart(raced[name]["scores"], raced["lora"]["scores"]) if name in raced and name != "lora" else "-"
                 for raced in tasks.values()]  # fmt: skip
        rows.append(
            [label, *scores, *ahead, *(f"{memory[part] / 1e6:.2f}" for part in ("weights", "gradients", "optimizer"))]
        )
    numbers = {f"{task}_{name}": mean(row["scores"]) for task, raced in tasks.items() for name, row in raced.items()}
    columns = ["method", "sentiment", "topic", "minus LoRA, sentiment", "minus LoRA, topic",
               *(f"{part} MB" for part in ("weights", "gradients", "optimizer"))]  # fmt: skip
    return table(columns, rows), numbers


def merging(measured: dict) -> tuple[dict, dict]:
    """The same adapters attached, and in three ways without an adapter."""
    rows, numbers = [], {}
    for way, label in WAYS.items():
        scores = {task: [seed[way]["score"] for seed in seeds] for task, seeds in measured.items()}
        rows.append([label, *map(plus_minus, scores.values())])
        numbers |= {f"{task}_{way}": mean(values) for task, values in scores.items()}
    for task, seeds in measured.items():
        update = mean(100 * seed["attached"]["update"] for seed in seeds)
        error = mean(100 * seed["requantized"]["error"] for seed in seeds)
        numbers |= {f"{task}_update": update, f"{task}_requantized_error": error}
        numbers |= {f"{task}_lost": mean(100 * seed["attached"]["lost"] for seed in seeds)}
        numbers[f"{task}_update_gone"] = 100 * error / update
    return table(["", *measured], rows), numbers
