"""The figures of chapter 03: how far a backward pass goes, and what is gained and forgotten by trained blocks."""

from statistics import mean

from matplotlib import pyplot

from minipeft.course.chapters import beside
from minipeft.racing.table import interval

tables = beside(__file__, "tables.py")
# Okabe and Ito's colours, which can be told apart without seeing red or green.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
FOUND = "A head reads out what the base computes; what it does not compute takes trained blocks"
ROWS = {"head": "0\nhead", "top1": "1", "top2": "2", "top3": "3", "full": "all"}


def draw_backward(measured):
    """Multiplications of a step, forward and backward, by the number of trained blocks, in both models."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8.4, 3.4), sharey=True)
    for axes, (base, rows) in zip(panels, measured["costs"].items(), strict=True):
        places = range(len(rows))
        forward = [1.0] * len(rows)
        backward = [row["backward"] / row["forward"] for row in rows.values()]
        axes.bar(places, forward, 0.68, color=BLUE, label="forward")
        axes.bar(places, backward, 0.68, forward, color=ORANGE, label="backward")
        names = {"0": "0\nhead", "all": "all\n"}
        axes.set_xticks(places, [names.get(name, name) for name in rows])
        axes.set(title=base, xlabel="trained blocks, from the top", ylim=(0, 3.1))
    panels[0].set_ylabel("multiplications\n(forward pass = 1)")
    panels[0].legend(loc="upper left")
    figure.suptitle(
        "In a GPT the way back ends at the lowest trained block; in a T5 it crosses the decoder", fontsize=11
    )
    return figure


def draw_blocks(measured):
    """Accuracy by sort of review, and nats forgotten, by what is trained."""
    raced = tables.by_row(measured["blocks"])
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.6))
    lines = {"plain, contrast, negation": (tables.COMPUTED, BLUE, "o"), "unseen": (("unseen",), GREEN, "s"),
             "nested": (("nested",), ORANGE, "^")}  # fmt: skip
    for label, (slices, colour, marker) in lines.items():
        found = [tables.by_seed(raced[row], *slices) for row in ROWS]
        spread = [interval(values) if len(values) > 1 else 0 for values in found]
        left.errorbar(range(len(ROWS)), list(map(mean, found)), spread, color=colour, marker=marker, label=label)
    left.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
    left.set(ylabel="accuracy (%)", ylim=(0, 102), title="What is learned")
    left.legend(loc="best")
    rows = [row for row in ROWS if row != "head"]
    nats = [tables.told_by_seed(raced[row], "forgotten") for row in rows]
    spread = [interval(values) if len(values) > 1 else 0 for values in nats]
    right.bar(range(1, len(ROWS)), list(map(mean, nats)), 0.6, yerr=spread, color=PURPLE, ecolor="0.3")
    right.set(ylabel="nats a token", title="What is forgotten", xlim=(-0.5, len(ROWS) - 0.5))
    right.annotate("nothing", (0, 0), (0, 4), textcoords="offset points", ha="center", fontsize=8, color="0.3")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xticks(range(len(ROWS)), list(ROWS.values()))
        axes.set_xlabel("trained blocks of each stack, from the top")
    figure.suptitle(FOUND, fontsize=11)
    return figure
