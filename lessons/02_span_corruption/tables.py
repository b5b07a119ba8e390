"""The tables and numbers of chapter 02, from what its experiment measured: bases, skills, nats, prompts and slices."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.differences import difference
from minipeft.racing.table import score_cell

experiment = beside(__file__)
ROWS, TOKENS, SPAN, ADAPTED, RACES = (
    getattr(experiment, name) for name in ("ROWS", "TOKENS", "SPAN", "ADAPTED", "RACES")
)
FORMS = {"plain": "plain", "sentinel": "behind a sentinel", "hole": "fills a hole in the source"}
SKILLS = ("plain", "contrast", "negation", "subject", "turned-down subject", "kind")
KINDS = {"lora": "LoRA, plain", "longer": f"plain, {3 * experiment.STEPS} steps"}
SLICES = ("plain", "contrast", "negation", "both", "unseen", "nested")


def short(base: str) -> str:
    """A base's name in the names of numbers: span, lm100e3, ..., adapted."""
    return base.removeprefix("t5-0.8m").strip("-") or "adapted"


def own(base: str) -> str:
    """The objective in whose form a base was pretrained last."""
    return "span" if base == SPAN else "prefix"


def tuned(measured: dict) -> list[tuple[str, str, str, dict[str, dict]]]:
    """All rows of the races: their base, "prompt" or one of KINDS, form, and the row of each task."""
    rows: dict[tuple, dict] = {}
    for task, names in RACES.items():
        for name, (base, _) in names.items():
            for method, row in by_row(measured["races"][task][name]).items():
                place = base, name if name in KINDS else "prompt", ROWS.get(method, "plain")
                rows.setdefault(place, {})[task] = row
    bases, forms = [*TOKENS], [*FORMS]
    order = sorted(rows, key=lambda place: (bases.index(place[0]), place[1] != "prompt", forms.index(place[2])))
    return [(*place, rows[place]) for place in order]


def summary(measured: dict) -> Summary:
    parts = {"bases": bases, "skills": skills, "costs": costs, "prompts": prompts, "slices": slices}
    tables, numbers = together({name: part(measured) for name, part in parts.items()})
    for task, raced in measured["races"].items():
        for name, found in raced.items():
            told = {
                f"rate_{task}_{short(name)}_{ROWS.get(row, row)}": rate
                for row, rate in found["learning_rates"].items()
                if rate
            }
            numbers |= told
    for name, masks in measured["masks"].items():
        difference = max(abs(a - b) for a, b in zip(masks["measured"], masks["closed_form"], strict=True))
        numbers |= {f"{name}_{key}": masks[key] for key in ("hidden", "spans", "draws")}
        numbers |= {f"{name}_fractions": len(masks["fractions"]), f"{name}_single": 100 * masks["measured"][0]}
        numbers |= {f"{name}_difference": 100 * difference, f"{name}_longer": 100 * (1 - sum(masks["measured"][:5]))}
    return tables, numbers


def bases(measured: dict) -> tuple[dict, dict]:
    """What each base has learned, and what it writes untuned."""
    rows, numbers = [], {}
    for base, tokens in TOKENS.items():
        name, loss, first = short(base), measured["losses"][base], measured["untuned"][base]["sentinel_first"]
        rows.append([f"`{base}`", f"{tokens}", f"{loss['span']:.2f}", f"{loss['prefix']:.2f}", f"{first:.0f}%"])
        numbers |= {f"{name}_loss_{objective}": value for objective, value in loss.items()}
        for question, values in measured["asked"][base].items():
            told = {"written": mean(values), "best": max(values), "worst": min(values)}
            numbers |= {f"{name}_{question}_{kind}": value for kind, value in told.items()}
        numbers |= {f"{name}_sentinel_first": first}
    return table(["base", "million tokens", "loss, spans", "loss, prefix", "untuned: sentinel first"], rows), numbers


def skills(measured: dict) -> tuple[dict, dict]:
    """The AUC of the skills that the tasks need, asked as a hole and as a beginning."""
    rows, numbers = [], {}
    for base in TOKENS:
        found = measured["skills"][base]
        cells = [f"{found['span'][skill]:.1f} / {found['prefix'][skill]:.1f}" for skill in SKILLS]
        rows.append([f"`{base}`", *cells])
        for objective, values in found.items():
            numbers |= {f"{short(base)}_{objective}_{skill}": value for skill, value in values.items()}
    return table(["base", *SKILLS], rows), numbers


