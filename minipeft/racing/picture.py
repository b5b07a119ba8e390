"""The picture of a race: score against trained parameters, and beside it every row with its interval, best first.

Colours are families of methods. It is drawn from a race's result file alone:
`python -m minipeft.racing.picture data/results/topic.json out.png` draws a committed one again.
"""

import os
import sys
from pathlib import Path

from minipeft.errors import UserError, excerpt
from minipeft.files import beside
from minipeft.flags import ended
from minipeft.racing.families import family
from minipeft.racing.reports import read_race
from minipeft.racing.table import known, trained

COLOURS = {
    "selective": "#8c6510",
    "prompts": "#d95f02",
    "adapters": "#1b9e77",
    "low_rank": "#3266ad",
    "multiplicative": "#c2278b",
    "controls": "#808080",
}
PLACES = ((0, 7, "center", "bottom"), (0, -7, "center", "top"), (7, 0, "left", "center"), (-7, 0, "right", "center"))


def colour(row: dict) -> str:
    """Black for a row whose family is not known."""
    return COLOURS.get(family(row), "black")


def picture(report: dict, path: str | Path) -> bool:
    """Draw the rows of `report`; False where matplotlib (the [plots] extra) is not installed."""
    pyplot = pyplot_without_a_screen()
    if pyplot is None:
        return False
    rows = report["rows"]
    size = (10, max(4.6, 1.6 + 0.21 * len(rows)))
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=size, dpi=130, facecolor="white", width_ratios=(1.15, 1), layout="constrained"
    )
    seeds = report["seeds"]
    figure.suptitle(f"{plain(report['title'])}, {seeds} seed{'s' if seeds > 1 else ''}", fontsize=11)
    list_rows(right, rows)
    scatter(left, rows)
    used = [name for name in COLOURS if any(family(row) == name for row in rows)]
    marks = [pyplot.Line2D([], [], marker="o", linestyle="", color=COLOURS[name]) for name in used]
    if used:
        names = [name.replace("_", " ") for name in used]
        figure.legend(marks, names, loc="outside lower center", ncols=len(used), frameon=False, fontsize=9)
    figure.canvas.draw()  # places are known from here on
    name_points(figure, left, rows)
    with beside(path) as part:
        figure.savefig(part)
    pyplot.close(figure)
    return True


def pyplot_without_a_screen():
    """matplotlib's pyplot, drawing into files alone; None where matplotlib is not installed."""
    os.environ["MPLBACKEND"] = "Agg"  # one that is not known would stop the import
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def plain(text: str) -> str:
    """A name or a title as it is drawn letter by letter: between dollars matplotlib would read a formula."""
    return excerpt(text, 100).replace("$", r"\$")


def ends(row: dict) -> tuple[float, float]:
    """How far a row's interval reaches below and above its mean, cut where scores end: at 0 and at 100."""
    half = row["interval"] if known(row["interval"]) else 0.0
    return min(half, row["mean"]), min(half, 100 - row["mean"])


def scatter(axes, rows: list[dict]) -> None:
    """A point for each row; what trains nothing, and so has no place on a logarithm, is a line."""
    for row in rows:
        if not trained(row):
            axes.axhline(row["mean"], linestyle="--", linewidth=1, color=colour(row), zorder=1)
            continue
        axes.plot(trained(row), row["mean"], "o", markersize=6, color=colour(row), alpha=0.9)
    if any(trained(row) for row in rows):
        axes.set_xscale("log")
    axes.margins(x=0.12, y=0.1)
    axes.set_ylim(top=min(axes.get_ylim()[1], 104))
    axes.set_xlabel("trained parameters", fontsize=9)
    axes.set_ylabel("score (%)", fontsize=9)
    dress(axes)


def list_rows(axes, rows: list[dict]) -> None:
    """A line for each row, best first, with its mean and 95% interval."""
    for place, row in enumerate(rows):
        below, above = ends(row)
        axes.errorbar(row["mean"], place, xerr=[[below], [above]], fmt="o", capsize=3, markersize=5, color=colour(row))
    axes.set_yticks(range(len(rows)), [f"{plain(row['method'])}  {row['mean']:.1f}" for row in rows], fontsize=8)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(colour(row))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(max(0, axes.get_xlim()[0]), 101)
    several = any(len(row["scores"]) > 1 for row in rows)
    axes.set_xlabel("score (%)" + (", mean and 95% interval" if several else ""), fontsize=9)
    dress(axes)


def dress(axes) -> None:
    axes.grid(color="lightgray", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", which="both", labelsize=8)


def name_points(figure, axes, rows: list[dict]) -> None:
    """The name beside each point that has room for it; the list beside has them all."""
    renderer, taken = figure.canvas.get_renderer(), []
    for row in rows:
        x, y = axes.transData.transform((trained(row) or axes.get_xlim()[0], row["mean"]))
        taken.append((x - 9, y - 9, x + 9, y + 9) if trained(row) else (axes.bbox.x0, y - 1, axes.bbox.x1, y + 1))
    for row in rows:
        spots = PLACES if trained(row) else ((4, 2, "left", "bottom"), (4, -2, "left", "top"))
        point = (trained(row), row["mean"]) if trained(row) else (axes.get_xlim()[0], row["mean"])
        for right, up, horizontal, vertical in spots:
            text = axes.annotate(
                plain(row["method"]), point, xytext=(right, up), textcoords="offset points", ha=horizontal, va=vertical,
                fontsize=8, color=colour(row),
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 <= axes.bbox.y1 - 12
            if inside and not any(overlap(box.extents, other) for other in taken):
                taken.append(tuple(box.extents))
                break
            text.remove()


def overlap(one, other) -> bool:
    """Whether two rectangles (left, bottom, right, top) share some of their area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def main(arguments: list[str]) -> None:
    """Draw the race of a file into a picture's file."""
    if len(arguments) != 2:
        raise UserError("Name the file of a race, and the file of the picture.")
    picture(read_race(arguments[0]), arguments[1])


if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
