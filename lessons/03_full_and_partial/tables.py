"""The tables and numbers of chapter 03, from what its experiment measured: blocks, rates, vectors, examples, tasks."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import interval, plus_minus, trained

experiment = beside(__file__)
MODEL, GPT, TASK, OTHER = experiment.MODEL, experiment.GPT, experiment.TASK, experiment.OTHER
COMPUTED = ("plain", "contrast", "negation")  # the slices that the base computes untuned
LABELS = {
    "head": "a new head alone",
    "top1": "top block of each stack",
    "top2": "top two blocks",
    "top3": "all three blocks",
    "full": "everything",
    "slower": "each block half the rate of the one above",
    "faster": "each block twice the rate of the one above",
    "gradual": "equal rates, lower blocks later",
    "bitfit": "biases (BitFit)",
    "norm_tuning": "norms",
}
STAGES = {"first": f"{TASK} alone", "second": f"then {OTHER}", "together": "both together"}


def summary(measured: dict) -> Summary:
    parts = {
        "blocks": blocks(measured["blocks"]),
        "rates": rates(measured["blocks"]),
        "vectors": vectors(measured["vectors"]),
        "few": few(measured["few"]),
        "tasks": tasks(measured["tasks"]),
        "costs": costs(measured["costs"]),
        "batches": batches(measured["batches"]),
    }
    return together(parts)


def by_seed(row: dict, *slices: str) -> list[float]:
    """The score of each seed on some slices, the mean over them."""
    return [mean(run["slices"][name] for name in slices) for run in row["runs"]]


def told_by_seed(row: dict, name: str) -> list[float] | None:
    """What is measured beside the score, by seed; None where it is not known."""
    values = [run.get(name) for run in row["runs"]]
    return None if None in values else values


def cell(values: list[float] | None, digits: int) -> str:
    return "-" if values is None else f"{mean(values):.{digits}f}"


def row_numbers(name: str, row: dict, rate: float | None) -> dict[str, float]:
    """What the text may say of a row."""
    numbers = {f"{name}_score": row["mean"], f"{name}_rate": rate or 0.0, f"{name}_trained": trained(row)}
    numbers |= {f"{name}_{part}": mean(by_seed(row, part)) for part in row["slices"]}
    numbers[f"{name}_computed"] = mean(by_seed(row, *COMPUTED))
    for told in ("forgotten", "skills_lost"):
        if (values := told_by_seed(row, told)) is not None:
            numbers[f"{name}_{told}"] = mean(values)
    return numbers | ({f"{name}_interval": interval(row["scores"])} if len(row["scores"]) > 1 else {})


def blocks(raced: dict) -> tuple[dict, dict]:
    """By what is trained: score, slices, what is forgotten."""
    rows, cells, numbers = by_row(raced), [], {}
    for name in ("head", "top1", "top2", "top3", "full"):
        row, rate = rows[name], raced["learning_rates"][name]
        parts = [mean(by_seed(row, *COMPUTED)), *(mean(by_seed(row, part)) for part in ("both", "unseen", "nested"))]
        lost = [told_by_seed(row, told) for told in ("forgotten", "skills_lost")]
        ahead = apart(row["scores"], rows["full"]["scores"]) if name != "full" else "-"
        cells.append([LABELS[name], f"{trained(row):,}", f"{rate or 0:g}", plus_minus(row["scores"]),
                      *(f"{part:.1f}" for part in parts), ahead, cell(lost[0], 2), cell(lost[1], 1)])  # fmt: skip
        numbers |= row_numbers(name, row, rate)
        numbers[f"{name}_of_full"] = 100 * row["mean"] / rows["full"]["mean"]
    columns = ["trained", "numbers", "rate", "accuracy, %", "computed", "both", "unseen", "nested", "minus everything",
               "forgotten, nats", "skills lost"]  # fmt: skip
    return table(columns, cells), numbers


def rates(raced: dict) -> tuple[dict, dict]:
    """All blocks at equal rates, at layer-wise ones in both directions, and woken one after the other."""
    rows, cells, numbers = by_row(raced), [], {}
    equal = rows["top3"]
    for name in ("top3", "slower", "faster", "gradual"):
        row, rate = rows[name], raced["learning_rates"][name]
        ours = row["scores"], told_by_seed(row, "forgotten")
        theirs = equal["scores"], told_by_seed(equal, "forgotten")
        ahead = ["-", "-"]
        if name != "top3":
            ahead = [apart(ours[0], theirs[0]), apart(ours[1], theirs[1], 2)]
            numbers[f"{name}_ahead"] = row["mean"] - equal["mean"]
            numbers[f"{name}_forgets_more"] = mean(ours[1]) - mean(theirs[1])
            numbers |= row_numbers(name, row, rate)
        label = "equal rates" if name == "top3" else LABELS[name]
        hard = [f"{mean(by_seed(row, part)):.1f}" for part in ("unseen", "nested")]
        cells.append([label, f"{rate or 0:g}", plus_minus(ours[0]), *hard, ahead[0], cell(ours[1], 2), ahead[1]])
    columns = ["all three blocks", "rate of the top", "accuracy, %", "unseen", "nested", "minus equal rates",
               "forgotten, nats", "more than equal rates"]  # fmt: skip
    return table(columns, cells), numbers


def vectors(raced: dict) -> tuple[dict, dict]:
    """The GPT's vectors alone, against all of its numbers."""
    rows, cells, numbers = by_row(raced), [], {}
    for name in experiment.VECTORS:
        row, rate = rows[name], raced["learning_rates"][name]
        parts = [mean(by_seed(row, *COMPUTED)), *(mean(by_seed(row, part)) for part in ("both", "unseen", "nested"))]
        ahead = apart(row["scores"], rows["full"]["scores"]) if name != "full" else "-"
        forgotten = cell(told_by_seed(row, "forgotten"), 2)
        cells.append([LABELS[name], f"{trained(row):,}", f"{rate or 0:g}", plus_minus(row["scores"]),
                      *(f"{part:.1f}" for part in parts), ahead, forgotten])  # fmt: skip
        numbers |= row_numbers(f"gpt_{name}", row, rate)
        numbers[f"gpt_{name}_share"] = 100 * trained(row) / trained(rows["full"])
        numbers[f"gpt_{name}_ahead"] = row["mean"] - rows["full"]["mean"]
    columns = ["trained", "numbers", "rate", "accuracy, %", "computed", "both", "unseen", "nested", "minus everything",
               "forgotten, nats"]  # fmt: skip
    return table(columns, cells), numbers


