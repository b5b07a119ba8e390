"""The figures of chapter 14: where the levels of each format lie, what tuning gives back, the error by block size."""

from statistics import mean

import torch
from matplotlib import pyplot

from minipeft.course.experiment import by_row
from minipeft.quantization.data_types import LEVELS


def draw_levels(measured):
    """The levels of each format as lines over the numbers that they have to stand for."""
    histogram = torch.tensor([seed["histogram"] for seed in measured["normal"]]).mean(0) * 30  # a density
    places = torch.linspace(-1, 1, 61)
    centres = ((places[:-1] + places[1:]) / 2).tolist()
    figure, panels = pyplot.subplots(3, 1, figsize=(7, 5.4), sharex=True)
    for axes, name, title in zip(panels, ("nf4", "fp4", "int4"), ("NF4", "FP4", "Int4"), strict=True):
        axes.bar(centres, histogram.tolist(), width=2 / 60, color="#c9d6e8", label="w / absmax, blocks of 64")
        levels = LEVELS[name]()
        for level in levels[levels.abs() <= 1].tolist():
            axes.axvline(level, color="#b0413e", linewidth=1.3)
        axes.set_title(f"{title}: {len(levels[levels.abs() <= 1].unique())} different levels", loc="left")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    panels[-1].set_xlabel("w / absmax of its block: the numbers (blue), the levels (red)")
    return figure


def draw_repair(measured):
    """By how the base is stored: negation before tuning, negation after it, and nested judgements after it."""
    tuned = by_row(measured["sentiment"]) | by_row(measured["shared"]) | by_row(measured["formats"])
    labels = {"exact": "32 bits", "nf4": "NF4", "fp4": "FP4", "int4_whole": "Int4, one scale\na matrix"}
    rows = {name: tuned[{"exact": "lora", "nf4": "nf4_shared"}.get(name, name)] for name in labels}
    panels = {
        "Before tuning: negation\n(AUC, parts of the probes)": [
            measured["skills"][name]["negation"] for name in labels
        ],
        "After tuning: negation\n(accuracy, seeds)": [of_slice(row, "negation") for row in rows.values()],
        "After tuning: nested\n(accuracy, seeds)": [of_slice(row, "nested") for row in rows.values()],
    }
    figure, axes = pyplot.subplots(1, 3, figsize=(8, 3.4), sharey=True)
    for place, (title, found) in zip(axes, panels.items(), strict=True):
        for height, values in enumerate(found):
            place.plot(values, [height] * len(values), "o", color="#2b6cb0", alpha=0.35, markeredgewidth=0)
            place.plot([mean(values)], [height], "|", color="#b0413e", markersize=18, markeredgewidth=2.5)
        place.set_title(title)
        place.grid(axis="x", alpha=0.3)
        place.set_xlabel("percent (red: the mean)")
    for place in axes[:2]:
        place.set_xlim(70, 101)
    axes[0].set_yticks(range(len(labels)), labels.values())
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    figure.suptitle("Rounding takes negation, and tuning gives it back", fontsize=11)
    return figure


def of_slice(row, name):
    return [run["slices"][name] for run in row["runs"]]


def draw_errors(measured):
    """Error by block size, on normal numbers and on the weights of the bases."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8, 4.1), sharey=True)
    colours = {"fp4": "#d98e2b", "int4": "#b0413e", "nf4": "#2b6cb0", "int8": "#4a7c59"}
    names = {"fp4": "FP4", "int4": "Int4", "nf4": "NF4", "int8": "Int8"}
    real = list(measured["real"].values())
    blocks = list(real[0]["errors"]["nf4"])
    for axes, weights, title in zip(
        panels, (measured["normal"], real), ("normal numbers", f"our {len(real)} bases, mean"), strict=True
    ):
        for name, colour in colours.items():
            values = [mean(100 * entry["errors"][name][size] for entry in weights) for size in blocks]
            axes.plot(range(len(blocks)), values, marker="o", color=colour, label=names[name])
        labels = [f"{int(size):,}" for size in blocks]
        axes.set_xticks(range(len(blocks)), [*labels[:-1], "all" if weights is real else labels[-1]], fontsize=8)
        axes.set_yscale("log")
        axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_title(title)
        axes.set_xlabel("numbers in a block")
    panels[0].set_ylabel("error, % of the weights' size")
    panels[1].legend()
    figure.suptitle("NF4 loses least of the 4-bit formats, in blocks of every size", fontsize=11)
    return figure
