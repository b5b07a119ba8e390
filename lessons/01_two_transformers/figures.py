"""The figures of chapter 01: the seams where methods act, what the parts hold and cost, and what a cache saves."""

from matplotlib import pyplot

from minipeft.course.chapters import beside

tables = beside(__file__, "tables.py")
# Okabe and Ito's colours, which can be told apart without seeing red or green.
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9"
INK, PALE = "0.25", "0.93"
FAMILIES = {"prompts": ORANGE, "adapters": GREEN, "low rank and scales": SKY, "the weights themselves": PURPLE}
SHOWN = {"vocabulary": ("embedding and head", BLUE), "matrices": ("attention: matrices", ORANGE),
         "scores": ("attention: scores and mixing", YELLOW), "feed-forward": ("feed-forward", GREEN),
         "norms": ("norms", PURPLE), "other": ("positions, masks, sums, loss", "0.75")}  # fmt: skip
BARS = {"parameters": "parameters", "forward": "multiplications", "forward_time": "time, 32 texts",
        "step_time": "time, token by token"}  # fmt: skip


def box(axes, x, y, width, height, text, colour=PALE, size=8.5):
    axes.add_patch(pyplot.Rectangle((x, y), width, height, facecolor=colour, edgecolor=INK, linewidth=0.9))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size, color="black")


def arrow(axes, start, end):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0,
                                              "shrinkB": 0, "mutation_scale": 8})  # fmt: skip


def seam(axes, x, y, chapters, family, ha="center"):
    """A mark with the numbers of the chapters that act at a place."""
    mark = {"boxstyle": "round,pad=0.22", "facecolor": FAMILIES[family], "edgecolor": INK, "linewidth": 0.7}
    axes.text(x, y, chapters, ha=ha, va="center", fontsize=8, fontweight="bold", color="black", zorder=5, bbox=mark)


def caption(axes, x, y, text, ha="center"):
    axes.text(x, y, text, ha=ha, va="center", fontsize=7.5, style="italic", color="black")


def draw_seams(_):
    """One layer, and the two models that are made of such layers; each mark names the chapters that act there."""
    figure, axes = pyplot.subplots(figsize=(8.6, 6.9))
    axes.set_axis_off()
    whole_models(axes)
    one_attention(axes, 36)
    one_feed_forward(axes, 8)
    for x, (family, colour) in zip((2, 21, 41, 70), FAMILIES.items(), strict=True):
        axes.add_patch(pyplot.Rectangle((x, -5.2), 3, 2.4, facecolor=colour, edgecolor=INK, linewidth=0.7))
        axes.text(x + 4, -4, family, va="center", fontsize=8.5)
    axes.set_xlim(0, 104)
    axes.set_ylim(-6, 84)
    return figure


def whole_models(axes):
    """T5 and GPT-2 from words to words, on top."""
    axes.text(2, 81, "T5", fontsize=11, fontweight="bold", va="center")
    inside = {
        2: "encoder: layers of\nattention and\nfeed-forward",
        46: "decoder: the same, and\nattention to the source",
    }
    for x, text in inside.items():
        box(axes, x, 68, 10, 7, "embedding")
        box(axes, x + 16, 67, 22, 9, text)
        arrow(axes, (x + 10, 71.5), (x + 16, 71.5))
    look = {
        "arrowstyle": "-|>",
        "color": INK,
        "linewidth": 0.9,
        "connectionstyle": "arc3,rad=-0.12",
        "mutation_scale": 8,
    }
    axes.annotate("", (73, 76), (29, 76), arrowprops=look)
    caption(axes, 51, 80.6, "what the encoder has made of the source")
    box(axes, 90, 68, 9, 7, "head")
    arrow(axes, (84, 71.5), (90, 71.5))
    seam(axes, 2.2, 64.8, "4  words", "prompts", ha="left")
    seam(axes, 14, 64.8, "5 7 8  vectors", "prompts", ha="left")
    seam(axes, 73, 64.8, "3  all of it, or the top layers", "the weights themselves")
    seam(axes, 94.5, 64.8, "3 7", "the weights themselves")
    axes.text(2, 59.8, "GPT-2", fontsize=11, fontweight="bold", va="center")
    told = "one stack of attention and feed-forward layers, without a gate, reads the source and goes on writing"
    axes.text(12.5, 59.8, told, fontsize=8, va="center")
    axes.plot((0, 104), (56.6, 56.6), color="0.6", linewidth=0.8)


def residual(axes, y, top):
    """The line past a sublayer whose middle is at height y, its norm, and the sum behind it."""
    axes.plot((4, 98.6), (top, top), color=INK, linewidth=1.4)
    axes.text(99.6, top, "+", fontsize=13, va="center", ha="center")
    box(axes, 2, y - 3.5, 8, 7, "norm")
    arrow(axes, (6, top), (6, y + 3.5))
    seam(axes, 6, y - 6, "3", "the weights themselves")
    axes.plot((81, 99.6), (y, y), color=INK, linewidth=0.9)
    arrow(axes, (99.6, y), (99.6, top - 1.4))
    seam(axes, 90, y, "9 10 11", "adapters")
    caption(axes, 90, y - 3.2, "behind, or beside")


