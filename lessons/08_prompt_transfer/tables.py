"""The tables and numbers of chapter 08, from its measurements alone."""

from statistics import mean, stdev

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import plus_minus, score_cell

travelling = beside(__file__, "travelling.py")
rank_correlation = beside(__file__, "solution.py").rank_correlation
TASKS, NEAREST = travelling.TASKS, travelling.NEAREST
WAYS = {
    "alone": "a new prompt",
    "long": "a new prompt, as many steps in all",
    "as it is": "nearest source, as it is: no steps",
    "nearest": "nearest source",
    "best of 3": "best of the 3 nearest, on dev",
    "best of all": "best of all 7, on dev",
    "average": "average of the 3 nearest",
    "mixture": "mixture of the 3 nearest",
    "unlabelled": "unlabelled text",
    "itself": "the same task, other words",
}
KINDS = {"means": "cosine of means", "tokens": "mean of cosines", "change": "cosine of mean changes"}
FEW_ROWS = {
    "t5-0.8m-span": {"full": "full tuning", "prompt": "prompt, from words", "uniform": "prompt, from random numbers",
                     "hybrid": "hybrid prompt", "ppt": "PPT", "hybrid ppt": "hybrid PPT"},
    "t5-0.8m": {"full": "adapted: full tuning", "prompt": "adapted: prompt, from words",
                "uniform": "adapted: prompt, from random numbers", "hybrid": "adapted: hybrid prompt",
                "blank": "adapted: prompt, PPT's form", "ppt": "adapted: PPT"},
}  # fmt: skip


def summary(measured: dict) -> Summary:
    travel = measured["travel"]
    parts = {"ways": ways(travel), "similarity": similarity(travel), "longer": longer(travel)}
    parts |= {name: part(measured[name]) for name, part in (("forms", forms), ("few", few), ("votes", votes))}
    tables, numbers = together(parts | {"shift": shift(measured["shift"])})
    found = {"kept": [measured["order"]["as it is"]], **measured["order"]}
    return tables, numbers | {f"order_{kind}": mean(found[kind]) for kind in ("kept", "moved", "averaged")}


def chosen(travel: dict, target: str, names: list[str], seed: int) -> dict:
    """The run of one seed from that one of the sources which is best on dev."""
    return max((travel["grid"][name][target][seed] for name in names), key=lambda run: run["dev"])


def runs_of(travel: dict, way: str, target: str) -> list[dict]:
    """The runs of one target by seed, started in one of the ways."""
    grid, nearest = travel["grid"], travel["nearest"][target]
    plain = {"alone": "alone", "long": "as many steps", "average": "average", "mixture": "mixture"}
    if way in plain:
        return travel[plain[way]][target]
    if way in ("nearest", "as it is"):
        return grid[nearest[0]][target]
    if way in ("unlabelled", "itself"):
        return grid[target if way == "itself" else way][target]
    names = nearest if way == "best of 3" else [name for name in TASKS if name != target]
    return [chosen(travel, target, names, seed) for seed in range(len(grid[target][target]))]


def scores_of(travel: dict, way: str, target: str) -> list[float]:
    return [run["as it is" if way == "as it is" else "test"] for run in runs_of(travel, way, target)]


def ways(travel: dict) -> tuple[dict, dict]:
    """Means over the eight targets, seed by seed, and how far each way is from a new prompt."""
    cells, numbers = [], {}
    by_way = {way: [scores_of(travel, way, target) for target in TASKS] for way in WAYS}
    alone = over_targets(by_way["alone"])
    for way, scores in by_way.items():
        seeds, spread = over_targets(scores), mean(map(deviation, scores))
        gains = [mean(found) - mean(new) for found, new in zip(scores, by_way["alone"], strict=True)]
        ahead, better = ("-", "-") if way == "alone" else (apart(seeds, alone), sum(gain > 0 for gain in gains))
        cells.append([WAYS[way], plus_minus(seeds), ahead, better, f"{spread:.1f}"])
        key = way.replace(" ", "_")
        numbers |= {f"{key}_score": mean(seeds), f"{key}_ahead": mean(seeds) - mean(alone), f"{key}_spread": spread}
    columns = ["start", "mean of 8 targets", "minus a new prompt", "targets ahead", "spread of seeds"]
    pairs = [gain for source, row in gains_of(travel).items() for target, gain in row.items()
             if source in TASKS and source != target]  # fmt: skip
    numbers |= {"pairs_ahead": sum(gain > 0 for gain in pairs), "pairs_behind": sum(gain < 0 for gain in pairs)}
    numbers |= {"best_pair": max(pairs), "worst_pair": min(pairs)}
    numbers["film_on_food"] = mean(run["as it is"] for run in travel["grid"]["sentiment"]["sentiment_food"])
    numbers["film_on_food_tuned"] = mean(run["test"] for run in travel["grid"]["sentiment"]["sentiment_food"])
    numbers["food_on_food"] = mean(run["test"] for run in travel["as many steps"]["sentiment_food"])
    return table(columns, cells), numbers


