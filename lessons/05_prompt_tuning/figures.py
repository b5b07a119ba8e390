"""The figures of chapter 05: where the prompt stands, what it scores by size of the base, by length and by start."""

from matplotlib import pyplot

from minipeft.course.experiment import by_row

BASE, TASK = "t5-0.8m", "topic"
PAPER_MILLIONS = (77, 248, 783, 2850, 11135)  # T5 v1.1 Small to XXL, and SuperGLUE dev of Vu et al. 2021, table 4
PAPER = {
    "full tuning": (62.8, 73.7, 81.3, 83.1, 89.9),
    "prompt tuning": (59.8, 63.1, 74.5, 79.2, 88.8),
    "hard prompt (GPT-3)": (40.6, 43.4, 45.1, 47.8, 52.8),
}
SLICES = {  # what the base computes in full lines, what no pretraining text has in dashed ones
    "plain": ("#2563eb", "o-"),
    "contrast": ("#0d9488", "s-"),
    "negation": ("#7c3aed", "^-"),
    "both": ("#ca8a04", "o--"),
    "unseen": ("#ea580c", "s--"),
    "nested": ("#dc2626", "^--"),
}
COLOURS = {"full tuning": "#333333", "prompt tuning": "#c2410c", "hard prompt": "#2563eb"}


def draw_picture(_):
    """What stands where: prompt and text in the encoder, mask and cross-attention, decoder."""
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    axes.set(xlim=(0, 14), ylim=(0, 7.2))
    axes.axis("off")

    def box(x, y, text, colour, width=0.9, height=0.8, ink="black"):
        axes.add_patch(pyplot.Rectangle((x, y), width, height, facecolor=colour, edgecolor="#555555", linewidth=0.8))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=ink)

    words = ["Ida", "liked", "the", "map", "pad"]
    for i in range(3):
        box(0.3 + i, 1.2, f"p{i + 1}", "#fdba74")
        box(0.3 + i, 0.2, "1", "#fed7aa")
        box(0.3 + i, 4.9, "", "#fdba74", height=0.6)
    for i, word in enumerate(words):
        box(3.3 + i, 1.2, word, "#dbeafe" if word != "pad" else "#eeeeee")
        box(3.3 + i, 0.2, "1" if word != "pad" else "0", "#eff6ff" if word != "pad" else "#eeeeee")
        box(3.3 + i, 4.9, "", "#dbeafe" if word != "pad" else "#eeeeee", height=0.6)
    box(0.3, 2.9, "encoder (frozen)", "#e5e7eb", width=7.9, height=1.1)
    box(10.0, 2.9, "decoder (frozen)", "#e5e7eb", width=3.4, height=1.1)
    box(10.0, 1.2, "<start>", "#dcfce7", width=1.6)
    box(11.8, 1.2, "travel", "#dcfce7", width=1.6)
    box(10.0, 4.9, "travel", "#dcfce7", width=1.6, height=0.8)
    box(11.8, 4.9, "</s>", "#dcfce7", width=1.6, height=0.8)
    arrow = {"arrowstyle": "->", "color": "#555555"}
    for x, low, high in ((4.2, 2.05, 2.9), (4.2, 4.0, 4.9), (11.7, 2.05, 2.9), (11.7, 4.0, 4.9)):
        axes.annotate("", (x, high), (x, low), arrowprops=arrow)
    axes.annotate("", (9.95, 3.45), (8.25, 5.2), arrowprops={**arrow, "connectionstyle": "arc3,rad=-0.25"})
    axes.plot([8.9, 8.9], [5.1, 6.0], color="#999999", linewidth=0.8, linestyle=":")
    axes.text(
        9.0, 6.05, "cross-attention reads all 8 places,\nwith the same mask", fontsize=8.5, ha="center", va="bottom"
    )
    axes.text(1.75, 5.75, "trained prompt", fontsize=9, ha="center", color="#c2410c")
    axes.text(5.0, 5.75, "embedded text", fontsize=9, ha="center", color="#1d4ed8")
    axes.text(8.5, 0.6, "mask", fontsize=9, va="center")
    return figure


