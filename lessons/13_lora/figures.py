"""The figures of chapter 13: the idea, and the score by rank."""

from statistics import mean

from matplotlib import pyplot

from minipeft.course.chapters import beside
from minipeft.course.experiment import by_row
from minipeft.racing.table import interval

tables = beside(__file__, "tables.py")
CUTS, LONGER, RANKS, STEPS = tables.CUTS, tables.LONGER, tables.RANKS, tables.STEPS
KINDS = (
    (tables.old_forms, "tab:blue", "o-", "forms that pretraining has"),
    (lambda found: found["nested"], "tab:orange", "s-", "nested: new to the base"),
)
TITLE = "Few directions hold the new computation, but LoRA needs many steps to learn it"


def draw_idea(_):
    """A large frozen square beside two thin trained strips, to scale for 88 x 88 and rank 8."""
    figure, axes = pyplot.subplots(figsize=(7, 3.3))
    axes.set_axis_off()
    boxes = [(0, 0, 88, 88, "0.85", "W\n88 x 88\nfrozen"), (176, 0, 8, 88, "tab:orange", ""),
             (212, 40, 88, 8, "tab:blue", "")]  # fmt: skip
    for x, y, width, height, colour, text in boxes:
        axes.add_patch(pyplot.Rectangle((x, y), width, height, facecolor=colour, edgecolor="0.3"))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=11)
    axes.text(44, 96, "7,744 numbers", ha="center", fontsize=10, color="0.3")
    axes.text(132, 44, "+  alpha / rank  x", ha="center", va="center", fontsize=12)
    axes.text(180, 96, "B: 88 x 8", ha="center", fontsize=11, color="tab:orange")
    axes.text(180, -8, "704 numbers,\nstart at 0", ha="center", va="top", fontsize=9, color="0.3")
    axes.text(256, 56, "A: 8 x 88", ha="center", fontsize=11, color="tab:blue")
    axes.text(256, 32, "704 numbers,\nstart at random", ha="center", va="top", fontsize=9, color="0.3")
    axes.text(198, 44, "x", ha="center", va="center", fontsize=13)
    axes.set_xlim(-4, 306)
    axes.set_ylim(-30, 108)
    axes.set_aspect("equal")
    return figure


def draw_ranks(measured):
    """Score by rank, on forms that pretraining has and on nested ones: LoRA, and full tuning's update cut to it."""
    figure, panels = pyplot.subplots(1, 3, figsize=(8.5, 3.7), sharey=True)
    raced = {STEPS: by_row(measured["race"]), LONGER: by_row(measured["longer"])}
    full = {steps: slices_of(rows["full"]) for steps, rows in raced.items()}
    shown = {
        f"LoRA, {steps} steps": ({rank: slices_of(rows[f"rank {rank}"]) for rank in RANKS if f"rank {rank}" in rows},
                                 full[steps], "rank") for steps, rows in raced.items()
    }  # fmt: skip
    cuts = {rank: measured["cut"]["slices"][str(rank)] for rank in CUTS}
    shown["full tuning's update, cut"] = (cuts, full[STEPS], "directions kept in each matrix")
    for axes, (title, (found, whole, below)) in zip(panels, shown.items(), strict=True):
        for read, colour, style, label in KINDS:
            axes.axhline(mean(map(read, whole)), color=colour, linewidth=1, linestyle=":")
            scores = [list(map(read, slices)) for slices in found.values()]
            means = list(map(mean, scores))
            lower = [interval(values) if len(values) > 1 else 0 for values in scores]
            upper = [min(half, 100 - middle) for half, middle in zip(lower, means, strict=True)]
            axes.errorbar(range(len(means)), means, [lower, upper], fmt=style, color=colour, label=label)
        axes.set_xticks(range(len(found)), map(str, found))
        axes.set_xlim(-0.4, len(found) - 0.6)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(below)
        axes.set_ylim(30, 102)
    panels[0].set_ylabel("test accuracy on sentiment (%)")
    panels[0].legend(loc="lower left", fontsize=8)
    panels[1].text(0.03, 0.03, "dotted: full tuning\nof as many steps", transform=panels[1].transAxes, fontsize=8)
    figure.suptitle(TITLE, fontsize=11)
    return figure


def slices_of(row: dict) -> list[dict]:
    """By seed, the score on each kind of texts."""
    return [run["slices"] for run in row["runs"]]
