"""The tables and numbers of chapter 14, from what its experiment measured: errors, losses, skills, races, merges."""

import math
from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import interval, plus_minus

experiment = beside(__file__)
BLOCKS, FORMATS, WAYS = experiment.untuned.BLOCKS, experiment.untuned.FORMATS, experiment.WAYS
NAMES = {"exact": "as it is", "nf4": "NF4", "fp4": "FP4", "int4": "Int4", "int8": "Int8", "nf4_whole": "NF4, one scale",
         "fp4_whole": "FP4, one scale", "int4_whole": "Int4, one scale"}  # fmt: skip
ROWS = {"lora": "LoRA, 32-bit base", "nf4": "QLoRA, NF4", "fp4": "QLoRA, FP4", "int4": "QLoRA, Int4",
        "int4_whole": "QLoRA, Int4, one scale", "loftq": "LoftQ", "qpissa": "QPiSSA",
        "pissa": "PiSSA, 32-bit base"}  # fmt: skip
SLICES = ("plain", "contrast", "negation", "both", "unseen", "nested")


def summary(measured: dict) -> Summary:
    """Tables and numbers of the chapter."""
    tables, numbers = together({
        "stored": stored(measured["stored"]),
        "errors": errors(measured),
        "losses": losses(measured["loss"]),
        "skills": skills(measured["skills"]),
        "starts": starts(measured["starts"]),
        "race": race_on_sentiment(measured),
        "slices": slices(measured),
        "topic": race_on_topic(measured["topic"]),
        "better_starts": better_starts(measured),
        "merges": merging(measured["merges"]),
    })  # fmt: skip
    for rows, times in measured["speed"].items():  # other programs only make a round slower
        numbers[f"slower_{rows}"] = min(times["qlora"]) / min(times["lora"])
    return tables, numbers


def stored(measured: dict) -> tuple[dict, dict]:
    """What each base is made of, and the megabytes of a training step on 32 examples."""
    rows, numbers = [], {}
    for base, found in measured.items():
        share = 100 * found["in_blocks"] / found["parameters"]
        weights = {name: memory["weights"] / 1e6 for name, memory in found["memory"].items()}
        rows.append([base, f"{found['parameters']:,}", f"{share:.0f}", f"{found['bits_double']:.3f}",
                     *(f"{weights[name]:.2f}" for name in ("lora", "nf4"))])  # fmt: skip
        numbers |= {f"share_{base}": share, f"bits_{base}": found["bits"], f"bits_double_{base}": found["bits_double"]}
        for method, memory in found["memory"].items():
            numbers |= {f"{base}_{method}_{part}_mb": size / 1e6 for part, size in memory.items()}
        numbers[f"{base}_lora_moved"] = found["memory"]["lora"]["gradients"] / 4
    columns = [
        "base",
        "weights",
        "in the blocks, %",
        "bits for each of these",
        "LoRA: weights, MB",
        "QLoRA: weights, MB",
    ]
    return table(columns, rows), numbers


def errors(measured: dict) -> tuple[dict, dict]:
    """Percent of the weights' size, in the table at blocks of 64; how evenly the codes are used; the bases' tails."""
    rows, numbers = [], {f"kurtosis_{base}": found["kurtosis"] for base, found in measured["real"].items()}
    for name in FORMATS:
        for size in map(str, BLOCKS):
            normal, real = ([100 * found["errors"][name][size] for found in weights]
                            for weights in (measured["normal"], measured["real"].values()))  # fmt: skip
            numbers |= {f"{name}_error_{size}": mean(normal), f"{name}_real_error_{size}": mean(real)}
            if size == "64":
                rows.append([NAMES[name], plus_minus(normal, 2), *(f"{value:.2f}" for value in real)])
    for name in FORMATS[:3]:
        by_code = zip(*(seed["shares"][name] for seed in measured["normal"]), strict=True)
        used = [share for share in (sum(seeds) / len(seeds) for seeds in by_code) if share]
        numbers |= {f"{name}_rarest": 100 * min(used), f"{name}_commonest": 100 * max(used)}
        numbers[f"{name}_entropy"] = -sum(share * math.log2(share) for share in used)
    return table(["format", "normal numbers", *measured["real"]], rows), numbers


