"""The tables and numbers of chapter 05, from what its experiment measured: sizes, slices, lengths, starts, votes."""

import statistics

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.racing.differences import difference
from minipeft.racing.table import plus_minus, score_cell

experiment = beside(__file__)
BASE, SIZES, STEPS, TASK, TASKS, TWINS = (
    getattr(experiment, name) for name in ("BASE", "SIZES", "STEPS", "TASK", "TASKS", "TWINS")
)
SKILLS = ("plain", "contrast", "negation", "subject", "turned-down subject")
SLICES = ("plain", "contrast", "negation", "both", "unseen", "nested")


def short(base: str) -> str:
    """A base's name in the names of numbers: 0_4m, 0_8m_lm2e6, ..."""
    return base.removeprefix("t5-").replace(".", "_").replace("-", "_")


def gap(better: dict, worse: dict) -> tuple[float, float]:
    """Mean difference over seeds, and half the width of its 95% interval."""
    found = difference("", better["scores"], "", worse["scores"], paired=True)
    return found.difference, (found.high - found.low) / 2 if found.low is not None else 0.0


def summary(measured: dict) -> Summary:
    """Tables and numbers of the chapter, from the measurements alone."""
    parts = {
        "skills": skills(measured["bases"]),
        "ladder": ladder(measured),
        "twins": twins(measured),
        "slices": slices(measured),
        "lengths": lengths(measured),
        "starts": starts(measured),
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


def sized(measured: dict, task: str) -> dict[str, dict]:
    """The rows of prompt and full tuning on one task, by base."""
    return {size: by_row(found) for size, found in measured["races"]["sizes"][task].items()}


def skills(bases: dict) -> tuple[dict, dict]:
    """What each size can do before anyone tunes it."""
    rows, numbers = [], {}
    for size in SIZES:
        found = bases[size]["skills"]
        rows.append([f"`{size}`", f"{bases[size]['parameters']:,}", *(f"{found[skill]:.0f}" for skill in SKILLS)])
        numbers |= {f"{short(size)}_{skill}": found[skill] for skill in SKILLS}
    return table(["base", "parameters", *SKILLS], rows), numbers


def ladder(measured: dict) -> tuple[dict, dict]:
    """Prompt tuning and full tuning on bases of all sizes, task by task."""
    rows, numbers = [], {}
    for task in TASKS:
        for size, race in sized(measured, task).items():
            prompt, full = race["prompt_tuning"], race["full"]
            words = f"{measured['bases'][size]['ranked']:.1f}" if task == TASK else "-"
            rows.append([task, f"`{size}`", f"{prompt['trained']:,}", words, score_cell(prompt), score_cell(full),
                         apart(full["scores"], prompt["scores"])])  # fmt: skip
            mean, half = gap(full, prompt)
            name = f"{task}_{short(size)}"
            numbers |= {f"prompt_{name}": prompt["mean"], f"full_{name}": full["mean"], f"gap_{name}": mean}
            numbers |= {f"percent_{name}": prompt["percent"], f"gap_interval_{name}": half}
    columns = ["task", "base", "trained", "hard prompt", "prompt tuning", "full tuning", "full minus prompt"]
    return table(columns, rows), numbers


def twins(measured: dict) -> tuple[dict, dict]:
    """What prompts lack on bases that differ by the seed of pretraining alone, beside what they lack by size."""
    rows, numbers = [], {}
    for size, names in TWINS.items():
        cells = []
        for task in TASKS:
            races = [sized(measured, task)[size]]
            races += [by_row(measured["races"]["twins"][task][name]) for name in names]
            gaps = [gap(race["full"], race["prompt_tuning"])[0] for race in races]
            cells += [f"{found:.1f}" for found in gaps]
            told = {"mean": statistics.mean(gaps), "low": min(gaps), "high": max(gaps)}
            numbers |= {f"twins_{task}_{short(size)}_{kind}": value for kind, value in told.items()}
        rows.append([f"`{size}`", *cells])
    return table(["base", *(f"{task}, seed {seed}" for task in TASKS for seed in (0, 1, 2))], rows), numbers


def slices(measured: dict) -> tuple[dict, dict]:
    """Sentiment's slices by size: where prompt tuning lies behind full tuning."""
    rows, numbers = [], {}
    for size, race in sized(measured, "sentiment").items():
        for kind, row in (("prompt", race["prompt_tuning"]), ("full", race["full"])):
            rows.append([f"`{size}`", kind, *(f"{row['slices'][part]:.1f}" for part in SLICES)])
            numbers |= {f"{kind}_{part}_{short(size)}": row["slices"][part] for part in SLICES}
    return table(["base", "tuned", *SLICES], rows), numbers


def lengths(measured: dict) -> tuple[dict, dict]:
    """What a longer prompt costs and brings, and how far it is above the one before."""
    by_length = {f"length {PromptTuning.prompt_length}": sized(measured, TASK)[BASE]["prompt_tuning"]}
    by_length |= by_row(measured["races"]["lengths"])
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


def starts(measured: dict) -> tuple[dict, dict]:
    """Three starts of the same prompt, and how much the learning rate matters from two of them."""
    raced, usual = by_row(measured["races"]["starts"]), sized(measured, TASK)[BASE]["prompt_tuning"]
    found = {"uniform in ±1/2": raced["uniform"], "frequent tokens": usual, "class labels": raced["labels"]}
    numbers = {"start_uniform": raced["uniform"]["mean"], "start_labels": raced["labels"]["mean"]}
    sweeps = {"uniform": measured["races"]["starts"]["sweep"].get("uniform"),
              "tokens": measured["races"]["sizes"][TASK][BASE]["sweep"].get("prompt_tuning")}  # fmt: skip
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
    """What one base does with a hard prompt, untrained, after more and more adaptation; other sizes: the ladder."""
    rows, numbers = [], {}
    for name, found in measured.items():
        shares = (f"{found[kind]:.0f}" for kind in ("sentinel", "legal"))
        if name.startswith(BASE):
            rows.append([f"`{name}`", f"{found['tokens'] / 1e6:.1f}", *shares, f"{found['ranked']:.1f}"])
        numbers |= {f"{kind}_{short(name)}": found[kind] for kind in ("sentinel", "legal", "ranked")}
    return table(
        ["base", "million tokens of adaptation", "sentinel first, %", "a label, %", "ranked, %"], rows
    ), numbers
