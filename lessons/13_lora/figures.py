"""The figures of chapter 13: the idea, the score by rank, what a step costs."""

from statistics import mean

from matplotlib import pyplot

from minipeft.course.experiment import by_row
from minipeft.racing.table import interval


def draw_idea(_):
    """A large frozen square beside two thin trained strips, to scale for 72 x 72 and rank 8."""
    figure, axes = pyplot.subplots(figsize=(7, 3.3))
    axes.set_axis_off()
    boxes = [(0, 0, 72, 72, "0.85", "W\n72 x 72\nfrozen"), (150, 0, 8, 72, "tab:orange", ""),
             (190, 32, 72, 8, "tab:blue", "")]  # fmt: skip
    for x, y, width, height, colour, text in boxes:
        axes.add_patch(pyplot.Rectangle((x, y), width, height, facecolor=colour, edgecolor="0.3"))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=11)
    axes.text(36, 80, "5,184 numbers", ha="center", fontsize=10, color="0.3")
    axes.text(111, 36, "+  alpha / rank  x", ha="center", va="center", fontsize=12)
    axes.text(154, 80, "B: 72 x 8", ha="center", fontsize=11, color="tab:orange")
    axes.text(154, -8, "576 numbers,\nstart at 0", ha="center", va="top", fontsize=9, color="0.3")
    axes.text(226, 48, "A: 8 x 72", ha="center", fontsize=11, color="tab:blue")
    axes.text(226, 24, "576 numbers,\nstart at random", ha="center", va="top", fontsize=9, color="0.3")
    axes.text(174, 36, "x", ha="center", va="center", fontsize=13)
    axes.set_xlim(-4, 268)
    axes.set_ylim(-26, 90)
    axes.set_aspect("equal")
    return figure


def draw_ranks(measured):
    """Score by rank: LoRA trained at that rank, full tuning's update cut to it; full tuning as a band."""
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    rows, cuts = by_row(measured["race"]), measured["cut"]
    ranks = [rank for rank in cuts["ranks"] if rank]  # 0 has no place on a logarithmic scale
    full = rows["full"]
    axes.axhspan(full["mean"] - (full["interval"] or 0), full["mean"] + (full["interval"] or 0), color="0.88")
    axes.axhline(full["mean"], color="0.5", linewidth=1, label="full tuning")
    trained = [rows[f"rank {rank}"] for rank in ranks if f"rank {rank}" in rows]
    axes.errorbar([0.97 * rank for rank in ranks[: len(trained)]], [row["mean"] for row in trained],
                  [row["interval"] or 0 for row in trained], fmt="o-", label="LoRA of this rank")  # fmt: skip
    for key, style, label in (("with_the_rest", "s--", "full tuning's update, cut to this rank"),
                              ("scores", "^:", "the same, embeddings, norms and head as before")):  # fmt: skip
        scores = [cuts[key][str(rank)] for rank in ranks]
        axes.errorbar([1.03 * rank for rank in ranks], list(map(mean, scores)), list(map(interval, scores)),
                      fmt=style, label=label)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, map(str, ranks))
    axes.set_xlabel("rank")
    axes.set_ylabel("test accuracy on topic (%)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    return figure


def draw_costs(measured):
    """Bytes and milliseconds of a training step, full tuning beside LoRA, part by part."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7, 3.6))
    names = {"full": "full", "lora": "LoRA", "lora q, v": "LoRA\nq and v"}
    bytes_of = {name: measured["counts"][name]["memory"] for name in names}
    milliseconds = {name: {part: mean(measured["steps"][name][part]) for part in ("forward", "backward", "optimizer")}
                    for name in names}  # fmt: skip
    for axes, title, content, scale in ((left, "memory, MB", bytes_of, 1e6), (right, "time, ms", milliseconds, 1)):
        bottom = [0.0] * len(names)
        colours = ("0.75", "tab:orange", "tab:red", "tab:blue") if scale > 1 else ("0.75", "tab:orange", "tab:red")
        for part, colour in zip(content["full"], colours, strict=True):
            heights = [content[name][part] / scale for name in names]
            axes.bar(list(names.values()), heights, bottom=bottom, color=colour, label=part, width=0.6)
            bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
        axes.set_title(title)
        axes.set_ylim(0, 1.45 * max(bottom))
        axes.legend(ncols=2, loc="upper center")
    return figure
