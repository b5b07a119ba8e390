"""The tables of chapter 04 on demonstrations, on the wordings that were chosen, and on what words cannot do."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import apart, table
from minipeft.racing.differences import difference
from minipeft.racing.table import interval

experiment = beside(__file__)
CHOSEN = {
    "first": "one obvious wording",
    "best": "the best of 80 on dev",
    "first calibrated": "the obvious, calibrated",
    "best calibrated": "the best of 80, calibrated",
}
RACED = "{source} What did they talk about? | Weather."  # once the hard prompt of our own races on topics
TRAINED = {"prompt_tuning": "trained: prompt tuning", "lora": "trained: LoRA", "full": "trained: full tuning"}
MAIN = "t5-0.8m"


def short(base: str) -> str:
    """A base in the name of a number."""
    return base.replace("-", "").replace(".", "")


def named(way: str) -> str:
    """A way, or a row, in the name of a number."""
    return way.replace(" ", "_")


def cell(scores: list[float]) -> str:
    """Mean and half of the 95% interval."""
    return f"{mean(scores):.1f} ± {interval(scores):.1f}" if len(scores) > 1 else f"{mean(scores):.1f}"


def both(measured: dict):
    """(task, base, what was measured of its wordings)."""
    bases = list(measured["wordings"])
    return [(task, base, measured["wordings"][base][task]) for task in measured["labels"] for base in bases]


def shots(measured: dict) -> tuple[dict, dict]:
    """The scores behind demonstrations, and how often the answer is the last one shown."""
    rows, numbers = [], {}
    for task in measured["labels"]:
        for base, tasks in measured["demonstrations"].items():
            found, name = tasks[task], f"{short(base)}_{task}"
            scores = {row: values["as it is"] for row, values in found.items()}
            wanted = [*(f"{count} true" for count in (0, *experiment.SHOTS)), "8 wrong"]
            shown = [f"{mean(scores[row]):.1f}" if row in scores else "-" for row in wanted]
            rows.append([task, f"`{base}`", *shown,
                         apart(scores["4 true"], scores["0 true"]), apart(scores["4 true"], scores["4 wrong"]),
                         f"{repeats(found):.0f}" if len(measured["labels"][task]) == 2 else "-"])  # fmt: skip
            for row, values in found.items():
                numbers |= {f"{name}_{named(row)}_{named(way)}": mean(value) for way, value in values.items()}
            numbers[f"{name}_repeats"] = repeats(found)
            numbers[f"{name}_4_shots_add"] = mean(scores["4 true"]) - mean(scores["0 true"])
            calibrated = found["4 true"]["unlabelled"]
            numbers[f"{name}_4_shots_lose"] = mean(scores["0 true"]) - mean(scores["4 true"])
            numbers[f"{name}_4_shots_lose_calibrated"] = mean(found["0 true"]["unlabelled"]) - mean(calibrated)
    columns = ["task", "base", "0", "1", "4", "8", "8, wrong answers", "4 minus 0", "4, true minus wrong",
               "as the one shown, %"]  # fmt: skip
    return table(columns, rows), numbers


def repeats(found: dict) -> float:
    """How often the answer is that of a single demonstration, whose own answer is true and wrong by turns.

    With two labels the same review is shown with either of them: 50 where the answer shown pulls nothing.
    """
    return mean(mean(found[row]["last"]) for row in ("1 true", "1 wrong"))


def orders(measured: dict) -> tuple[dict, dict]:
    """The worst, the mean and the best order of the same four demonstrations, each within a draw."""
    rows, numbers = [], {}
    for base, tasks in measured["orders"].items():
        by_draw = list(zip(*tasks[experiment.ORDERED].values(), strict=True))
        ends = [mean(map(end, by_draw)) for end in (min, mean, max)]
        rows.append([f"`{base}`", *(f"{end:.1f}" for end in ends), f"{ends[2] - ends[0]:.1f}"])
        keys = [f"{short(base)}_{key}_order" for key in ("worst", "mean", "best")]
        numbers |= dict(zip(keys, ends, strict=True)) | {f"{short(base)}_orders_apart": ends[2] - ends[0]}
    return table(["base", "worst order", "mean", "best order", "apart"], rows), numbers


def chosen(measured: dict) -> tuple[dict, dict]:
    """The first wording, and the best on dev, as they are and calibrated."""
    rows, numbers = [], {}
    for task, base, found in both(measured):
        told = {name: found["chosen"][name]["scores"] for name in CHOSEN}
        gained = apart(told["best calibrated"], told["first"])
        rows.append([task, f"`{base}`", *(cell(scores) for scores in told.values()), gained])
        numbers |= {f"{short(base)}_{task}_{named(name)}": mean(told[name]) for name in told}
    return table(["task", "base", *CHOSEN.values(), "the last minus the first"], rows), numbers


def slices(measured: dict, task: str) -> tuple[dict, dict]:
    """What words and training reach on each slice of a task, on the middle base."""
    bases = measured["wordings"]
    found = bases[MAIN if MAIN in bases else next(iter(bases))][task]["chosen"]
    names = list(measured["trained"]["rows"][task]["lora"]["slices"])
    rows, numbers = [], {}
    for key in ("first", "best", "best calibrated"):
        parts = {name: mean(found[key]["slices"][name]) for name in names if name in found[key]["slices"]}
        rows.append([CHOSEN[key], cell(found[key]["scores"]), *(f"{parts.get(name, 0):.0f}" for name in names)])
        numbers |= {f"{task}_{named(key)}_{name}": value for name, value in parts.items()}
    for key, told in TRAINED.items():
        row = measured["trained"]["rows"][task][key]
        rows.append([told, cell(row["scores"]), *(f"{row['slices'][name]:.0f}" for name in names)])
        numbers |= {f"{task}_{key}_{name}": row["slices"][name] for name in names}
        numbers[f"{task}_{key}"] = mean(row["scores"])
    ahead = difference("", measured["trained"]["rows"][task]["prompt_tuning"]["scores"], "",
                       found["best calibrated"]["scores"], paired=False)  # fmt: skip
    numbers[f"{task}_ahead"] = ahead.difference
    numbers[f"{task}_gain"] = mean(found["best calibrated"]["scores"]) - mean(found["first"]["scores"])
    if ahead.low is not None:
        numbers |= {f"{task}_ahead_low": ahead.low, f"{task}_ahead_high": ahead.high}
    return table(["", "accuracy, %", *names], rows), numbers
