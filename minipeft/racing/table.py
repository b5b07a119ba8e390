"""Results of many runs as one table: mean and 95% interval over seeds."""

import math
from statistics import mean, stdev

from minipeft.racing.families import family_of
from minipeft.racing.student_t import two_sided_point
from minipeft.tasks.answers import RIGHT

HEADER = ("method", "trained", "stored", "stored %", "score", "of full")
BESIDE = ("forgotten", "skills lost", "steps to 90%")  # columns of tables whose rows tell them: older files do not
TOLD = ("forgotten", "skills_lost", "steps_to_90")  # what a row calls them
NORMAL = 1.96  # two-sided 95% point of the normal distribution
MEMORY = ("weights", "gradients", "optimizer", "activations")


def interval(values: list[float]) -> float:
    """Half the width of the 95% confidence interval of the mean (nan for a single value)."""
    if len(values) < 2:
        return math.nan
    return two_sided_point(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def summarise(results: list[dict], split: str = "test") -> list[dict]:
    """One row per method, best first: scores over seeds, the costs of its first run, and the time of its fastest one.

    interval: half the width of the mean's over the seeds, None for one score and for copied runs. slices: the mean
    score of each. runs: what is kept of every seed, its predictions a mark a text (`tasks/answers.py`). forgotten, in
    nats a token, skills_lost, in points, and steps_to_90: means of what `beside_the_score.py` measures.
    trained: the parameters that training moves. stored: those of the adapter file; `percent` of the base's. What is not
    known is None. Other work on the machine only adds to a run's time: the fastest run is what it disturbed least.
    """
    by_method: dict[str, list[dict]] = {}
    for result in results:
        by_method.setdefault(result["spec"].get("label") or result["spec"]["method"], []).append(result)
    full = mean(result[split] for result in by_method["full"]) if "full" in by_method else None
    rows = []
    for method, runs in by_method.items():
        scores, stored = [run[split] for run in runs], runs[0]["trained_parameters"]
        seconds = [run["seconds_per_step"] for run in runs if known(run.get("seconds_per_step"))]
        moved = runs[0].get("moved_parameters", stored)
        rows.append(
            {
                "method": method,
                "family": family_of(runs[0]["spec"].get("method", "")),
                "trained": moved,
                "stored": stored,
                "percent": 100 * stored / runs[0]["total_parameters"],
                "scores": scores,
                "forgotten": mean_known(runs, "forgotten"),
                "skills_lost": mean_known(runs, "skills_lost"),
                "steps_to_90": mean_known(runs, "steps_to_90"),
                "slices": mean_slices(runs),
                "runs": [kept_of_run(run, split) for run in runs],
                "mean": mean(scores),
                "interval": interval(scores) if len(scores) > 1 and not copied(moved, scores) else None,
                "of_full": 100 * mean(scores) / full if full else None,
                "seconds_per_step": min(seconds, default=None),
                "memory": runs[0].get("memory", {}),
                "adapter_bytes": runs[0]["adapter_bytes"],
            }
        )
    return sorted(rows, key=lambda row: -row["mean"])


def mean_known(runs: list[dict], name: str) -> float | None:
    """The mean over the runs that know it."""
    values = [run[name] for run in runs if known(run.get(name))]
    return mean(values) if values else None


def mean_slices(runs: list[dict]) -> dict[str, float]:
    """The mean over the runs of the score of each slice."""
    names = runs[0].get("slices", {})
    return {name: round(mean(run["slices"][name] for run in runs if name in run["slices"]), 2) for name in names}


def kept_of_run(run: dict, split: str) -> dict:
    """What a report keeps of one run: about 600 characters for 600 texts."""
    slices = {name: round(score, 2) for name, score in run.get("slices", {}).items()}
    told = {name: run["spec"].get(name, 0) for name in ("seed", "word_draw")}
    kept = {**told, "score": run[split], "slices": slices}
    kept |= {name: run[name] for name in TOLD if known(run.get(name))}
    return {**kept, "predictions": run.get("predictions", "")}


def known(value: float | None) -> bool:
    """Whether there is such a number; older files have nan where there is none."""
    return value is not None and not math.isnan(value)


def stored(row: dict) -> int:
    """The parameters in a row's adapter file, which older files call "trained"."""
    return row.get("stored", row["trained"])


def trained(row: dict) -> int:
    """The parameters that a row's training moves: in older files, by their float32 gradients of 4 bytes each."""
    return row["trained"] if "stored" in row else row.get("memory", {}).get("gradients", 4 * row["trained"]) // 4


def megabytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e6:.2f}"


def plus_minus(values: list[float], digits: int = 1) -> str:
    """Mean and, from two values on, half the width of its 95% interval."""
    spread = f" ± {interval(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def copied(trained: int, scores: list[float]) -> bool:
    """Whether nothing is trained, and the runs of all seeds are one: they tell nothing of seeds."""
    return not trained and len(set(scores)) == 1


