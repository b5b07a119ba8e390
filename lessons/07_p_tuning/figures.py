"""The figures of chapter 07: what the two recipes train and where, and depth against the size of the base."""

from statistics import mean

from matplotlib import pyplot

# Okabe and Ito's colours, which can be told apart without seeing red or green.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
INK, GREY = "0.25", "0.85"
WORDS = ("I", "saw", "the", "red", "fox")
FILLED = ("V", "V", "I", "saw", "the", "red", "fox", "V", "?", "V")
LAYERS, PROMPT = 3, 2
SHOWN = {"shallow": ("six vectors", BLUE, "o"), "deep": ("all layers", ORANGE, "D")}
SLICES = ("contrast", "negation", "unseen", "nested")


def draw_recipes(_):
    """Left, version 1: a template with vectors made by an encoder. Right, version 2: prompts in layers, and heads."""
    figure, (first, second) = pyplot.subplots(1, 2, figsize=(9.6, 3.7), width_ratios=(1, 1))
    version_1(first)
    version_2(second)
    marks = {"trained and stored": ORANGE, "trained, thrown away": GREEN, "as in the base": GREY}
    handles = [pyplot.Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=INK) for colour in marks.values()]
    figure.legend(handles, marks, loc="lower center", ncol=3)
    figure.suptitle(RECIPES_TITLE, fontsize=11)
    figure.set_layout_engine("constrained")
    figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))
    return figure


RECIPES_TITLE = "Version 1 works at the input, version 2 in the layers, and its head may stand on every token"


def box(axes, x, y, width, height, colour, text=""):
    axes.add_patch(pyplot.Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK, linewidth=0.7))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8.5)


def version_1(axes) -> None:
    """The template's row of vectors, and below it e and the encoder."""
    own = [x for x, word in enumerate(FILLED) if word == "V"]
    for x, word in enumerate(FILLED):
        box(axes, x, 2.4, 0.88, 0.8, ORANGE if word == "V" else GREY, "" if word == "V" else word)
    box(axes, 0, 1.1, len(FILLED) - 0.12, 0.7, GREEN, "LSTM in both directions, or MLP, or nothing")
    for number, x in enumerate(own):
        box(axes, x, 0, 0.88, 0.6, GREEN, f"$e_{number + 1}$")
        axes.annotate("", (x + 0.44, 1.1), (x + 0.44, 0.6), arrowprops={"arrowstyle": "->", "color": INK})
        axes.annotate("", (x + 0.44, 2.4), (x + 0.44, 1.8), arrowprops={"arrowstyle": "->", "color": INK})
    axes.text(8.44, 3.5, "anchor", ha="center", fontsize=8.5)
    axes.set(xlim=(-0.2, len(FILLED)), ylim=(-0.4, 4.1))
    axes.set_title("version 1: vectors anywhere in a template", fontsize=9.5)
    axes.axis("off")


def version_2(axes) -> None:
    """Layers with a prompt each, and a head on every token."""
    for y in range(LAYERS):
        for x in range(PROMPT):
            box(axes, x, y + 1, 0.88, 0.75, ORANGE)
        for x, _ in enumerate(WORDS):
            box(axes, PROMPT + x, y + 1, 0.88, 0.75, GREY)
        axes.text(-0.15, y + 1.37, f"layer {y + 1}", ha="right", va="center", fontsize=8.5)
    for x, word in enumerate(WORDS):
        box(axes, PROMPT + x, 0.15, 0.88, 0.6, GREY, word)
        box(axes, PROMPT + x, LAYERS + 1.1, 0.88, 0.55, ORANGE, "beast" if word == "fox" else "0")
    axes.text(PROMPT - 0.15, LAYERS + 1.37, "token head", ha="right", va="center", fontsize=8.5)
    axes.text(-0.15, 0.45, "input", ha="right", va="center", fontsize=8.5)
    axes.set(xlim=(-1.6, PROMPT + len(WORDS)), ylim=(-0.1, LAYERS + 2))
    axes.set_title("version 2: keys and values in chosen layers", fontsize=9.5)
    axes.axis("off")


def draw_depth(measured):
    """Accuracy of shallow and deep prompts on every size of base, a panel for each of four slices."""
    sizes = list(measured["sizes"])
    figure, panels = pyplot.subplots(1, len(SLICES), figsize=(9.6, 3.3), sharey=True)
    for axes, part in zip(panels, SLICES, strict=True):
        for name, (label, colour, marker) in SHOWN.items():
            scores = [of_row(measured["sizes"][size], name, part) for size in sizes]
            shift = 0.08 if name == "deep" else -0.08
            places = [x + shift for x in range(len(sizes))]
            axes.plot(places, [mean(seeds) for seeds in scores], "-" + marker, color=colour, label=label)
            for x, seeds in zip(places, scores, strict=True):
                axes.plot([x, x], [min(seeds), max(seeds)], color=colour, linewidth=1.0)
        axes.axhline(50, color="0.5", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(sizes)), [size.removeprefix("t5-") for size in sizes])
        axes.set(title=part, ylim=(0, 103), xlabel="parameters of the base")
    panels[0].set_ylabel("accuracy (%)")
    panels[0].legend(loc="lower right")
    figure.suptitle(DEPTH_TITLE, fontsize=11)
    return figure


DEPTH_TITLE = "Depth adds on one base; on the others seeds fail at what six vectors learn"


def of_row(raced: dict, name: str, part: str) -> list[float]:
    (row,) = [row for row in raced["rows"] if row["method"] == name]
    return [run["slices"][part] for run in row["runs"]]