def by_seed(measured: dict) -> dict[str, dict[str, list[float]]]:
    """What the claims are asked of, a list with a number for each seed: ways to start, correlations, votes, losses."""
    travel = measured["travel"]
    seeds = range(len(travel["alone"][TASKS[0]]))
    rows = measured["shift"]["rows"].items()
    return {
        "ways": {way: over_targets([scores_of(travel, way, target) for target in TASKS]) for way in WAYS},
        "correlations": {
            kind: [correlation(travel["similarity"][kind], gains_of(travel, seed), TASKS) for seed in seeds]
            for kind in KINDS
        },
        "longer": {task: [run["test"] for run in runs] for task, runs in travel["long"].items()},
        "no longer": {task: [run["test"] for run in travel["alone"][task]] for task in travel["long"]},
        "votes": {
            f"{task} {kind}": [draw[kind] for draw in draws]
            for task, draws in measured["votes"].items()
            for kind in ("average", "best", "ensemble")
        },
        "lost": {name: [a - b for a, b in zip(row["home"], row["away"], strict=True)] for name, row in rows},
    }


def over_targets(scores: list[list[float]]) -> list[float]:
    return [mean(seed) for seed in zip(*scores, strict=True)]


def deviation(scores: list[float]) -> float:
    """The standard deviation over seeds; 0 of a single one."""
    return stdev(scores) if len(scores) > 1 else 0.0


def gains_of(travel: dict, seed: int | None = None) -> dict[str, dict[str, float]]:
    """By source and target: points that the source brings, on average over the seeds or in one of them."""

    def score(runs: list[dict]) -> float:
        return mean(run["test"] for run in runs) if seed is None else runs[seed]["test"]

    return {
        source: {target: score(runs) - score(travel["alone"][target]) for target, runs in row.items()}
        for source, row in travel["grid"].items()
    }


def similarity(travel: dict) -> tuple[dict, dict]:
    """Rank correlations of similarity and gain: of all pairs, and of the seven sources of each target."""
    cells, numbers = [], {}
    seeds = range(len(travel["alone"][TASKS[0]]))
    for kind, label in KINDS.items():
        alike, whole = travel["similarity"][kind], gains_of(travel)
        of_all = [correlation(alike, gains_of(travel, seed), TASKS) for seed in seeds]
        within = {target: correlation(alike, whole, [target]) for target in TASKS}
        first = sum(best_source(whole, target) in travelling.nearest_of(alike, target) for target in TASKS)
        up, values = sum(value > 0 for value in within.values()), [x for row in alike.values() for x in row.values()]
        cells.append([label, plus_minus(of_all, 2), f"{mean(within.values()):.2f}", up, first])
        numbers |= {f"{kind}_correlation": mean(of_all), f"{kind}_within": mean(within.values()),
                    f"{kind}_up": up, f"{kind}_found": first, f"{kind}_lowest": min(values),
                    f"{kind}_highest": max(values)}  # fmt: skip
    columns = ["similarity", "all 56 pairs", "mean within targets", "targets above 0", "best source among 3 nearest"]
    return table(columns, cells), numbers


def correlation(alike: dict, gains: dict, targets: list[str] | tuple[str, ...]) -> float:
    pairs = [(source, target) for target in targets for source in TASKS if source != target]
    return rank_correlation([alike[a][b] for a, b in pairs], [gains[a][b] for a, b in pairs])


def best_source(gains: dict, target: str) -> str:
    return max((source for source in TASKS if source != target), key=lambda source: gains[source][target])


