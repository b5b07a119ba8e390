"""The picture of a race: score against the number of trained parameters, from its result file alone.

`python -m minipeft.racing.picture data/results/sentiment.json out.png` draws a committed one again.
"""

import json
import math
import sys
from pathlib import Path

from minipeft.racing.runs import CONTROLS

NAMED = 8  # so many points have their names beside them; more are told apart by a legend
POINTS = 20  # more than so many get a line each


def picture(report: dict, path: str | Path) -> bool:
    """Draw the rows of `report`; False where matplotlib (the [plots] extra) is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    if len(report["rows"]) > POINTS:
        figure = line_by_line(report, pyplot)
    else:
        figure = points(report, pyplot)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return True


def points(report: dict, pyplot):
    """A point for each method: its score over the numbers it trains."""
    lines = [row for row in report["rows"] if row["method"] in CONTROLS or not row["trained"]]  # a logarithm has no 0
    trained = sorted((row for row in report["rows"] if row not in lines), key=lambda row: row["trained"])
    crowded = len(trained) > NAMED
    figure, axes = pyplot.subplots(figsize=(9.6 if crowded else 8, 4.8), dpi=150, facecolor="white")
    for number, (row, place) in enumerate(zip(trained, side_by_side(trained), strict=True)):
        spread = row["interval"] if len(row["scores"]) > 1 else 0.0
        if crowded:
            style = {"color": pyplot.get_cmap("tab20")(2 * number % 20), "marker": "osD^v"[number // 5 % 5]}
            axes.errorbar(place, row["mean"], yerr=spread, capsize=3, markersize=7, label=row["method"], **style)
            continue
        axes.errorbar(row["trained"], row["mean"], yerr=spread, fmt="o", capsize=4, markersize=7)
        # The better of two neighbours has its name above, the other below, so that they do not cover each other.
        others = [other for other in trained if other is not row]
        neighbour = min(others, key=lambda other: abs(math.log(other["trained"] / row["trained"])), default=row)
        side = 1 if row["mean"] >= neighbour["mean"] else -1
        axes.annotate(
            row["method"], (row["trained"], row["mean"] + side * spread), xytext=(0, 6 * side), fontsize=9,
            textcoords="offset points", ha="center", va="bottom" if side > 0 else "top",
        )  # fmt: skip
    for place, row in enumerate(sorted(lines, key=lambda row: row["mean"])):
        axes.axhline(row["mean"], linestyle="--", linewidth=1, color="gray")
        axes.annotate(
            row["method"], (0.01, row["mean"]), xycoords=("axes fraction", "data"), xytext=(0, 3 if place else -3),
            textcoords="offset points", va="bottom" if place else "top", fontsize=9, color="dimgray",
        )  # fmt: skip
    if crowded:
        by_score = sorted(zip(trained, axes.containers, strict=True), key=lambda pair: -pair[0]["mean"])
        names = [f"{row['method']}  {row['mean']:.1f}" for row, _ in by_score]
        axes.legend([point for _, point in by_score], names, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel("trained parameters" + (" (equal ones side by side)" if crowded else ""))
    axes.set_ylabel("test score (%), mean and 95% interval")
    axes.set_title(title(report), fontsize=11)
    return figure


def line_by_line(report: dict, pyplot):
    """A line for each method, best first: its score on the left, the numbers it trains on the right."""
    rows = report["rows"]
    figure, (left, right) = pyplot.subplots(
        1, 2, sharey=True, figsize=(8, 1.2 + 0.21 * len(rows)), dpi=150, facecolor="white", width_ratios=(3, 1)
    )
    names = []
    for place, row in enumerate(rows):
        spread = row["interval"] if len(row["scores"]) > 1 else 0.0
        color = "gray" if row["method"] in CONTROLS or not row["trained"] else "tab:blue"
        left.errorbar(row["mean"], place, xerr=spread, fmt="o", capsize=3, markersize=5, color=color)
        names.append(f"{row['method']}  {row['mean']:.1f}")
        if row["trained"]:  # a logarithm has no 0
            right.plot(row["trained"], place, "s", markersize=5, color=color)
    left.set_yticks(range(len(rows)), names, fontsize=8)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("test score (%), mean and 95% interval", fontsize=9)
    left.set_title(title(report), fontsize=10)
    right.set_xscale("log")
    right.set_xlabel("trained parameters", fontsize=9)
    for axes in (left, right):
        axes.grid(color="lightgray", linewidth=0.5)
        axes.tick_params(axis="x", labelsize=8)
    return figure


def title(report: dict) -> str:
    return f"{report['title']}, {report['seeds']} seed{'s' if report['seeds'] > 1 else ''}"


def side_by_side(rows: list[dict]) -> list[float]:
    """Where to draw each row, fewest trained numbers first: at its number, or a little to the right of one there."""
    places: list[float] = []
    for row in rows:
        places.append(max(row["trained"], 1.09 * places[-1] if places else 0))
    return places


if __name__ == "__main__":
    picture(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