def few(found: dict) -> tuple[dict, dict]:
    """On few examples: losses, and the score of the best weights on dev against that of the last."""
    cells, numbers = [], {}
    for row, counts in found.items():
        for count, seeds in counts.items():
            lowest = [min(seed["curve"], key=lambda point: point["dev"]) for seed in seeds]
            ends = [seed["curve"][-1] for seed in seeds]
            best, last = ([seed[key] for seed in seeds] for key in ("best", "last"))
            told = {
                "train_end": mean(end["train"] for end in ends),
                "dev_lowest": mean(point["dev"] for point in lowest),
                "lowest_at": mean(point["step"] for point in lowest),
                "dev_end": mean(end["dev"] for end in ends),
            }
            shown = [f"{told[key]:.{0 if key == 'lowest_at' else 3}f}" for key in told]
            cells.append([LABELS[row], f"{int(count):,}", *shown, plus_minus(best), plus_minus(last),
                          apart(best, last)])  # fmt: skip
            numbers |= {f"few_{row}_{count}_{key}": value for key, value in told.items()}
            numbers |= {f"few_{row}_{count}_best": mean(best), f"few_{row}_{count}_last": mean(last)}
            numbers[f"few_{row}_{count}_stopping"] = mean(best) - mean(last)
    columns = ["trained", "examples", "loss on train, end", "loss on dev, lowest", "at step", "loss on dev, end",
               "accuracy, best", "accuracy, last", "best minus last"]  # fmt: skip
    return table(columns, cells), numbers


