"""The figures of chapter 13: the idea, and the score by rank."""

from statistics import mean

from matplotlib import pyplot

from minipeft.course.chapters import beside
from minipeft.course.experiment import by_row
from minipeft.racing.table import interval

tables = beside(__file__, "tables.py")
CUTS, RANKS, old_forms = tables.CUTS, tables.RANKS, tables.old_forms
LABELS = {"old forms": "forms that pretraining has", "nested": "nested judgements, which it has not"}
TITLE = "Four directions hold most of the new computation; LoRA learns less of it at every rank"


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
    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.9), sharey=True)
    rows, cuts = by_row(measured["race"]), measured["cut"]
    kinds = {"old forms": (old_forms, "tab:blue", "o-"), "nested": (lambda found: found["nested"], "tab:orange", "s-")}
    for name, (read, colour, style) in kinds.items():
        trained = {rank: [read(run["slices"]) for run in rows[f"rank {rank}"]["runs"]] for rank in RANKS}
        left = {rank: [read(found) for found in cuts["slices"][str(rank)]] for rank in CUTS}
        full = mean(read(run["slices"]) for run in rows["full"]["runs"])
        for axes, scores in zip(panels, (trained, left), strict=True):
            axes.axhline(full, color=colour, linewidth=1, linestyle=":")
            places, means = range(len(scores)), list(map(mean, scores.values()))
            below = [interval(found) if len(found) > 1 else 0 for found in scores.values()]
            above = [min(half, 100 - middle) for half, middle in zip(below, means, strict=True)]
            axes.errorbar(places, means, [below, above], fmt=style, color=colour, label=LABELS[name])
            axes.set_xticks(places, map(str, scores))
    for axes, title, below in zip(panels, ("LoRA trained with this rank", "full tuning's update, cut to this rank"),
                                  ("rank", "directions kept in each matrix"), strict=True):  # fmt: skip
        axes.set_title(title, fontsize=11)
        axes.set_xlabel(below)
        axes.set_ylim(30, 102)
    panels[0].set_ylabel("test accuracy on sentiment (%)")
    panels[0].legend(loc="lower right", fontsize=9)
    panels[1].text(0.02, 0.02, "dotted: full tuning", transform=panels[1].transAxes, fontsize=9, color="0.3")
    figure.suptitle(TITLE, fontsize=11)
    return figure
