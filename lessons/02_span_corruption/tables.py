"""The tables and numbers of chapter 02, from what its experiment measured: bases, questions, nats and prompts."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import score_cell

experiment = beside(__file__)
ROWS, STEPS = experiment.ROWS, experiment.STEPS
FORMS = {"plain": "plain", "sentinel": "behind a sentinel", "hole": "fills a hole in the source"}


def short(base: str) -> str:
    """A base's name in the names of numbers: span, step100, ..., adapted."""
    return base.removeprefix("t5-0.8m").strip("-") or "adapted"


def summary(measured: dict) -> Summary:
    parts = {"bases": bases, "asked": answers_asked, "costs": costs, "prompts": tuned_prompts}
    tables, numbers = together({name: part(measured) for name, part in parts.items()})
    numbers |= {f"steps_of_{base}": steps for base, steps in STEPS.items()}
    for name, masks in measured["masks"].items():
        difference = max(abs(a - b) for a, b in zip(masks["measured"], masks["closed_form"], strict=True))
        numbers |= {f"{name}_{key}": masks[key] for key in ("hidden", "spans", "draws")}
        numbers |= {f"{name}_fractions": len(masks["fractions"]), f"{name}_single": 100 * masks["measured"][0]}
        numbers |= {f"{name}_difference": 100 * difference, f"{name}_longer": 100 * (1 - sum(masks["measured"][:5]))}
    return tables, numbers


def bases(measured: dict) -> tuple[dict, dict]:
    """What each base has learned, and what it writes untuned."""
    rows, numbers = [], {}
    for base, steps in STEPS.items():
        loss, first = measured["losses"][base], measured["untuned"][base]["sentinel_first"]
        rows.append([f"`{base}`", f"{steps:,}", f"{loss['span']:.2f}", f"{loss['prefix']:.2f}", f"{first:.0f}%"])
        numbers |= {f"{short(base)}_loss_{objective}": value for objective, value in loss.items()}
        numbers[f"{short(base)}_sentinel_first"] = first
    return table(["base", "adaptation steps", "loss, spans", "loss, prefix", "untuned: sentinel first"], rows), numbers


def answers_asked(measured: dict) -> tuple[dict, dict]:
    """Scores of the untuned bases in either form: mean over three wordings, and the worst and best of them."""
    rows, numbers = [], {}
    for base in STEPS:
        cells = []
        for question, wordings in measured["asked"][base].items():
            for kind in ("chosen", "written", "label"):
                values = [wording[kind] for wording in wordings]
                numbers[f"{short(base)}_{question}_{kind}"] = mean(values)
                if question != "nothing" and kind != "label":
                    cells.append(f"{mean(values):.1f} ({min(values):.1f}-{max(values):.1f})")
        rows.append([f"`{base}`", *cells])
    return table(["base", "a hole: chosen", "written", "a beginning: chosen", "written"], rows), numbers


def costs(measured: dict) -> tuple[dict, dict]:
    """Nats for the right answer, part by part, of the first base and the last."""
    rows, numbers = [], {}
    for base in ("t5-0.8m-span", "t5-0.8m"):
        for form, parts in measured["costs"][base].items():
            nats = [parts["opening"], parts["words"], parts["end"], sum(parts.values())]
            told = ["-" if form == "plain" and not number else f"{value:.1f}" for number, value in enumerate(nats)]
            rows.append([f"`{base}`", FORMS[form], *told])
            names = [f"{short(base)}_{form}_{part}" for part in ("opening", "words", "end", "cost")]
            numbers |= dict(zip(names, nats, strict=True))
    return table(["base", "answer", "sentinel", "words", "end", "together"], rows), numbers


def tuned_prompts(measured: dict) -> tuple[dict, dict]:
    """Prompts tuned on each base, with the answers chosen and written, and the adapted base's score minus each."""
    rows, numbers = [], {}
    adapted = by_row(measured["races"]["t5-0.8m"])["prompt_tuning"]["scores"]
    for base in STEPS:
        raced = measured["races"][base]
        for row in raced["rows"]:
            form, rate = ROWS[row["method"]], raced["learning_rates"][row["method"]]
            scores, labels = (mean(text[kind] for text in row["written"]) for kind in ("score", "label"))
            told = [score_cell(row), f"{scores:.1f}", f"{labels:.0f}%", f"{rate:g}" if rate else "-"]
            ahead = "-" if base == "t5-0.8m" else apart(adapted, row["scores"])
            rows.append([f"`{base}`", FORMS[form], *told, ahead])
            name = f"{short(base)}_{form}_prompt"
            numbers |= {"trained": row["trained"], "parameters": 100 * row["trained"] / row["percent"]}
            numbers |= {name: row["mean"], f"{name}_written": scores, f"{name}_interval": row["interval"] or 0.0}
    columns = ["base", "answer", "chosen", "written", "labels written", "best rate", "`t5-0.8m` minus it"]
    return table(columns, rows), numbers
