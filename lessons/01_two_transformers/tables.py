"""The tables and numbers of chapter 01, from what its experiment measured: sizes, parts, cache, losses and skills."""

from statistics import mean, median

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, table, together
from minipeft.racing.table import interval

experiment = beside(__file__)
BASES, SKILLS = experiment.BASES, experiment.SKILLS
PARTS = {"vocabulary": "embedding and head", "matrices": "attention: its four matrices",
         "scores": "attention: scores, softmax, mixing", "feed-forward": "feed-forward", "norms": "norms",
         "positions": "positions", "rest": "the rest: masks, sums, the loss"}  # fmt: skip
COLUMNS = {"parameters": "parameters", "forward": "multiplications, batch", "forward_time": "time, batch",
           "step_time": "time, token by token"}  # fmt: skip
TOLD = (1, 4, 16, 64)  # lengths of answers in the table


def short(base: str) -> str:
    return base.partition("-")[0]


def shares(found: dict, what: str) -> dict[str, float]:
    """The share of each part in percent: counted, or the mean over the blocks of time."""
    if what.endswith("time"):
        return {part: mean(block[part] for block in found[what]) for part in PARTS}
    whole = sum(found[what].values())
    return {part: 100 * found[what][part] / whole for part in PARTS}


def summary(measured: dict) -> Summary:
    made = {"sizes": sizes, "parts": parts, "writing": writing, "norms": norms, "losses": losses, "skills": skills,
            "without": without}  # fmt: skip
    return together({name: part(measured) for name, part in made.items()})


def sizes(measured: dict) -> tuple[dict, dict]:
    rows, numbers = [], {}
    for name, found in measured["sizes"].items():
        counts = [f"{found[key]:,}" for key in ("width", "inner", "layers", "heads", "parameters")]
        percent = {place: 100 * found[place] / found["parameters"] for place in ("vocabulary", "encoder", "decoder")}
        rows.append([name, *counts, *(f"{share:.1f}%" for share in percent.values())])
        numbers |= {f"{name}_parameters": found["parameters"]}
        numbers |= {f"{name}_{place}": share for place, share in percent.items()}
    columns = ["T5 v1.1", "width", "inside", "layers", "heads", "parameters", "vocabulary", "encoder", "decoder"]
    return table(columns, rows), numbers


def parts(measured: dict) -> tuple[dict, dict]:
    """Each part's share of parameters, multiplications and time, in both models."""
    rows, numbers = [], {}
    for base in BASES:
        found = measured["by_part"][base]
        by_column = {what: shares(found, what) for what in COLUMNS}
        for part, told in PARTS.items():
            rows.append([f"`{base}`", told, *(f"{by_column[what][part]:.1f}%" for what in COLUMNS)])
            numbers |= {f"{short(base)}_{what}_{part}": by_column[what][part] for what in COLUMNS}
        for what in COLUMNS:
            linear = sum(by_column[what][part] for part in ("vocabulary", "matrices", "feed-forward"))
            numbers[f"{short(base)}_{what}_linear"] = linear
        numbers |= {f"{short(base)}_{key}": found[key] for key in ("texts", "source", "target")}
        numbers[f"{short(base)}_parameters"] = sum(found["parameters"].values())
        numbers[f"{short(base)}_forward"] = sum(found["forward"].values()) / 1e9
        for what in ("forward_time", "step_time"):
            numbers[f"{short(base)}_{what}_milliseconds"] = mean(block["milliseconds"] for block in found[what])
    return table(["base", "part", *COLUMNS.values()], rows), numbers


