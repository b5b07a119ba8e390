"""The tables and numbers of chapter 04: how far wordings lie apart, calibration, demonstrations, and what stays out."""

from statistics import mean, stdev

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, table, together
from minipeft.racing.prompt_variation import variation
from minipeft.racing.table import interval

experiment = beside(__file__)
WAYS = {"as it is": "as it is", "nothing": "texts that say nothing", "unlabelled": "unlabelled reviews"}
CHOSEN = {"first": "the obvious wording", "best": "the best of 80 on dev", "first calibrated": "the obvious, calibrated",
          "best calibrated": "the best of 80, calibrated"}  # fmt: skip
TRAINED = {"prompt_tuning": "trained: prompt tuning", "lora": "trained: LoRA", "full": "trained: full tuning"}
MAIN = "t5-0.8m"


def summary(measured: dict) -> Summary:
    made = {"spread": spread, "calibration": calibration, "verbalizers": verbalizers, "shots": shots, "orders": orders,
            "chosen": chosen, "sentiment_slices": sentiment_slices, "topic_slices": topic_slices,
            "groups": groups}  # fmt: skip
    return together({name: part(measured) for name, part in made.items()})


def short(base: str) -> str:
    """A base in the name of a number."""
    return base.replace("-", "").replace(".", "")


def cell(scores: list[float]) -> str:
    """Mean and half of the 95% interval."""
    return f"{mean(scores):.1f} ± {interval(scores):.1f}" if len(scores) > 1 else f"{mean(scores):.1f}"


def both(measured: dict):
    """(task, base, what was measured of its wordings)."""
    bases = list(measured["wordings"])
    return [(task, base, measured["wordings"][base][task]) for task in measured["labels"] for base in bases]


def percents(found: dict, way: str = "as it is") -> dict[str, list[float]]:
    """Wording -> its test scores by draw."""
    return {
        wording: [100 * count / found["texts"]["test"] for count in ways[way]]
        for wording, ways in found["prompts"].items()
    }


def means_of_draws(scores: dict[str, list[float]]) -> list[float]:
    """The mean over all wordings, by draw."""
    return [mean(column) for column in zip(*scores.values(), strict=True)]


def rows_of(scores: dict[str, list[float]]) -> list[dict]:
    """As `prompt_variation` has them."""
    parted = {wording: wording.rpartition(" | ") for wording in scores}
    return [
        {"template": parted[wording][0], "verbalizer": parted[wording][2], "draw": draw, "score": score}
        for wording, found in scores.items()
        for draw, score in enumerate(found)
    ]


def spread(measured: dict) -> tuple[dict, dict]:
    """Lowest, mean and highest of all wordings, each the mean of its draws, and what the spread comes from."""
    rows, numbers = [], {}
    for task, base, found in both(measured):
        scores = percents(found)
        means = {wording: mean(values) for wording, values in scores.items()}
        over = variation(rows_of(scores))["deviation_over"]
        ends = [min(means.values()), mean(means.values()), max(means.values())]
        rows.append([task, f"`{base}`", *(f"{end:.1f}" for end in ends),
                     f"{over['template']:.1f}", f"{over['verbalizer']:.1f}"])  # fmt: skip
        name = f"{short(base)}_{task}"
        numbers |= dict(zip((f"{name}_lowest", f"{name}_mean", f"{name}_highest"), ends, strict=True))
        numbers |= {f"{name}_over_{factor}": over[factor] for factor in ("template", "verbalizer")}
        numbers[f"{name}_range"] = ends[2] - ends[0]
        numbers["wordings"] = len(means)
    columns = ["task", "base", "lowest", "mean", "highest", "spread over templates", "over verbalizers"]
    return table(columns, rows), numbers


def calibration(measured: dict) -> tuple[dict, dict]:
    """The mean of all wordings as they are, and what either calibration adds."""
    rows, numbers = [], {}
    for task, base, found in both(measured):
        by_way = {way: percents(found, way) for way in WAYS}
        by_draw = {way: means_of_draws(scores) for way, scores in by_way.items()}
        deviation = {way: stdev(mean(values) for values in scores.values()) for way, scores in by_way.items()}
        added = [apart(by_draw[way], by_draw["as it is"]) for way in ("nothing", "unlabelled")]
        told = [f"{deviation[way]:.1f}" for way in ("as it is", "unlabelled")]
        rows.append([task, f"`{base}`", cell(by_draw["as it is"]), *added, *told])
        name = f"{short(base)}_{task}"
        for way in WAYS:
            numbers[f"{name}_{way.replace(' ', '_')}"] = mean(by_draw[way])
            numbers[f"{name}_{way.replace(' ', '_')}_added"] = mean(by_draw[way]) - mean(by_draw["as it is"])
            numbers[f"{name}_{way.replace(' ', '_')}_deviation"] = deviation[way]
            helped = [mean(by_way[way][wording]) > mean(by_way["as it is"][wording]) for wording in by_way[way]]
            numbers[f"{name}_{way.replace(' ', '_')}_helped"] = sum(helped)
    columns = ["task", "base", "as they are", "texts that say nothing", "unlabelled texts", "spread as they are",
               "spread with unlabelled texts"]  # fmt: skip
    return table(columns, rows), numbers


