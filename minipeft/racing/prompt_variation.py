"""How much a score depends on the wording: every prompt is scored on one split, and the spread is taken apart.

A prompt differs in its template, its verbalizer and the seed of its demonstrations. The spread over one of them is the
standard deviation with the two others held fixed, averaged over these.
"""

from collections import defaultdict
from collections.abc import Iterable
from statistics import mean, stdev

from tqdm import tqdm

from minipeft.methods.method import Method
from minipeft.tasks.task import Task
from minipeft.training.evaluating import evaluate

FACTORS = ("template", "verbalizer", "draw")  # draw: the seed of the demonstrations


def score_prompts(
    model, task: Task, prompts: Iterable[tuple[dict, Method]], split: str = "dev", **reading
) -> list[dict]:
    """Each prompt's row with its "score" in percent added; a row holds the prompt's FACTORS, by number or name.

    The methods must need no training; each is attached to `model` for its own evaluation only. `reading` goes to
    `evaluate`, as `limit`.
    """
    rows = []
    for row, method in tqdm(list(prompts), desc=f"prompts on {split}", disable=None):  # only where someone looks
        method.attach(model)
        try:
            rows.append({**row, "score": evaluate(model, task, split, **reading)["score"]})
        finally:
            method.detach()
    return rows


def variation(rows: list[dict]) -> dict:
    """Mean, lowest and highest score, and for every factor the mean standard deviation of the scores over it.

    A standard deviation takes two scores at least: a factor with one value has None.
    """
    scores = [row["score"] for row in rows]
    spread = {factor: deviation_over(rows, factor) for factor in FACTORS}
    return {"mean": mean(scores), "lowest": min(scores), "highest": max(scores), "deviation_over": spread}


def deviation_over(rows: list[dict], factor: str) -> float | None:
    """The standard deviation over the values of `factor` at fixed values of the others, averaged over these."""
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[other] for other in FACTORS if other != factor)].append(row["score"])
    deviations = [stdev(scores) for scores in groups.values() if len(scores) > 1]
    return mean(deviations) if deviations else None


def table(rows: list[dict]) -> str:
    """Templates by verbalizers, in Markdown: the mean over the draws of demonstrations, and its standard deviation."""
    cells = defaultdict(list)
    for row in rows:
        cells[row["template"], row["verbalizer"]].append(row["score"])
    templates, verbalizers = (list(dict.fromkeys(row[factor] for row in rows)) for factor in FACTORS[:2])
    lines = [f"| template | {' | '.join(verbalizers)} |", "|---" + "|---:" * len(verbalizers) + "|"]
    for template in templates:
        shown = [cell(cells[template, verbalizer]) for verbalizer in verbalizers]
        lines.append(f"| {template.replace('|', '/')} | {' | '.join(shown)} |")
    return "\n".join(lines)


def cell(scores: list[float]) -> str:
    return f"{mean(scores):.1f}" + (f" ± {stdev(scores):.1f}" if len(scores) > 1 else "")