def rise(after: list[float], before: list[float]) -> list[float]:
    """Batch by batch: how much higher the loss is than that of the base as it is."""
    return [late - early for late, early in zip(after, before, strict=True)]


def risen(values: list[float], digits: int = 3) -> str:
    """With a sign, as the difference that it is; no minus before a zero."""
    return f"{round(mean(values), digits) + 0.0:+.{digits}f} ± {interval(values):.{digits}f}"


def losses(measured: dict) -> tuple[dict, dict]:
    rows, numbers = [["as it is", *(f"{mean(found['exact']):.3f}" for found in measured.values())]], {}
    for name in (name for name in NAMES if name != "exact"):
        rises = {base: rise(found[name], found["exact"]) for base, found in measured.items()}
        rows.append([NAMES[name], *map(risen, rises.values())])
        numbers[f"{name}_loss_rise"] = mean(map(mean, rises.values()))
        numbers |= {f"{name}_loss_rise_{base}": mean(values) for base, values in rises.items()}
    for ours, theirs in (("nf4", "fp4"), ("nf4", "int4"), ("int4", "fp4")):
        cells = (apart(found[ours], found[theirs], 3) for found in measured.values())
        rows.append([f"{NAMES[ours]} minus {NAMES[theirs]}", *cells])
    return table(["format", *measured], rows), numbers


def skills(measured: dict) -> tuple[dict, dict]:
    """AUC of the base by format, and how far that of negation fell, paired by part of the probes."""
    rows, numbers = [], {}
    for name, label in NAMES.items():
        found = measured[name]
        fell = "-" if name == "exact" else apart(found["negation"], measured["exact"]["negation"])
        rows.append([label, *(f"{mean(values):.1f}" for values in found.values()), fell])
        numbers |= {f"{skill}_{name}": mean(values) for skill, values in found.items()}
    return table(["stored as", *measured["exact"], "negation, minus as it is"], rows), numbers


def starts(measured: dict) -> tuple[dict, dict]:
    """Percent of the weights' size, the rise of the loss on each base, and how much lower it is than QLoRA's."""
    labels = {"qlora": "QLoRA", "loftq1": "LoftQ, 1 round", "loftq5": "LoftQ, 5 rounds", "qpissa": "QPiSSA"}
    rows, numbers = [], {}
    for name, label in labels.items():
        cells = [(f"{100 * base[name]['error']:.2f}", risen(rise(base[name]["loss"], base["exact"]["loss"])))
                 for base in measured.values()]  # fmt: skip
        saved = [apart(base[name]["loss"], base["qlora"]["loss"], 3) if name != "qlora" else "-"
                 for base in measured.values()]  # fmt: skip
        rows.append([label, *(cell for pair in cells for cell in pair), *saved])
        numbers |= {f"{name}_start_error_{base}": 100 * found[name]["error"] for base, found in measured.items()}
    columns = [*(f"{base}: {what}" for base in measured for what in ("error %", "loss")),
               *(f"{base}: minus QLoRA" for base in measured)]  # fmt: skip
    return table(["start", *columns], rows), numbers


def on_sentiment(measured: dict) -> dict[str, dict]:
    """The rows with five seeds: LoRA, all formats, all starts."""
    return {**by_row(measured["sentiment"]), **by_row(measured["formats"]), **by_row(measured["better_starts"])}


def compared(raced: dict[str, dict], names: list[str], reference: str) -> list[list[str]]:
    """For each row its score, what it is ahead of `reference`, its slices' extremes, and what it forgets."""
    return [
        [ROWS[name], plus_minus(raced[name]["scores"]),
         apart(raced[name]["scores"], raced[reference]["scores"]) if name != reference else "-",
         f"{raced[name]['forgotten']:+.2f}"]
        for name in names
    ]  # fmt: skip


