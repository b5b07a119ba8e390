"""The picture of a race: score against the number of trained parameters, from its result file alone.

`python -m minipeft.commands.picture data/results/sentiment.json out.png` draws a committed one again.
"""

import json
import math
import sys
from pathlib import Path

from minipeft.commands.runs import CONTROLS


def picture(report: dict, path: str | Path) -> bool:
    """Draw the rows of `report`; False where matplotlib (the [plots] extra) is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.8), dpi=150, facecolor="white")
    lines = [row for row in report["rows"] if row["method"] in CONTROLS or not row["trained"]]  # a logarithm has no 0
    trained = sorted((row for row in report["rows"] if row not in lines), key=lambda row: row["trained"])
    for row in trained:
        spread = row["interval"] if len(row["scores"]) > 1 else 0.0
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
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel("trained parameters")
    axes.set_ylabel("test score (%), mean and 95% interval")
    seeds = f"{report['seeds']} seeds" if report["seeds"] > 1 else "1 seed"
    axes.set_title(f"{report['title']}, {seeds}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return True


if __name__ == "__main__":
    picture(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
