"""The figures of chapter 16: who holds the budget while it falls, what each cut costs, where the ranks are left."""

import re
from statistics import mean

from matplotlib import pyplot

from minipeft.course.chapters import beside
from minipeft.racing.rank_picture import heat_map
from minipeft.racing.table import interval

experiment, tables = beside(__file__), beside(__file__, "tables.py")
CRITERIA, CUTS, GROUPS, NAMES = experiment.CRITERIA, experiment.CUTS, tables.GROUPS, tables.NAMES
STEPS, TASK, TRIPLETS = experiment.STEPS, experiment.TASK, experiment.TRIPLETS


def draw_budget(measured):
    """Who holds the budget while it falls; what goes and comes back at each pruning."""
    prunings = [seed["prunings"] for seed in measured["moves"]]
    steps = [one["step"] for one in prunings[0]]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4.6))
    bands = []
    for pattern in GROUPS.values():
        paths = [path for path in prunings[0][0]["left"] if re.match(pattern, path)]
        held = [mean(sum(seed[n]["left"][path] for path in paths) for seed in prunings) for n in range(len(steps))]
        bands.append([4 * len(paths), 4 * len(paths), *held, held[-1]])
    places = [0, steps[0], *steps, STEPS]  # the first pruning is a step down
    left.stackplot(places, bands, labels=list(GROUPS), colors=pyplot.get_cmap("tab20c").colors[0:20:3][:6], step="post")
    budget = measured["schedule"]
    left.plot([10 * n for n in range(len(budget))], budget, color="black", linewidth=1.5)
    left.set(xlabel="steps", ylabel="triplets kept in the whole model", xlim=(0, STEPS), ylim=(0, 150))
    went, came = ([mean(seed[n][key] for seed in prunings) for n in range(len(steps))] for key in ("went", "came"))
    right.bar(steps, [-number for number in went], width=7, color="#b2543c", label="go")
    right.bar(steps, came, width=7, color="#3c7eb2", label="come back")
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xlabel="steps", ylabel="triplets at a pruning", xlim=(0, STEPS))
    right.legend()
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=10)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return figure


def draw_cuts(measured):
    """Score against triplets left, one line for each way of choosing them; one panel for each penalty."""
    cuts = measured["cuts"]
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4.6), sharey=True)
    for axes, (kind, title) in zip(
        panels, (("averaged", "averaged penalty"), ("no_penalty", "no penalty")), strict=True
    ):
        panel(axes, cuts[kind])
        axes.set(title=title, xlabel=f"triplets left of {TRIPLETS}")
    panels[0].set_ylim(40, 104)
    panels[0].set_ylabel(f"test accuracy on {TASK}, percent")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=10)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return figure


def panel(axes, cuts: list[dict]) -> None:
    styles = zip(CRITERIA, "os^Dx", ("#1f4e79", "#3c9d6b", "#d08a1d", "#8a5fb0", "#777777"), strict=True)
    for number, (name, marker, colour) in enumerate(styles):
        left = [*sorted(map(int, cuts[0][name])), TRIPLETS]
        scores = [[seed[name].get(str(n), seed[str(TRIPLETS)]) for seed in cuts] for n in left]
        bars = [interval(values) if len(values) > 1 else 0.0 for values in scores]
        shifted = [n * 1.03 ** (number - 2) for n in left]  # side by side, so that no bar hides another
        axes.errorbar(shifted, [mean(values) for values in scores], bars, marker=marker, color=colour,
                      linewidth=1.3, label=NAMES[name])  # fmt: skip
    axes.axhline(mean(seed["0"] for seed in cuts), color="black", linestyle=":", linewidth=1, label="no triplets")
    axes.set_xscale("log", base=2)
    axes.set_xticks([*CUTS, TRIPLETS], map(str, [*CUTS, TRIPLETS]))
    axes.minorticks_off()


def draw_ranks(measured):
    """The mean rank left in every matrix."""
    ranks = measured["ranks"]["adalora"]
    means = {path: round(mean(seeds), 1) for path, seeds in ranks.items()}
    seeds = len(next(iter(ranks.values())))
    return heat_map(means, f"Rank left of 4, mean of {seeds} seeds ({TASK})")