def draw_ladder(measured):
    """Scores by size: the paper's sizes and ours, on two tasks."""
    figure, (theirs, *ours) = pyplot.subplots(1, 3, figsize=(9, 3.3), sharey=True)
    for name, scores in PAPER.items():
        theirs.plot(PAPER_MILLIONS, scores, "o-", color=COLOURS[name.removesuffix(" (GPT-3)")], label=name)
    theirs.set(xscale="log", title="T5 v1.1, SuperGLUE dev", xlabel="million parameters", ylabel="score", ylim=(0, 103))
    theirs.set_xticks(PAPER_MILLIONS, [f"{millions:,}" for millions in PAPER_MILLIONS], fontsize=8)
    theirs.legend(loc="lower right", fontsize=8)
    for axes, (task, by_size) in zip(ours, measured["races"]["sizes"].items(), strict=True):
        races = [by_row(race) for race in by_size.values()]
        millions = [race["full"]["trained"] / 1e6 for race in races]
        for name, key in (("full tuning", "full"), ("prompt tuning", "prompt_tuning")):
            means, halves = zip(*((race[key]["mean"], race[key]["interval"] or 0) for race in races), strict=True)
            axes.errorbar(millions, means, halves, fmt="o-", color=COLOURS[name], capsize=3)
        if task == TASK:
            ranked = [measured["bases"][size]["ranked"] for size in by_size]
            axes.plot(millions, ranked, "o-", color=COLOURS["hard prompt"])
        chance = next(iter(by_size.values()))["chance"]
        axes.axhline(chance, color="#999999", linestyle=":", linewidth=1)
        axes.text(millions[0], chance + 1.5, "blind guess", fontsize=8, color="#777777")
        axes.set(xscale="log", title=f"ours, {task}, test", xlabel="million parameters")
        axes.set_xticks(millions, [f"{count:.1f}" for count in millions])
    for axes in (theirs, *ours):
        axes.minorticks_off()
        axes.grid(axis="y", alpha=0.3)
    return figure


def draw_slices(measured):
    """What prompt and full tuning reach on each sort of sentence of `sentiment`, by size."""
    figure, both = pyplot.subplots(1, 2, figsize=(9, 3.3), sharey=True)
    by_size = measured["races"]["sizes"]["sentiment"]
    for axes, (name, key) in zip(both, (("prompt tuning", "prompt_tuning"), ("full tuning", "full")), strict=True):
        rows = [by_row(race)[key] for race in by_size.values()]
        millions = [by_row(race)["full"]["trained"] / 1e6 for race in by_size.values()]
        for part, (colour, mark) in SLICES.items():
            axes.plot(millions, [row["slices"][part] for row in rows], mark, color=colour, label=part)
        axes.axhline(50, color="#999999", linestyle=":", linewidth=1)
        axes.set(xscale="log", title=name, xlabel="million parameters", ylim=(0, 103))
        axes.set_xticks(millions, [f"{count:.1f}" for count in millions])
        axes.minorticks_off()
        axes.grid(axis="y", alpha=0.3)
    both[0].set_ylabel("accuracy on the slice, %")
    both[1].legend(loc="lower right", fontsize=8, title="sentiment: slice", title_fontsize=8)
    return figure


def draw_ablations(measured):
    """Length and start, each with 95% intervals, on one scale."""
    sizes, starts = measured["races"]["sizes"][TASK], by_row(measured["races"]["starts"])
    base, lengths = by_row(sizes[BASE])["prompt_tuning"], by_row(measured["races"]["lengths"])
    panels = {
        "vectors": (list(measured["memory"]), [lengths.get(f"length {n}", base) for n in measured["memory"]]),
        "start": (["uniform", "frequent\ntokens", "class\nlabels"], [starts["uniform"], base, starts["labels"]]),
    }
    figure, both = pyplot.subplots(1, 2, figsize=(7, 2.9), sharey=True, width_ratios=[4, 3])
    for axes, (title, (names, rows)) in zip(both, panels.items(), strict=True):
        means, halves = [row["mean"] for row in rows], [row["interval"] or 0 for row in rows]
        axes.errorbar(range(len(names)), means, halves, fmt="o", color=COLOURS["prompt tuning"])
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel=title, ylim=(0, 100), xlim=(-0.5, len(names) - 0.5))
        axes.axhline(sizes[BASE]["chance"], color="#999999", linestyle=":", linewidth=1)
        axes.grid(axis="y", alpha=0.3)
    both[0].set_ylabel(f"accuracy on {TASK}, %")
    return figure