def writing(measured: dict) -> tuple[dict, dict]:
    """How many times as long an answer takes without a cache: counted, in a batch, and for a single text."""
    rows, numbers = [], {}
    for base in BASES:
        found = measured["writing"][base]
        batch = next(key for key in found if key not in ("1", "same", "counted"))
        for length in TOLD:
            if length > len(found["counted"]["cached"]):
                continue
            one, many = ({way: found[texts][way]["median"][length - 1] for way in ("cached", "uncached")}
                         for texts in ("1", batch))  # fmt: skip
            counted = found["counted"]["uncached"][length - 1] / found["counted"]["cached"][length - 1]
            ratios = [counted, many["uncached"] / many["cached"], one["uncached"] / one["cached"]]
            times = [f"{one[way]:.1f}" for way in ("uncached", "cached")]
            rows.append([f"`{base}`", length, *(f"{ratio:.1f}" for ratio in ratios), *times])
            names = [f"{short(base)}_{length}_{kind}" for kind in ("counted", "batch", "single")]
            numbers |= dict(zip(names, ratios, strict=True))
        numbers[f"{short(base)}_same"] = float(found["same"])
        first, second = found["counted"]["cached"][:2]
        numbers[f"{short(base)}_second_step"] = second - first
        half = len(found["counted"]["cached"]) // 2  # the second half of the answer, one text
        late = {way: times["median"][-1] - times["median"][half - 1] for way, times in found["1"].items()}
        numbers[f"{short(base)}_late"] = late["uncached"] / late["cached"]
    columns = [
        "base",
        "tokens",
        "counted",
        "time, 16 texts",
        "time, 1 text",
        "1 text, no cache, ms",
        "1 text, cache, ms",
    ]
    return table(columns, rows), numbers


def norms(measured: dict) -> tuple[dict, dict]:
    """Microseconds of a call of each norm: the middle one of the blocks."""
    rows, numbers = [], {}
    for vectors, found in measured["norms"].items():
        rows.append([f"{int(vectors):,}", *(f"{median(times):.1f}" for times in found.values())])
        ratio = median(found["RMSNorm"]) / median(found["LayerNorm"])
        numbers |= {f"norms_{vectors}_ratio": ratio, f"norms_{vectors}_less": 100 * (1 - ratio)}
    return table(["vectors of 88", *(f"{name}, microseconds" for name in found)], rows), numbers


def losses(measured: dict) -> tuple[dict, dict]:
    """Nats per token with the true source, none and another text's, before and after pretraining."""
    kinds = {"true": "the true source", "none": "no source", "other": "another text's source",
             "untrained": "before pretraining, true", "untrained_other": "before pretraining, another's"}  # fmt: skip
    rows, numbers = [], {}
    for key, told in kinds.items():
        cells = []
        for base in BASES:
            value = measured["losses"][base][key]
            values = value if isinstance(value, list) else [value]
            half = f" ± {interval(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.2f}{half}")
            numbers[f"{short(base)}_loss_{key}"] = mean(values)
        rows.append([told, *cells])
    for base in BASES:
        name = short(base)
        numbers[f"{name}_source_saves"] = numbers[f"{name}_loss_none"] - numbers[f"{name}_loss_true"]
        numbers[f"{name}_other_costs"] = numbers[f"{name}_loss_other"] - numbers[f"{name}_loss_none"]
        numbers[f"{name}_gap"] = numbers[f"{name}_loss_other"] - numbers[f"{name}_loss_true"]
        numbers |= {
            f"{name}_texts": measured["losses"][base]["texts"],
            f"{name}_tokens": measured["losses"][base]["tokens"],
        }
    return table(["nats per token", *(f"`{base}`" for base in BASES)], rows), numbers


def skills(measured: dict) -> tuple[dict, dict]:
    """The AUC of some skills, before and after pretraining."""
    rows, numbers = [], {}
    for base in BASES:
        found = measured["skills"][base]
        untrained = {skill: [one[skill] for one in found["untrained"]] for skill in SKILLS}
        rows.append([f"`{base}`", *(f"{found['base'][skill]:.1f}" for skill in SKILLS)])
        rows.append(["before pretraining", *(f"{mean(values):.1f}" for values in untrained.values())])
        numbers |= {f"{short(base)}_{skill}": found["base"][skill] for skill in SKILLS}
        numbers |= {f"{short(base)}_untrained_{skill}": mean(values) for skill, values in untrained.items()}
    return table(["AUC in %", *SKILLS], rows), numbers


def without(measured: dict) -> tuple[dict, dict]:
    """The loss where one part adds nothing any more, in every layer."""
    rows, numbers = [], {}
    for base in BASES:
        whole = measured["losses"][base]["true"]
        rows.append([f"`{base}`", "nothing", f"{whole:.2f}"])
        for part, loss in sorted(measured["without"][base].items(), key=lambda item: item[1]):
            rows.append([f"`{base}`", part, f"{loss:.2f}"])
            numbers[f"{short(base)}_without_{part.replace(' ', '_')}"] = loss
    return table(["base", "taken out", "nats per token"], rows), numbers