def longer(travel: dict) -> tuple[dict, dict]:
    """A new prompt with more and more steps, on two tasks."""
    cells, numbers = [], {}
    for task, runs in travel["long"].items():
        found = {travel["steps"]["target"]: travel["alone"][task]}
        found[travel["steps"]["source"] + travel["steps"]["target"]] = travel["as many steps"][task]
        found[travel["steps"]["long"]] = runs
        first = [run["test"] for run in travel["alone"][task]]
        for place, (steps, all_runs) in enumerate(found.items()):
            scores = [run["test"] for run in all_runs]
            cells.append([task, f"{steps:,}", plus_minus(scores), apart(scores, first) if place else "-"])
            numbers[f"longer_{task}_{place}"] = mean(scores)
    return table(["task", "steps", "accuracy, %", "minus the fewest"], cells), numbers


def forms(found: dict) -> tuple[dict, dict]:
    """What pre-training a prompt has taught it, in PPT's four forms, beside LoRA."""
    cells, numbers = [], {}
    for form, one in found.items():
        share = 100 * (one["prompt"] - one["guess"]) / max(one["lora"] - one["guess"], 0.1)
        cells.append([form, *(f"{one[name]:.1f}" for name in ("guess", "prompt", "lora"))])
        numbers |= {f"{form}_{name}": one[name] for name in ("guess", "prompt", "lora")} | {f"{form}_share": share}
    return table(["form", "blind guess", "prompt", "LoRA"], cells), numbers


def few(found: dict) -> tuple[dict, dict]:
    """Few examples of sentiment: each row, and how far it is from a prompt that starts from words, on the same base."""
    cells, numbers = [], {}
    for shots, bases in found.items():
        for base, labels in FEW_ROWS.items():
            rows, rates = by_row(bases[base]), bases[base]["learning_rates"]
            for name, label in labels.items():
                scores, prompt = rows[name]["scores"], rows["prompt"]["scores"]
                ahead = "-" if name == "prompt" else apart(scores, prompt)
                cells.append([shots, label, f"{rates[name] or 0:g}", score_cell(rows[name]), ahead,
                              f"{deviation(scores):.1f}"])  # fmt: skip
                key = f"few{shots}_{'' if base.endswith('span') else 'adapted_'}{name.replace(' ', '_')}"
                numbers |= {key: mean(scores), f"{key}_ahead": mean(scores) - mean(prompt)}
        numbers[f"few{shots}_ppt_taught"] = numbers[f"few{shots}_adapted_ppt"] - numbers[f"few{shots}_adapted_blank"]
    return table(["examples", "", "rate", "accuracy, %", "minus prompt", "spread of seeds"], cells), numbers


def votes(found: dict) -> tuple[dict, dict]:
    """Five prompts and their vote."""
    cells, numbers = [], {}
    for task, draws in found.items():
        by_kind = {kind: [draw[kind] for draw in draws] for kind in ("average", "best", "ensemble")}
        ahead = [apart(by_kind["ensemble"], by_kind[kind]) for kind in ("average", "best")]
        cells.append([task, *map(plus_minus, by_kind.values()), *ahead])
        numbers |= {f"vote_{task}_{kind}": mean(scores) for kind, scores in by_kind.items()}
    columns = ["task", "mean of members", "best on dev", "vote", "vote minus mean", "vote minus best"]
    return table(columns, cells), numbers


def shift(found: dict) -> tuple[dict, dict]:
    """Eight methods trained on films: scores there, on food, and how much of full tuning's loss each one has."""
    cells, numbers = [], {}
    rows = dict(sorted(found["rows"].items(), key=lambda item: -mean(item[1]["away"])))
    for name, row in rows.items():
        lost = [there - here for here, there in zip(row["home"], row["away"], strict=True)]
        full = found["rows"]["full"]
        ahead = ["-" if name == "full" else apart(row[place], full[place]) for place in ("home", "away")]
        places = [plus_minus(scores) for scores in (row["home"], row["away"], lost)]
        cells.append([name, f"{row['stored']:,}", *places, *ahead])
        numbers |= {f"shift_{name}_{place}": mean(row[place]) for place in ("home", "away")}
        numbers[f"shift_{name}_lost"] = -mean(lost)
    columns = ["method", "stored", "films", "food", "food minus films", "minus full, films", "minus full, food"]
    return table(columns, cells), numbers