def wilson(share: float, texts: int) -> tuple[float, float]:
    """The 95% interval, in percent, of a share of texts, itself in percent: what other texts might have given."""
    p, z = share / 100, NORMAL**2 / texts
    middle, half = p + z / 2, math.sqrt(z * p * (1 - p) + z * z / 4)
    return 100 * (middle - half) / (1 + z), 100 * (middle + half) / (1 + z)


def score_cell(row: dict) -> str:
    """A row's score with its interval over the seeds, written by its ends where one of them is 0 or 100.

    What trains nothing has the same score with every seed: its interval is over the texts, where the score is a share
    of them and their number is known.
    """
    scores = row["scores"]
    if copied(trained(row), scores):
        marks = row["runs"][0]["predictions"] if row.get("runs") else ""
        is_share = marks and math.isclose(scores[0], 100 * marks.count(RIGHT) / len(marks), abs_tol=0.01)
        return f"{scores[0]:.1f}" + (" [{:.1f}, {:.1f}]".format(*wilson(scores[0], len(marks))) if is_share else "")
    if len(scores) < 2:
        return plus_minus(scores)
    low, high = mean(scores) - interval(scores), mean(scores) + interval(scores)
    if low >= 0 and high <= 100:
        return plus_minus(scores)
    return f"{mean(scores):.1f} [{f'{low:.1f}' if low > 0 else 0}, {f'{high:.1f}' if high < 100 else 100}]"


def cell(name: str) -> str:
    """A name that somebody chose, for a table in Markdown: a bar would begin another cell, a line's end another row."""
    return " ".join(name.split()).replace("|", "\\|")


def cells(row: dict) -> list[str]:
    """One row of the table as text; memory and file size in megabytes (10^6 bytes)."""
    seconds = row["seconds_per_step"]
    return [
        cell(row["method"]),
        f"{trained(row):,}",
        f"{stored(row):,}",
        f"{row['percent']:.2f}",
        score_cell(row),
        f"{row['of_full']:.0f}%" if known(row["of_full"]) else "-",
        f"{row['forgotten']:+.2f}" if known(row.get("forgotten")) else "-",
        f"{round(row['skills_lost'], 1) + 0:.1f}" if known(row.get("skills_lost")) else "-",  # + 0: no minus before 0
        f"{row['steps_to_90']:.0f}" if known(row.get("steps_to_90")) else "-",
        f"{seconds:.3f}" if known(seconds) and seconds > 0 else "-",  # 0: no step was made
        *(megabytes(row["memory"].get(part)) for part in MEMORY),
        megabytes(row["adapter_bytes"]),
    ]


def growing_header() -> str:
    """The head of the table that grows while a race runs."""
    return f"{'method':28} {'trained':>11} {'stored':>11} {'score':>18} {'forgotten':>9} {'s/step':>7}"


def growing_line(row: dict) -> str:
    """A row that is done, before the others are known."""
    method, trained, stored, _, score, _, forgotten, _, _, seconds, *_ = cells(row)
    return f"{method:28} {trained:>11} {stored:>11} {score:>18} {forgotten:>9} {seconds:>7}"


def markdown(rows: list[dict]) -> str:
    """The table, readable in a terminal and as Markdown. Memory columns are MB at one training step."""
    lines = [[*HEADER, *BESIDE, "s/step", *MEMORY, "file MB"], *(cells(row) for row in rows)]
    if not any(known(row.get(name)) for row in rows for name in TOLD):
        start = len(HEADER)
        lines = [line[:start] + line[start + len(BESIDE) :] for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for number, line in enumerate(lines):
        padded = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        text.append(f"| {' | '.join(padded)} |")
        if number == 0:
            text.append(
                "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
            )
    return "\n".join(text)


def across_tasks(reports: dict[str, dict]) -> str:
    """Methods by tasks: parameters trained and stored (on the first task), mean and 95% interval, and a blind guess.

    A method stands where the first task has it, best first; "-" where another task was not raced with it.
    """
    lines = [
        f"| method | trained | stored | {' | '.join(map(cell, reports))} |",
        "|---|---:|---:|" + "---|" * len(reports),
    ]
    by_task = [{row["method"]: row for row in report["rows"]} for report in reports.values()]
    for method, row in by_task[0].items():
        scores = [score_cell(rows[method]) if method in rows else "-" for rows in by_task]
        lines.append(f"| {cell(method)} | {trained(row):,} | {stored(row):,} | {' | '.join(scores)} |")
    chance = " | ".join(f"{report['chance']:.1f}" for report in reports.values())
    return "\n".join([*lines, f"| blind guess | 0 | 0 | {chance} |"])