def one_attention(axes, y):
    """A sublayer of attention: norm, project, attend, output, add."""
    axes.text(2, y + 17.4, "a layer of attention", fontsize=10, fontweight="bold", va="center")
    residual(axes, y, y + 12.8)
    for number, name in enumerate(("query", "key", "value")):
        middle = y + 6.5 - 6.5 * number
        box(axes, 16, middle - 2.5, 13, 5, f"W  {name}")
        arrow(axes, (10, y), (16, middle))
        arrow(axes, (29, middle), (47, middle))
    box(axes, 47, y - 9, 18, 18, "scores\n+ mask, positions\nsoftmax\nmix the values")
    box(axes, 69, y - 3, 12, 6, "W  output")
    arrow(axes, (65, y), (69, y))
    caption(axes, 38, y + 2.2, "kept in the cache")
    seam(axes, 34, y - 3.2, "6 7", "prompts")
    caption(axes, 41.5, y - 3.2, "more of them")
    seam(axes, 34, y - 11.8, "12", "low rank and scales")
    caption(axes, 40.5, y - 11.8, "scaled")
    seam(axes, 22.5, y - 11.8, "13 to 17", "low rank and scales")
    seam(axes, 56, y - 11.8, "11", "adapters")
    caption(axes, 64, y - 11.8, "in each head")
    seam(axes, 75, y - 5.8, "13 to 17", "low rank and scales")


def one_feed_forward(axes, y):
    """A sublayer of feed-forward: norm, gate and up, activation, down, add."""
    axes.text(2, y + 13, "a feed-forward layer", fontsize=10, fontweight="bold", va="center")
    residual(axes, y, y + 9)
    for number, name in enumerate(("gate", "up")):
        middle = y + 3.25 - 6.5 * number
        box(axes, 16, middle - 2.5, 13, 5, f"W  {name}")
        arrow(axes, (10, y), (16, middle))
        arrow(axes, (29, middle), (47, y + (1.5 if number == 0 else -1.5)))
    box(axes, 47, y - 4, 18, 8, "gelu(gate) * up")
    box(axes, 69, y - 3, 12, 6, "W  down")
    arrow(axes, (65, y), (69, y))
    seam(axes, 22.5, y - 8.6, "13 to 17", "low rank and scales")
    seam(axes, 66.2, y + 5.4, "12", "low rank and scales")
    caption(axes, 72, y + 5.4, "scaled")
    seam(axes, 75, y - 5.8, "13 to 17", "low rank and scales")
    caption(axes, 87, y - 8.6, "13 to 17: a change of W")


def draw_parts(measured):
    """Stacked bars: each part's share of parameters, multiplications and time, in both models."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8.6, 3.6), sharey=True)
    for axes, base in zip(panels, tables.BASES, strict=True):
        found = measured["by_part"][base]
        for row, what in enumerate(BARS):
            shares = tables.shares(found, what)
            shares["other"] = shares["positions"] + shares["rest"]
            left = 0.0
            for part, (_, colour) in SHOWN.items():
                axes.barh(-row, shares[part], 0.72, left, color=colour, edgecolor="white", linewidth=0.6)
                if shares[part] >= 5:
                    ink = "white" if colour in (BLUE, GREEN) else "black"
                    axes.text(left + shares[part] / 2, -row, f"{shares[part]:.0f}", ha="center", va="center",
                              fontsize=8, color=ink)  # fmt: skip
                left += shares[part]
        axes.set(xlim=(0, 100), xlabel="share (%)", title=base)
        axes.set_yticks([-row for row in range(len(BARS))], BARS.values())
    for label, colour in SHOWN.values():
        panels[0].barh(0, 0, color=colour, label=label)
    figure.suptitle("Token by token, the time is not where the parameters are", fontsize=11)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncol=3)
    figure.set_layout_engine("constrained")
    figure.get_layout_engine().set(rect=(0, 0.14, 1, 0.86))
    return figure


def draw_cache(measured):
    """How many times as long an answer takes without a cache, by its length: counted, in a batch, for one text."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8.4, 3.5), sharey=True)
    for axes, base in zip(panels, tables.BASES, strict=True):
        found = measured["writing"][base]
        lengths = [2**power for power in range(8) if 2**power <= len(found["counted"]["cached"])]
        lines = {"multiplications, counted": [found["counted"], "--", "black"]}
        for texts, colour, marker in (("16", BLUE, "o"), ("1", ORANGE, "s")):
            if texts in found:
                clocks = {way: found[texts][way]["median"] for way in ("cached", "uncached")}
                lines[f"time, {texts} text{'s' if texts != '1' else ''}"] = [clocks, f"{marker}-", colour]
        for label, (taken, style, colour) in lines.items():
            ratios = [taken["uncached"][length - 1] / taken["cached"][length - 1] for length in lengths]
            axes.plot(lengths, ratios, style, color=colour, label=label, linewidth=1.3)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(lengths, map(str, lengths))
        axes.set_yticks([2**power for power in range(6)], [str(2**power) for power in range(6)])
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set(xlabel="tokens of the answer", title=base, ylim=(0.8, 40))
    panels[0].set_ylabel("times as much without a cache")
    panels[0].legend(loc="upper left")
    figure.suptitle("A cache saves many multiplications, but less time, and least for a single text", fontsize=11)
    return figure