def tasks(seeds: list[dict]) -> tuple[dict, dict]:
    """Two tasks after one another and together."""
    cells, numbers = [], {}
    for stage, label in STAGES.items():
        scores = {name: [seed[stage][name] for seed in seeds] for name in (TASK, OTHER)}
        nats = [seed[stage]["forgotten"] for seed in seeds]
        cells.append([label, *map(plus_minus, scores.values()), f"{mean(nats):.2f}"])
        numbers |= {f"tasks_{stage}_{name}": mean(values) for name, values in scores.items()}
        numbers[f"tasks_{stage}_forgotten"] = mean(nats)
    numbers["tasks_lost"] = numbers[f"tasks_first_{TASK}"] - numbers[f"tasks_second_{TASK}"]
    return table(["trained on", f"{TASK}, %", f"{OTHER}, %", "forgotten, nats"], cells), numbers


def costs(found: dict) -> tuple[dict, dict]:
    """A step of 32 texts by the number of trained blocks: counted, and timed against full tuning."""
    cells, numbers = [], {}
    for base, rows in found.items():
        short = base.partition("-")[0]
        for name, row in rows.items():
            label = {"0": "a new head alone", "all": "everything"}.get(name, f"top {name}")
            times = [100 * a / b for a, b in zip(row["milliseconds"], rows["all"]["milliseconds"], strict=True)]
            states = (row["bytes"]["gradients"] + row["bytes"]["optimizer"]) / 1e6
            kept = row["bytes"]["activations"] / 1e6
            backward = row["backward"] / row["forward"]
            cells.append([f"`{base}`", label, f"{row['trained']:,}", f"{row['forward'] / 1e6:.0f}", f"{backward:.2f}",
                          f"{states:.1f}", f"{kept:.1f}", f"{mean(times):.0f}%"])  # fmt: skip
            key = f"{short}_{name}"
            numbers |= {f"{key}_backward": backward, f"{key}_states": states, f"{key}_activations": kept}
            numbers |= {f"{key}_time": mean(times), f"{key}_trained": row["trained"]}
            numbers[f"{key}_activations_share"] = 100 * kept * 1e6 / rows["all"]["bytes"]["activations"]
            numbers[f"{key}_share"] = 100 * row["trained"] / rows["all"]["trained"]
    columns = ["base", "trained", "numbers", "forward, millions", "backward / forward", "gradients and AdamW, MB",
               "activations, MB", "time"]  # fmt: skip
    return table(columns, cells), numbers


def batches(found: dict) -> tuple[dict, dict]:
    """Full tuning by the size of the batch: bytes, and texts a second."""
    cells, numbers = [], {}
    for size, row in found.items():
        kept = row["bytes"]["activations"] / 1e6
        others = (sum(row["bytes"].values()) - row["bytes"]["activations"]) / 1e6
        step = mean(row["milliseconds"])
        speed = 1000 * int(size) / step
        cells.append([size, f"{others:.1f}", f"{kept:.1f}", f"{step:.0f}", f"{speed:.0f}"])
        numbers |= {f"batch_{size}_activations": kept, f"batch_{size}_others": others, f"batch_{size}_speed": speed}
        numbers[f"batch_{size}_milliseconds"] = step
    first, *_, last = found
    numbers["batch_faster"] = numbers[f"batch_{last}_speed"] / numbers[f"batch_{first}_speed"]
    columns = ["texts", "weights, gradients, AdamW, MB", "activations, MB", "step, ms", "texts a second"]
    return table(columns, cells), numbers