def costs(measured: dict) -> tuple[dict, dict]:
    """Nats for the right answer, part by part, of the first base and the last."""
    rows, numbers = [], {}
    for base in (SPAN, ADAPTED):
        for form, parts in measured["costs"][base].items():
            nats = [parts["opening"], parts["words"], parts["end"], sum(parts.values())]
            told = ["-" if form == "plain" and not number else f"{value:.1f}" for number, value in enumerate(nats)]
            rows.append([f"`{base}`", FORMS[form], *told])
            names = [f"{short(base)}_{form}_{part}" for part in ("opening", "words", "end", "cost")]
            numbers |= dict(zip(names, nats, strict=True))
    return table(["base", "answer", "sentinel", "words", "end", "together"], rows), numbers


def prompts(measured: dict) -> tuple[dict, dict]:
    """Both tasks' scores of every row, and the adapted base's minus each."""
    rows, numbers = [], {}
    best = {task: by_row(measured["races"][task][ADAPTED])["prompt_tuning"]["scores"] for task in RACES}
    for base, kind, form, found in tuned(measured):
        name, is_best = f"{short(base)}_{form}_{kind}", base == ADAPTED and kind == "prompt"
        scores = [score_cell(found[task]) if task in found else "-" for task in RACES]
        behind = ["-" if is_best or task not in found else apart(best[task], found[task]["scores"]) for task in RACES]
        rows.append([f"`{base}`", KINDS.get(kind, FORMS[form]), *scores, *behind])
        for task, row in found.items():
            labels = measured["races"][task][kind if kind in KINDS else base]["labels"][row["method"]]
            numbers |= {f"{name}_{task}": row["mean"], f"{name}_{task}_labels": labels}
            numbers[f"{name}_{task}_interval"] = row["interval"] or 0.0
            numbers[f"{name}_{task}_behind"] = mean(best[task]) - mean(row["scores"])
            numbers |= {f"{name}_trained": row["trained"], "parameters": 100 * row["stored"] / row["percent"]}
    columns = ["base", "answer", *RACES, *(f"`t5-0.8m` minus it, {task}" for task in RACES)]
    return table(columns, rows), numbers


def slices(measured: dict) -> tuple[dict, dict]:
    """The slices of sentiment for every row, under the AUC of the skill where the base was asked for it."""
    rows, numbers = [], ahead(measured)
    for base, kind, form, found in tuned(measured):
        name = f"{short(base)}_{form}_{kind}"
        for task, row in found.items():
            numbers |= {f"{name}_{task}_{part}": value for part, value in row["slices"].items()}
            numbers[f"{name}_{task}_lowest"] = min(row["scores"])
        if "sentiment" not in found:
            continue
        if base not in {row[0].strip("`") for row in rows}:
            asked = [f"{measured['skills'][base][own(base)][skill]:.1f}" for skill in SLICES[:3]]
            rows.append([f"`{base}`", "asked, untuned", *asked, "-", "-", "-"])
        told = "LoRA" if kind == "lora" else f"prompt, {FORMS[form]}" if base == SPAN else "prompt"
        rows.append([f"`{base}`", told, *(f"{found['sentiment']['slices'][name]:.1f}" for name in SLICES)])
    return table(["base", "what", *SLICES], rows), numbers


def ahead(measured: dict) -> dict[str, float]:
    """Plain reviews on the first base, paired by seed: what a sentinel is worth, and what a hole beside it."""
    forms = by_row(measured["races"]["sentiment"][SPAN])
    plain = {ROWS[name]: [run["slices"]["plain"] for run in row["runs"]] for name, row in forms.items()}
    numbers = {}
    for ours, theirs in (("sentinel", "plain"), ("hole", "plain"), ("sentinel", "hole")):
        found = difference(ours, plain[ours], theirs, plain[theirs], paired=True)
        told = {"ahead": found.difference, "low": found.low or 0.0, "high": found.high or 0.0}
        numbers |= {f"{ours}_over_{theirs}_{kind}": value for kind, value in told.items()}
    return numbers