def verbalizers(measured: dict) -> tuple[dict, dict]:
    """The mean over the templates with each verbalizer, as it is and calibrated."""
    rows, numbers = [], {}
    bases = list(measured["wordings"])
    for task in measured["labels"]:
        names = [name for name in measured["wordings"][bases[0]][task]["verbalizers"] if "calibrated" not in name]
        for number, name in enumerate(names):
            cells = []
            for base in bases:
                found = measured["wordings"][base][task]["verbalizers"]
                pair = [mean(found[one]["scores"]) for one in (name, f"{name} calibrated")]
                cells.append(f"{pair[0]:.1f}, {pair[1]:.1f}")
                numbers |= {f"{short(base)}_{task}_words{number}": pair[0],
                            f"{short(base)}_{task}_words{number}_calibrated": pair[1]}  # fmt: skip
            rows.append([task, f"`{name}`", *cells])
    return table(["task", "answers", *(f"`{base}`" for base in bases)], rows), numbers


def groups(measured: dict) -> tuple[dict, dict]:
    """The mean over the templates of each group, all verbalizers, as they are and calibrated."""
    rows, numbers = [], {}
    bases, words = list(measured["wordings"]), experiment.wordings.TASKS
    for task in measured["labels"]:
        for number, (group, templates) in enumerate(words[task].templates.items()):
            cells = []
            for base in bases:
                found = measured["wordings"][base][task]
                pair = []
                for way in ("as it is", "unlabelled"):
                    own = [mean(values) for wording, values in percents(found, way).items()
                           if wording.rpartition(" | ")[0] in templates]  # fmt: skip
                    pair += [mean(own)] if own else []
                cells.append(", ".join(f"{value:.1f}" for value in pair))
                keys = (f"{short(base)}_{task}_group{number}", f"{short(base)}_{task}_group{number}_calibrated")
                numbers |= dict(zip(keys, pair, strict=False))
            rows.append([task, group, *cells])
    return table(["task", "template", *(f"`{base}`" for base in bases)], rows), numbers


def shots(measured: dict) -> tuple[dict, dict]:
    """The scores behind demonstrations, and how often the answer is the last one shown."""
    rows, numbers = [], {}
    for task in measured["labels"]:
        for base, tasks in measured["demonstrations"].items():
            found, name = tasks[task], f"{short(base)}_{task}"
            scores = {row: values["as it is"] for row, values in found.items()}
            shown = [f"{mean(scores[f'{count} true']):.1f}" for count in (0, *experiment.SHOTS)]
            rows.append([task, f"`{base}`", *shown, f"{mean(scores['8 wrong']):.1f}",
                         apart(scores["4 true"], scores["0 true"]), apart(scores["8 true"], scores["8 wrong"]),
                         f"{mean(found['1 true']['last']):.0f}"])  # fmt: skip
            for row, values in found.items():
                key = f"{name}_{row.replace(' ', '_')}"
                numbers |= {f"{key}_{way.replace(' ', '_')}": mean(value) for way, value in values.items()}
            numbers[f"{name}_4_shots_add"] = mean(scores["4 true"]) - mean(scores["0 true"])
            numbers[f"{name}_8_true_minus_wrong"] = mean(scores["8 true"]) - mean(scores["8 wrong"])
            calibrated = found["4 true"]["unlabelled"]
            numbers[f"{name}_4_shots_add_calibrated"] = mean(calibrated) - mean(found["0 true"]["unlabelled"])
    columns = ["task", "base", "0", "1", "4", "8", "8, wrong answers", "4 minus 0", "8, true minus wrong",
               "repeats the one shown, %"]  # fmt: skip
    return table(columns, rows), numbers


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
        numbers |= {f"{short(base)}_{task}_{name.replace(' ', '_')}": mean(told[name]) for name in told}
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
        numbers |= {f"{task}_{key.replace(' ', '_')}_{name}": value for name, value in parts.items()}
    for key, told in TRAINED.items():
        row = measured["trained"]["rows"][task][key]
        rows.append([told, cell(row["scores"]), *(f"{row['slices'][name]:.0f}" for name in names)])
        numbers |= {f"{task}_{key}_{name}": row["slices"][name] for name in names}
        numbers[f"{task}_{key}"] = mean(row["scores"])
    return table(["", "accuracy, %", *names], rows), numbers


def sentiment_slices(measured: dict) -> tuple[dict, dict]:
    return slices(measured, "sentiment")


def topic_slices(measured: dict) -> tuple[dict, dict]:
    return slices(measured, "topic")
