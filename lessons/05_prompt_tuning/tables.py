"""The tables and numbers of chapter 05, from what its experiment measured: sizes, lengths, starts, votes, batches."""

import math
import statistics

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.racing.table import interval, plus_minus, score_cell

experiment = beside(__file__)
BASE, SIZES, STEPS = experiment.BASE, experiment.SIZES, experiment.STEPS


def gap(better: dict, worse: dict) -> tuple[float, float]:
    """Mean difference over seeds, and half the width of its 95% interval."""
    differences = [a - b for a, b in zip(better["scores"], worse["scores"], strict=True)]
    half = interval(differences)
    return statistics.mean(differences), 0.0 if math.isnan(half) else half


def summary(measured: dict) -> Summary:
    """Tables and numbers of the chapter, from the measurements alone."""
    races = {name: by_row(found) for name, found in measured["races"].items()}
    parts = {
        "ladder": ladder(measured, races),
        "lengths": lengths(measured, races),
        "starts": starts(measured, races),
        "ensembles": ensembles(measured["bundled"]),
        "batches": mixed_batches(measured["batches"]),
        "bases": untuned_bases(measured["bases"]),
    }
    tables, numbers = together(parts)
    numbers["steps"] = STEPS
    for name, found in measured["tokens"]["prompts"].items():
        numbers |= {f"{key}_{name}": found[key] for key in ("trained", "nearest", "cosine")}
        numbers[f"length_ratio_{name}"] = found["length"] / measured["tokens"]["length_of_tokens"]
    numbers["token_length"] = measured["tokens"]["length_of_tokens"]
    for task, found in measured["bundled"]["scores"].items():
        numbers |= {f"bundled_{method}_{task}": row["mean"] for method, row in found.items()}
        numbers |= {f"bundled_{method}_{task}_interval": row["interval"] for method, row in found.items()}
    return tables, numbers


def ladder(measured: dict, races: dict) -> tuple[dict, dict]:
    """Prompt tuning and full tuning on bases of four sizes."""
    rows, numbers = [], {}
    for size in SIZES:
        prompt, full = races[size]["prompt_tuning"], races[size]["full"]
        mean, half = gap(full, prompt)
        rows.append([f"`{size}`", f"{full['trained']:,}", f"{prompt['trained']:,}",
                     f"{measured['bases'][size]['ranked']:.1f}", score_cell(prompt), score_cell(full),
                     f"{mean:.1f} ± {half:.1f}"])  # fmt: skip
        name = size.removeprefix("t5-").replace(".", "_")
        numbers |= {f"prompt_{name}": prompt["mean"], f"full_{name}": full["mean"], f"gap_{name}": mean}
        numbers |= {f"percent_{name}": prompt["percent"], f"gap_interval_{name}": half}
    columns = ["base", "parameters", "prompt", "hard prompt", "prompt tuning", "full tuning", "difference"]
    return table(columns, rows), numbers


def lengths(measured: dict, races: dict) -> tuple[dict, dict]:
    """What a longer prompt costs and brings, and how far it is above the one before."""
    by_length = {f"length {PromptTuning.prompt_length}": races[BASE]["prompt_tuning"]} | races["lengths"]
    rows, numbers, shorter = [], {}, None
    for length, found in measured["memory"].items():
        row = by_length[f"length {length}"]
        gained = apart(row["scores"], shorter["scores"]) if shorter else "-"
        small = [f"{found[part] / 1e3:.1f}" for part in ("gradients", "optimizer")]
        activations, shorter = f"{found['activations'] / 1e6:.1f}", row
        rows.append([length, f"{row['trained']:,}", *small, activations, score_cell(row), gained])
        numbers[f"length_{length}"] = row["mean"]
        numbers[f"activations_{length}"] = found["activations"] / measured["memory"]["1"]["activations"]
    columns = ["vectors", "trained", "gradients, kB", "optimizer, kB", "activations, MB", "score", "gained"]
    return table(columns, rows), numbers


def starts(measured: dict, races: dict) -> tuple[dict, dict]:
    """Three starts of the same prompt, and how much the learning rate matters from two of them."""
    uniform, labels = races["starts"]["uniform"], races["starts"]["labels"]
    found = {"uniform in ±1/2": uniform, "frequent tokens": races[BASE]["prompt_tuning"], "class labels": labels}
    numbers = {"start_uniform": uniform["mean"], "start_labels": labels["mean"]}
    sweeps = {"uniform": measured["races"]["starts"]["sweep"].get("uniform"),
              "tokens": measured["races"][BASE]["sweep"].get("prompt_tuning")}  # fmt: skip
    for name, by_rate in sweeps.items():
        if by_rate:  # --quick does not tune
            numbers |= {f"{name}_worst_rate": min(by_rate.values()), f"{name}_best_rate": max(by_rate.values())}
    rows = []
    for name, row in found.items():
        others = [apart(row["scores"], other["scores"]) if other is not row else "-"
                  for other in list(found.values())[:2]]  # fmt: skip
        rows.append([name, score_cell(row), *others])
    return table(["start", "score", "minus uniform", "minus tokens"], rows), numbers


def ensembles(bundled: dict) -> tuple[dict, dict]:
    """Five prompts that vote, beside their members and one prompt alone."""
    rows, numbers = [], {}
    for task, found in bundled["votes"].items():
        average, best, vote = (found[kind]["scores"] for kind in ("average", "best", "ensemble"))
        alone = bundled["scores"][task]["prompt_tuning"]["scores"]
        rows.append([task, *map(plus_minus, (average, best, vote)), apart(vote, best), apart(alone, vote)])
        gain, half = gap(found["ensemble"], found["average"])
        numbers |= {f"vote_gain_{task}": gain, f"vote_gain_interval_{task}": half}
    columns = [
        "task",
        "average member",
        "best member on dev",
        "vote of five",
        "vote minus best",
        "one alone minus vote",
    ]
    return table(columns, rows), numbers


def mixed_batches(measured: dict) -> tuple[dict, dict]:
    """Many tasks in one batch, beside task by task."""
    rows, numbers = [], {}
    for number, found in measured.items():
        ratio = statistics.median(a / b for a, b in zip(found["switched"], found["mixed"], strict=True))
        times = (f"{statistics.median(found[side]):.1f}" for side in ("mixed", "switched"))
        rows.append([number, *times, f"{ratio:.1f}"])
        numbers |= {f"batch_ratio_{number}": ratio, f"batch_same_{number}": 100 * found["same"]}
    return table(["tasks", "one batch, ms", "task by task, ms", "times as fast"], rows), numbers


def untuned_bases(measured: dict) -> tuple[dict, dict]:
    """What the bases do with a hard prompt, untrained; the other sizes stand in the ladder."""
    rows, numbers = [], {}
    for name, found in measured.items():
        adapted = f"{found['steps']:,}" if found["objective"] == "prefix" else "0"
        shares = (f"{found[kind]:.0f}" for kind in ("sentinel", "legal"))
        if name.startswith(BASE):
            rows.append([f"`{name}`", adapted, *shares, f"{found['ranked']:.1f}"])
        short = name.removeprefix("t5-").replace(".", "_").replace("-", "_")
        numbers |= {f"{kind}_{short}": found[kind] for kind in ("sentinel", "legal", "ranked")}
    return table(["base", "LM adaptation, steps", "sentinel first, %", "a label, %", "ranked, %"], rows), numbers
