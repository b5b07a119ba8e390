"""The figures of chapter 16: who holds the budget while it falls, and where the ranks are left."""

import re
from statistics import mean

from matplotlib import pyplot

from minipeft.course.chapters import beside
from minipeft.racing.rank_picture import heat_map

experiment = beside(__file__)
GROUPS, STEPS, TASK = experiment.GROUPS, experiment.STEPS, experiment.TASK


def draw_budget(measured):
    """Who holds the budget while it falls; what goes and comes back at each pruning."""
    prunings = [seed["prunings"] for seed in measured["ways"]["scores"]]
    steps = [one["step"] for one in prunings[0]]
    matrices = measured["ranks"]["adalora1"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4.6))
    bands = []
    for number, pattern in enumerate(GROUPS.values()):
        held = [mean(seed[n]["left"][number] for seed in prunings) for n in range(len(steps))]
        whole = 3 * sum(bool(re.match(pattern, path)) for path in matrices)
        bands.append([whole, whole, *held, held[-1]])
    places = [0, steps[0], *steps, STEPS]  # the first pruning is a step down
    colours = ("#1f4e79", "#4f8fc0", "#a9cbe5", "#8a4a1f", "#d08a4d", "#f0c9a0")  # encoder blue, decoder brown
    left.stackplot(places, bands, labels=list(GROUPS), colors=colours, step="post")
    left.set(title="The budget falls by two thirds", xlabel="steps", ylabel="triplets kept in the whole model")
    left.set(xlim=(0, STEPS), ylim=(0, sum(band[0] for band in bands) + 6))
    went, came = ([mean(seed[n][key] for seed in prunings) for n in range(len(steps))] for key in ("went", "came"))
    right.bar(steps, [-number for number in went], width=7, color="#b2543c", label="go")
    right.bar(steps, came, width=7, color="#3c7eb2", label="come back")
    right.axhline(0, color="black", linewidth=0.8)
    right.set(title="What goes does not come back", xlabel="steps", ylabel="triplets", xlim=(0, STEPS))
    right.legend()
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=10)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return figure


def draw_ranks(measured):
    """The mean rank left in every matrix."""
    ranks = measured["ranks"]["adalora1"]
    means = {path: round(mean(seeds), 1) for path, seeds in ranks.items()}
    seeds = len(next(iter(ranks.values())))
    found = "The decoder's self-attention keeps next to nothing, the encoder's queries nearly all"
    return heat_map(means, f"{found}\n(rank left of 3, mean of {seeds} seeds, {TASK})")
