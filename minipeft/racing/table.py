"""Results of many runs as one table: mean and 95% interval over seeds."""

import math
from statistics import mean, stdev

# Two-sided 95% points of Student's t by degrees of freedom: how far the mean of few seeds may be off.
STUDENT_T = (math.inf, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
HEADER = ("method", "trained", "%", "score", "of full", "s/step", "weights", "gradients", "optimizer", "activations")


def interval(values: list[float]) -> float:
    """Half the width of the 95% confidence interval of the mean (nan for a single value)."""
    if len(values) < 2:
        return math.nan
    return STUDENT_T[min(len(values) - 1, len(STUDENT_T) - 1)] * stdev(values) / math.sqrt(len(values))


def summarise(results: list[dict], split: str = "test") -> list[dict]:
    """One row per method, best first: scores over seeds, the costs of its first run, and the time of its fastest one.

    Other work on the machine only adds to a run's time, so the fastest run is the one it disturbed least.
    """
    by_method: dict[str, list[dict]] = {}
    for result in results:
        by_method.setdefault(result["spec"].get("label") or result["spec"]["method"], []).append(result)
    full = mean(result[split] for result in by_method["full"]) if "full" in by_method else math.nan
    rows = []
    for method, runs in by_method.items():
        scores = [run[split] for run in runs]
        rows.append(
            {
                "method": method,
                "trained": runs[0]["trained_parameters"],
                "percent": 100 * runs[0]["trained_parameters"] / runs[0]["total_parameters"],
                "scores": scores,
                "mean": mean(scores),
                "interval": interval(scores),
                "of_full": 100 * mean(scores) / full if full else math.nan,
                "seconds_per_step": min(run.get("seconds_per_step", math.nan) for run in runs),
                "memory": runs[0].get("memory", {}),
                "adapter_bytes": runs[0]["adapter_bytes"],
            }
        )
    return sorted(rows, key=lambda row: -row["mean"])


def megabytes(count: float | None) -> str:
    return "-" if count is None else f"{count / 1e6:.2f}"


def plus_minus(values: list[float], digits: int = 1) -> str:
    """Mean and, from two values on, half the width of its 95% interval."""
    spread = f" ± {interval(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def score_cell(row: dict) -> str:
    """A row's score with its interval over the seeds."""
    return plus_minus(row["scores"])


def cells(row: dict) -> list[str]:
    """One row of the table as text; memory and file size in megabytes (10^6 bytes)."""
    seconds = f"{row['seconds_per_step']:.3f}" if row["seconds_per_step"] > 0 else "-"  # nan or 0: no step was made
    memory = [megabytes(row["memory"].get(part)) for part in ("weights", "gradients", "optimizer", "activations")]
    return [
        row["method"],
        f"{row['trained']:,}",
        f"{row['percent']:.2f}",
        score_cell(row),
        "-" if math.isnan(row["of_full"]) else f"{row['of_full']:.0f}%",
        seconds,
        *memory,
        megabytes(row["adapter_bytes"]),
    ]


def markdown(rows: list[dict]) -> str:
    """The table, readable in a terminal and as Markdown. Memory columns are MB at one training step."""
    lines = [[*HEADER, "file MB"], *(cells(row) for row in rows)]
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
    """Methods by tasks: numbers trained (on the first task), mean and 95% interval, and what a blind guess would score.

    A method stands where the first task has it, best first; "-" where another task was not raced with it.
    """
    lines = [f"| method | trained | {' | '.join(reports)} |", "|---|---:|" + "---|" * len(reports)]
    by_task = [{row["method"]: row for row in report["rows"]} for report in reports.values()]
    for method, row in by_task[0].items():
        scores = [score_cell(rows[method]) if method in rows else "-" for rows in by_task]
        lines.append(f"| {method} | {row['trained']:,} | {' | '.join(scores)} |")
    chance = " | ".join(f"{report['chance']:.1f}" for report in reports.values())
    return "\n".join([*lines, f"| blind guess | 0 | {chance} |"])