def race_on_sentiment(measured: dict) -> tuple[dict, dict]:
    """LoRA and NF4 with ten seeds, the other formats with five."""
    five, ten = on_sentiment(measured), by_row(measured["sentiment_10"])
    names = ["lora", "nf4", "fp4", "int4", "int4_whole"]
    rows = [[*row, plus_minus(ten[name]["scores"]) if name in ten else "-",
             apart(ten[name]["scores"], ten["lora"]["scores"]) if name == "nf4" else "-"]
            for name, row in zip(names, compared(five, names, "lora"), strict=True)]  # fmt: skip
    numbers = {f"sentiment_{name}": mean(row["scores"]) for name, row in five.items()}
    numbers |= {f"sentiment10_{name}": mean(row["scores"]) for name, row in ten.items()}
    numbers |= {f"forgotten_{name}": row["forgotten"] for name, row in five.items()}
    numbers |= {f"rate_{name}": rate for name, rate in measured["sentiment"]["learning_rates"].items()}
    columns = ["method", "5 seeds", "minus LoRA", "forgotten", "10 seeds", "minus LoRA, 10"]
    return table(columns, rows), numbers


def by_seed(row: dict, slice_name: str) -> list[float]:
    return [run["slices"][slice_name] for run in row["runs"]]


def slices(measured: dict) -> tuple[dict, dict]:
    """Each slice's mean, and how far nested judgements are from LoRA's."""
    five, rows, numbers = on_sentiment(measured), [], {}
    for name in ("lora", "nf4", "fp4", "int4", "int4_whole"):
        found = five[name]["slices"]
        away = "-" if name == "lora" else apart(by_seed(five[name], "nested"), by_seed(five["lora"], "nested"))
        rows.append([ROWS[name], *(f"{found[part]:.1f}" for part in SLICES), away])
        numbers |= {f"{part}_tuned_{name}": found[part] for part in SLICES}
    return table(["method", *SLICES, "nested, minus LoRA"], rows), numbers


def race_on_topic(measured: dict) -> tuple[dict, dict]:
    raced, rows = by_row(measured), []
    for name, row in zip(("lora", "nf4"), compared(raced, ["lora", "nf4"], "lora"), strict=True):
        rows.append([*row, *(f"{raced[name]['slices'][part]:.1f}" for part in ("knows", "reads"))])
    numbers = {f"topic_{name}": mean(row["scores"]) for name, row in raced.items()}
    return table(["method", "topic", "minus LoRA", "forgotten", "knows", "reads"], rows), numbers


def better_starts(measured: dict) -> tuple[dict, dict]:
    """The starts against QLoRA's, and PiSSA against LoRA: both begin in 32 bits."""
    raced = on_sentiment(measured)
    rows = []
    for name, reference in {"nf4": "nf4", "loftq": "nf4", "qpissa": "nf4", "lora": "lora", "pissa": "lora"}.items():
        [[label, score, ahead, forgotten]] = compared(raced, [name], reference)
        rows.append([label, score, "-" if name == reference else ROWS[reference], ahead, forgotten,
                     f"{raced[name]['slices']['nested']:.1f}"])  # fmt: skip
    return table(["method", "sentiment", "compared with", "difference", "forgotten", "nested"], rows), {}


def merging(measured: dict) -> tuple[dict, dict]:
    """The same adapters attached, and in three ways without an adapter."""
    rows, numbers = [], {}
    for way, label in WAYS.items():
        scores = {task: [seed[way]["score"] for seed in seeds] for task, seeds in measured.items()}
        changed = ["-" if way == "attached" else apart(values, [seed["attached"]["score"] for seed in measured[task]])
                   for task, values in scores.items()]  # fmt: skip
        rows.append([label, *(cell for pair in zip(map(plus_minus, scores.values()), changed, strict=True)
                              for cell in pair)])  # fmt: skip
        numbers |= {f"{task}_{way}": mean(values) for task, values in scores.items()}
    for task, seeds in measured.items():
        update = mean(100 * seed["attached"]["update"] for seed in seeds)
        error = mean(100 * seed["requantized"]["error"] for seed in seeds)
        numbers |= {f"{task}_update": update, f"{task}_requantized_error": error}
        numbers |= {f"{task}_lost": mean(100 * seed["attached"]["lost"] for seed in seeds)}
        numbers[f"{task}_update_gone"] = 100 * error / update
    columns = [name for task in measured for name in (task, "changed by")]
    return table(["", *columns], rows), numbers
