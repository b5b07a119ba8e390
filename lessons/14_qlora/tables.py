"""The tables and numbers of chapter 14, from what its experiment measured."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import plus_minus

WAYS, untuned = beside(__file__).WAYS, beside(__file__, "untuned_tables.py")
ROWS = {"lora": "LoRA, 32-bit base", "nf4_shared": "QLoRA, NF4", "fp4": "QLoRA, FP4",
        "int4_whole": "QLoRA, Int4, one scale", "nf4": "QLoRA, NF4, its own rate", "loftq": "LoftQ",
        "qpissa": "QPiSSA", "pissa": "PiSSA, 32-bit base"}  # fmt: skip
ON_SENTIMENT = ("lora", "nf4_shared", "fp4", "int4_whole", "nf4")
SLICES = ("plain", "contrast", "negation", "both", "unseen", "nested")


def summary(measured: dict) -> Summary:
    """Tables and numbers of the chapter."""
    tables, numbers = together({
        "stored": untuned.stored(measured["stored"]),
        "errors": untuned.errors(measured),
        "losses": untuned.losses(measured["loss"]),
        "skills": untuned.skills(measured["skills"]),
        "starts": untuned.starts(measured["starts"]),
        "race": race_on_sentiment(measured),
        "slices": slices(measured),
        "topic": race_on_topic(measured["topic"]),
        "better_starts": better_starts(measured),
        "merges": merging(measured["merges"]),
    })  # fmt: skip
    for rows, times in measured["speed"].items():  # other programs only make a round slower
        numbers[f"slower_{rows}"] = min(times["qlora"]) / min(times["lora"])
    return tables, numbers


def on_sentiment(measured: dict) -> dict[str, dict]:
    """LoRA and NF4 with ten seeds, the other formats and starts with five."""
    parts = (measured[part] for part in ("sentiment", "shared", "formats", "better_starts"))
    return {name: row for part in parts for name, row in by_row(part).items()}


def away(ours: list[float], theirs: list[float]) -> str:
    """How far two rows are apart, over the seeds that both have."""
    both = min(len(ours), len(theirs))
    return apart(ours[:both], theirs[:both])


def compared(raced: dict[str, dict], name: str, reference: str) -> list[str]:
    """A row's name and score, what it is ahead of the reference, and what its base forgot."""
    row = raced[name]
    ahead = "-" if name == reference else away(row["scores"], raced[reference]["scores"])
    return [ROWS[name], plus_minus(row["scores"]), ahead, f"{row['forgotten']:+.2f}"]


def race_on_sentiment(measured: dict) -> tuple[dict, dict]:
    raced = on_sentiment(measured)
    rates = measured["sentiment"]["learning_rates"]
    rows = []
    for name in ON_SENTIMENT:
        label, *cells = compared(raced, name, "lora")
        rows.append([label, rates["nf4" if name == "nf4" else "lora"], len(raced[name]["scores"]), *cells])
    numbers = {f"sentiment_{name}": mean(row["scores"]) for name, row in raced.items()}
    numbers |= {f"forgotten_{name}": row["forgotten"] for name, row in raced.items()}
    numbers |= {f"rate_{name}": rate for name, rate in rates.items()}
    numbers["behind_nf4"] = numbers["sentiment_lora"] - numbers["sentiment_nf4"]
    for name, dev in measured["sentiment"]["sweep"].items():
        numbers |= {f"dev_{name}_{rate}": score for rate, score in dev.items()}
    return table(["method", "rate", "seeds", "score", "minus LoRA", "forgotten"], rows), numbers


def by_seed(row: dict, slice_name: str) -> list[float]:
    return [run["slices"][slice_name] for run in row["runs"]]


def slices(measured: dict) -> tuple[dict, dict]:
    """Each slice's mean, and how far two of them are from LoRA's."""
    raced, rows, numbers = on_sentiment(measured), [], {}
    for name in ON_SENTIMENT:
        found = raced[name]["slices"]
        gaps = ["-" if name == "lora" else away(by_seed(raced[name], part), by_seed(raced["lora"], part))
                for part in ("negation", "nested")]  # fmt: skip
        rows.append([ROWS[name], *(f"{found[part]:.1f}" for part in SLICES), *gaps])
        numbers |= {f"{part}_tuned_{name}": found[part] for part in SLICES}
    return table(["method", *SLICES, "negation, minus LoRA", "nested, minus LoRA"], rows), numbers


def race_on_topic(measured: dict) -> tuple[dict, dict]:
    raced = by_row(measured)
    raced["nf4_shared"] = raced.pop("nf4")
    rows = [[*compared(raced, name, "lora"), *(f"{raced[name]['slices'][part]:.1f}" for part in ("knows", "reads"))]
            for name in ("lora", "nf4_shared")]  # fmt: skip
    numbers = {f"topic_{name}": mean(row["scores"]) for name, row in raced.items()}
    return table(["method", "topic", "minus LoRA", "forgotten", "knows", "reads"], rows), numbers


def better_starts(measured: dict) -> tuple[dict, dict]:
    """The starts on NF4 against QLoRA's own, and PiSSA's against LoRA's: all at one rate, over the seeds of both."""
    raced, rows = on_sentiment(measured), []
    for name, reference in {"loftq": "nf4_shared", "qpissa": "nf4_shared", "pissa": "lora"}.items():
        label, score, ahead, forgotten = compared(raced, name, reference)
        rows.append([label, score, ROWS[reference], ahead, forgotten, f"{raced[name]['slices']['nested']:.1f}"])
    return table(["start", "sentiment", "compared with", "difference", "forgotten", "nested"], rows), {}


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
        numbers[f"{task}_merge_cost"] = numbers[f"{task}_attached"] - numbers[f"{task}_requantized"]
    columns = [name for task in measured for name in (task, "changed by")]
    return table(["", *columns], rows), numbers
