"""Tables and numbers of the bases that nobody has tuned: bytes, errors, losses, skills, better starts."""

import math
from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import apart, table
from minipeft.racing.table import interval, plus_minus

untuned = beside(__file__, "untuned.py")
BLOCKS, FORMATS = untuned.BLOCKS, untuned.FORMATS
NAMES = {"exact": "as it is", "nf4": "NF4", "fp4": "FP4", "int4": "Int4", "int8": "Int8", "nf4_whole": "NF4, one scale",
         "fp4_whole": "FP4, one scale", "int4_whole": "Int4, one scale"}  # fmt: skip


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
