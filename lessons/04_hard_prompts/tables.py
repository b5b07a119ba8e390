"""The tables and numbers of chapter 04: how far wordings lie apart, calibration, demonstrations, and what stays out."""

from functools import partial
from statistics import correlation, mean, stdev

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, table, together
from minipeft.racing.prompt_variation import variation

experiment, others = beside(__file__), beside(__file__, "chosen_tables.py")
short, named, cell, both = others.short, others.named, others.cell, others.both
FAMILIES = ("t5-1.7m", "gpt-1.7m")
READ = ("plain", "contrast", "negation")  # forms of reviews that pretraining's texts have
WAYS = ("as it is", "nothing", "unlabelled")


def summary(measured: dict) -> Summary:
    made = {"spread": spread, "calibration": calibration, "verbalizers": verbalizers, "groups": groups,
            "shots": others.shots, "orders": others.orders, "chosen": others.chosen,
            "sentiment_slices": partial(others.slices, task="sentiment"),
            "topic_slices": partial(others.slices, task="topic")}  # fmt: skip
    return together({name: part(measured) for name, part in made.items()})


def percents(found: dict, way: str = "as it is") -> dict[str, list[float]]:
    """Wording -> its test scores by draw."""
    return {
        wording: [100 * int(count) / found["texts"]["test"] for count in ways[way].split()]
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
        if others.RACED in means:
            numbers[f"{name}_raced"] = means[others.RACED]
            if base == others.MAIN:
                trained = measured["trained"]["rows"][task]["prompt_tuning"]["scores"]
                numbers["topic_over_raced"] = mean(trained) - means[others.RACED]
    columns = ["task", "base", "lowest", "mean", "highest", "spread over templates", "over verbalizers"]
    return table(columns, rows), numbers | families(measured)


def families(measured: dict) -> dict[str, float]:
    """The correlation of the wordings' scores between the two families, for each task."""
    numbers, pair = {}, [base for base in FAMILIES if base in measured["wordings"]]
    for task in measured["labels"] if len(pair) == 2 else ():
        scores = [percents(measured["wordings"][base][task]) for base in pair]
        numbers[f"{task}_families"] = correlation(*([mean(values) for values in one.values()] for one in scores))
    return numbers


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
            key = f"{name}_{named(way)}"
            numbers |= {key: mean(by_draw[way]), f"{key}_deviation": deviation[way]}
            numbers[f"{key}_added"] = mean(by_draw[way]) - mean(by_draw["as it is"])
    columns = ["task", "base", "as they are", "texts that say nothing", "unlabelled texts", "spread as they are",
               "spread with unlabelled texts"]  # fmt: skip
    return table(columns, rows), numbers | cuts(measured["clouds"])


def cuts(clouds: dict) -> dict[str, float]:
    """Of the reviews in the first figure, how many are right with each cut; with the last one also by form."""
    margins, first = clouds["margins"], clouds["order"][0]
    numbers = {}
    for way, cut in zip(WAYS, (0.0, mean(margins["nothing"]), mean(margins["dev"])), strict=True):
        right = [(margin > cut) == (label == first)
                 for margin, label in zip(margins["test"], clouds["labels"], strict=True)]  # fmt: skip
        numbers[f"cut_{named(way)}"] = 100 * mean(right)
    for form, wanted in (("read", True), ("new", False)):
        of_form = [hit for hit, name in zip(right, clouds["slices"], strict=True) if (name in READ) == wanted]
        numbers[f"cut_{form}"] = 100 * mean(of_form or [0])
    return numbers


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
                key, (template, _) = f"{short(base)}_{task}", experiment.wordings.TASKS[task].first
                numbers |= {f"{key}_words{number}": pair[0], f"{key}_words{number}_calibrated": pair[1]}
                for way in WAYS:
                    scores = percents(measured["wordings"][base][task], way)[f"{template} | {name}"]
                    numbers[f"{key}_first_words{number}_{named(way)}"] = mean(scores)
            rows.append([task, f"`{name}`", *cells])
        for base in bases:
            found = [mean(measured["wordings"][base][task]["verbalizers"][name]["scores"]) for name in names]
            numbers[f"{short(base)}_{task}_words_apart"] = max(found) - min(found)
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
