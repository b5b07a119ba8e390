"""The figures of chapter 06: what trained numbers reach, the slices that each method learns, rates with and without."""

from statistics import mean

from matplotlib import pyplot

# Okabe and Ito's colours, which can be told apart without seeing red or green.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"
INK, GREY, PALE = "0.25", "0.85", "#F8DFA8"
SHOWN = {"prompt": ("prompt", PURPLE, "v"), "embedding": ("embedding alone", SKY, "^"), "infix": ("infix", GREEN, "s"),
         "table": ("prefix, table", BLUE, "o"), "network": ("prefix, network", ORANGE, "D"),
         "lora": ("LoRA", "black", "x")}  # fmt: skip
SLICES = ("plain", "contrast", "negation", "both", "unseen", "nested")
LAYERS, SOURCE, ANSWER, OWN = 3, 4, 3, 2  # of the small stack in the first figure


def draw_reach(_):
    """A causal stack, place by place and layer by layer: what is trained, what depends on it, what does not."""
    panels = {"prompt, or prefix at the embedding alone": "prompt", "prefix: keys and values in every layer": "prefix",
              "infix: between source and answer": "infix"}  # fmt: skip
    figure, axes = pyplot.subplots(1, 3, figsize=(9.6, 3.5))
    for place, (title, kind) in zip(axes, panels.items(), strict=True):
        one_stack(place, kind)
        place.set_title(title, fontsize=9.5)
    marks = {"trained": ORANGE, "depends on what is trained": PALE, "as in the base": GREY}
    handles = [pyplot.Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=INK) for colour in marks.values()]
    figure.legend(handles, marks, loc="lower center", ncol=3)
    figure.suptitle("Every word can look at a prefix, in every layer", fontsize=11)
    figure.set_layout_engine("constrained")
    figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))
    return figure


def one_stack(axes, kind: str) -> None:
    """Rows are the input and the layers, from below; columns the own places, the source and the answer."""
    words = ["s"] * SOURCE + ["a"] * ANSWER
    first = SOURCE if kind == "infix" else 0
    columns = [*words[:first], *["own"] * OWN, *words[first:]]
    for x, column in enumerate(columns):
        for y in range(LAYERS + 1):
            if column == "own" and kind != "prompt" and y == 0:
                continue  # no input: its keys and values are there only in the layers
            colour = cell_colour(kind, column, y, x < first)
            axes.add_patch(pyplot.Rectangle((x, y), 0.86, 0.8, facecolor=colour, edgecolor=INK, linewidth=0.7))
    groups = {"source": [x for x, c in enumerate(columns) if c == "s"],
              "answer": [x for x, c in enumerate(columns) if c == "a"]}  # fmt: skip
    for name, places in groups.items():
        axes.text(mean(places) + 0.43, -0.35, name, ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.1, len(columns)), ylim=(-0.7, LAYERS + 1), xticks=[])
    axes.set_yticks([y + 0.4 for y in range(LAYERS + 1)], ["input", *(f"layer {n}" for n in range(1, LAYERS + 1))])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def cell_colour(kind: str, column: str, y: int, before: bool) -> str:
    if column == "own":
        return ORANGE if kind != "prompt" or y == 0 else PALE
    return GREY if y == 0 or before else PALE


def draw_slices(measured):
    """The accuracy of every method on each slice of sentiment, with a line for each seed's range."""
    rows = {row["method"]: row for row in [*measured["sentiment"]["rows"], *measured["lora"]["sentiment"]["rows"]]}
    figure, axes = pyplot.subplots(figsize=(8.4, 3.9))
    for number, (name, (label, colour, marker)) in enumerate(SHOWN.items()):
        for x, part in enumerate(SLICES):
            scores = [run["slices"][part] for run in rows[name]["runs"]]
            at = x + 0.12 * (number - 2.5)
            axes.plot([at, at], [min(scores), max(scores)], color=colour, linewidth=1.2)
            axes.plot(at, mean(scores), marker, color=colour, label=label if x == 0 else None)
    axes.axhline(50, color="0.5", linewidth=0.8, linestyle=":")
    axes.axvline(2.5, color="0.7", linewidth=0.8)
    axes.text(1, 107, "pretraining has read such", ha="center", fontsize=9)
    axes.text(4, 107, "no pretraining text is so", ha="center", fontsize=9)
    axes.set_xticks(range(len(SLICES)), SLICES)
    axes.set(ylim=(30, 104), ylabel="accuracy (%)", xlim=(-0.5, len(SLICES) - 0.5))
    axes.legend(loc="lower left", ncol=2)
    axes.set_title(SLICES_TITLE, fontsize=11, pad=24)
    return figure


SLICES_TITLE = "Beyond what the base has read, a prefix goes a little further than a prompt, LoRA much further"


def draw_rates(measured):
    """Dev scores by learning rate, a dot for each seed, with the network and without."""
    found = measured["grids"]
    figure, panels = pyplot.subplots(1, len(found), figsize=(8.6, 3.6), sharey=True)
    for axes, (task, rows) in zip(panels, found.items(), strict=True):
        for name in ("network", "table"):
            label, colour, marker = SHOWN[name]
            scores = {float(rate): seeds for rate, seeds in rows[name].items()}
            axes.plot(list(scores), [mean(seeds) for seeds in scores.values()], "-", color=colour, linewidth=1.4)
            for rate, seeds in scores.items():
                axes.plot([rate] * len(seeds), seeds, marker, color=colour, alpha=0.75,
                          label=label if rate == min(scores) else None)  # fmt: skip
        axes.set_xscale("log")
        axes.set(title=task, xlabel="learning rate", ylim=(0, 100))
    panels[0].set_ylabel("dev accuracy (%)")
    panels[0].legend(loc="lower left")
    figure.suptitle(RATES_TITLE, fontsize=11)
    return figure


RATES_TITLE = "The table needs rates a hundred times larger, and is then as good over as many of them"
