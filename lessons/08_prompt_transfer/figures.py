"""The figures of chapter 08: ways to start a prompt, what sources bring to targets, similarity against the gain."""

from statistics import mean

from matplotlib import pyplot
from matplotlib.colors import TwoSlopeNorm

from minipeft.course.chapters import beside

tables = beside(__file__, "tables.py")
# Okabe and Ito's colours, which can be told apart without seeing red or green.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"
INK, GREY, CORPUS = "0.25", "0.75", "0.55"
MARKERS = "osD^v<>P"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, "#D55E00", "black", "0.55")
PARTS = ((BLUE, "films"), (ORANGE, "food"), (GREEN, "topics"))
LENGTH = 20
WAYS = {
    "a new prompt": ("words", 1),
    "the best of three": ("each", 3),
    "their average": ("average", 1),
    "a mixture": ("mixture", 1),
    "unlabelled text": ("text", 1),
}


def draw_ways(_):
    """Each row is a way: what is trained, the prompt that comes of it, and how many short runs the target needs."""
    figure, axes = pyplot.subplots(figsize=(8.6, 4.4))
    for number, (name, (kind, tries)) in enumerate(WAYS.items()):
        y = len(WAYS) - number
        axes.text(-0.2, y, name, ha="right", va="center", fontsize=10)
        boxes(axes, kind, y)
        for place in range(tries):
            strip(axes, kind, y + (0.27 * (1 - place) if tries > 1 else 0), place)
        axes.annotate("", (8.0, y), (6.7, y), arrowprops={"arrowstyle": "-|>", "color": INK})
        axes.text(7.3, y + 0.16, f"{tries} x few steps", ha="center", va="bottom", fontsize=8.5)
        axes.text(8.15, y, "target", va="center", fontsize=10)
    for x, words in ((1.45, "trained before"), (5.3, "start, 20 vectors")):
        axes.text(x, len(WAYS) + 0.62, words, ha="center", fontsize=9.5)
    axes.set(xlim=(-2.9, 9.2), ylim=(0.5, len(WAYS) + 0.95))
    axes.axis("off")
    axes.set_title(
        "Each way gives a prompt to start from; the best of three costs three short runs on the target", fontsize=11
    )
    return figure


def boxes(axes, kind: str, y: float) -> None:
    """The tasks, or the text, on which prompts were trained before."""
    if kind == "words":
        axes.text(1.45, y, "nothing", ha="center", va="center", fontsize=9)
        return
    shown = ((CORPUS, "the corpus"),) if kind == "text" else PARTS
    width = 2.9 if kind == "text" else 0.9
    for place, (colour, word) in enumerate(shown):
        corner = (place * 1.0, y - 0.2)
        axes.add_patch(pyplot.Rectangle(corner, width, 0.4, facecolor=colour, alpha=0.55, edgecolor=INK))
        axes.text(corner[0] + width / 2, y, word, ha="center", va="center", fontsize=9)
    if kind == "mixture":
        axes.add_patch(pyplot.Rectangle((-0.08, y - 0.29), 3.06, 0.58, fill=False, edgecolor=PURPLE, linestyle="--"))


def strip(axes, kind: str, y: float, place: int) -> None:
    """A prompt as a row of vectors, in the colours of what they were trained on."""
    colours = {"words": ["white"], "text": [CORPUS], "mixture": [PURPLE]}
    for vector in range(LENGTH):
        found = colours.get(kind, [PARTS[place][0]])
        corner, height = (4.2 + 0.11 * vector, y - 0.09), 0.18
        if kind == "average":  # each vector is a third of each
            for third, (colour, _) in enumerate(PARTS):
                low = (corner[0], corner[1] + third * height / 3)
                axes.add_patch(pyplot.Rectangle(low, 0.09, height / 3, facecolor=colour))
            axes.add_patch(pyplot.Rectangle(corner, 0.09, height, fill=False, edgecolor=INK, linewidth=0.6))
        else:
            colour = found[vector % len(found)]
            axes.add_patch(pyplot.Rectangle(corner, 0.09, height, facecolor=colour, edgecolor=INK, linewidth=0.6))


def draw_gains(measured):
    """Points that each source brings to each target, over a new prompt of as many steps."""
    gains = tables.gains_of(measured["travel"])
    sources, targets = list(gains), list(tables.TASKS)
    values = [[gains[source][target] for target in targets] for source in sources]
    most = max(abs(value) for row in values for value in row) or 1.0
    figure, axes = pyplot.subplots(figsize=(8.2, 5.4))
    axes.imshow(values, cmap="PuOr_r", norm=TwoSlopeNorm(0, -most, most), aspect="auto")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            dark = abs(value) > 0.5 * most
            axes.text(x, y, signed(value), ha="center", va="center", fontsize=9, color="white" if dark else "black")
            if sources[y] == targets[x]:
                axes.add_patch(pyplot.Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor=INK))
    axes.set_xticks(range(len(targets)), targets, rotation=35, ha="right")
    axes.set_yticks(range(len(sources)), sources)
    axes.set(xlabel="target", ylabel="source")
    axes.spines[:].set_visible(False)
    axes.set_title(GAINS_TITLE, fontsize=11)
    return figure


def signed(value: float) -> str:
    """Whole points with their sign; 0 has none."""
    return f"{round(value):+d}" if round(value) else "0"


GAINS_TITLE = "Points that a source brings to fifty steps: mostly a few, and two deep losses"


def draw_similarity(measured):
    """Similarity of early prompts against the gain, a mark for each pair, in two kinds of similarity."""
    travel = measured["travel"]
    gains = tables.gains_of(travel)
    figure, panels = pyplot.subplots(1, 2, figsize=(9.0, 4.0), sharey=True)
    for axes, kind in zip(panels, ("means", "change"), strict=True):
        alike = travel["similarity"][kind]
        for number, target in enumerate(tables.TASKS):
            sources = [source for source in tables.TASKS if source != target]
            axes.plot([alike[source][target] for source in sources], [gains[source][target] for source in sources],
                      MARKERS[number], color=COLOURS[number], label=target, alpha=0.8)  # fmt: skip
        axes.axhline(0, color=GREY, linewidth=0.8)
        found = mean(measured["by_seed"]["correlations"][kind])
        axes.set(xlabel=tables.KINDS[kind], title=f"rank correlation {found:.2f}, mean of the seeds")
    panels[0].set_ylabel("points that the source brings")
    panels[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="target")
    figure.suptitle(SIMILARITY_TITLE, fontsize=11)
    return figure


SIMILARITY_TITLE = "The similarity of two early prompts does not tell what one brings to the other"
