"""The figures of chapter 14: where the levels of each format lie, and the error by size of a block."""

from statistics import mean

import torch
from matplotlib import pyplot

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


def draw_errors(measured):
    """Error by block size, on normal numbers and on the weights of the bases."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.9), sharey=True)
    colours = {"int4": "#b0413e", "fp4": "#d98e2b", "nf4": "#2b6cb0", "int8": "#4a7c59"}
    blocks = [int(size) for size in measured["bits"]]
    real = list(measured["real"].values())
    for axes, weights, title in zip(
        panels, (measured["normal"], real), ("normal numbers", "our five bases, mean"), strict=True
    ):
        for name, colour in colours.items():
            values = [mean(100 * entry["errors"][name][str(size)] for entry in weights) for size in blocks]
            axes.plot(blocks, values, marker="o", color=colour, label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(blocks, [str(size) for size in blocks])
        axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_title(title)
        axes.set_xlabel("numbers in a block")
    panels[0].set_ylabel("error, % of the weights' size")
    panels[1].legend()
    return figure
