"""The figures of chapter 04: a threshold in the wrong place, what eighty wordings score, what demonstrations do."""

from statistics import mean

from matplotlib import pyplot

from minipeft.course.chapters import beside

tables = beside(__file__, "tables.py")
# Okabe and Ito's colours, which can be told apart without seeing red or green.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "0.55"
LINES = {"0": ("as it is", "black", "-"), "nothing": ('mean of "N/A", "[MASK]", ""', ORANGE, "--"),
         "dev": ("mean of unlabelled texts", GREEN, "-.")}  # fmt: skip
WORDS_DECIDE = "On topics the words around a text decide nearly everything; calibration wins much of it back"
NO_HELP = "Solved examples before the text do not help, and it hardly matters whether their answers are true"
CHANCE = {"sentiment": 50, "topic": 10}


def draw_threshold(measured):
    """For each review how much better the first word scores than the second, and three places to cut."""
    found = measured["clouds"]
    task, base, template, name = tables.experiment.CLOUDS
    margins, labels = found["margins"], found["labels"]
    figure, axes = pyplot.subplots(figsize=(8.2, 3.4))
    for row, (label, colour) in enumerate(zip(found["order"], (BLUE, ORANGE), strict=True)):
        own = [place for place, true in enumerate(labels) if true == label]
        heights = {place: row + 0.5 * ((n * 0.618) % 1 - 0.5) for n, place in enumerate(own)}  # so that none hides
        for read in (True, False):
            shown = [place for place in own if (found["slices"][place] in tables.READ) == read]
            axes.scatter([margins["test"][place] for place in shown], [heights[place] for place in shown], s=20,
                         facecolor=colour if read else "none", edgecolor=colour, linewidths=1.1)  # fmt: skip
    cuts = {"0": 0.0, "nothing": mean(margins["nothing"]), "dev": mean(margins["dev"])}
    for key, (told, colour, style) in LINES.items():
        right = [(margin > cuts[key]) == (true == found["order"][0])
                 for margin, true in zip(margins["test"], labels, strict=True)]  # fmt: skip
        axes.axvline(cuts[key], color=colour, linestyle=style, linewidth=1.8,
                     label=f"{told}: {100 * mean(right):.0f}% right")  # fmt: skip
    for told, colour in (("a form that pretraining has", GREY), ("a new form", "none")):
        axes.scatter([], [], s=20, facecolor=colour, edgecolor=GREY, label=told)
    axes.set_yticks([0, 1], [f"{label} reviews" for label in found["order"]])
    axes.set(ylim=(-0.6, 1.6), xlabel=f'score of "{name.split()[0]}" minus score of "{name.split()[1]}" (nats)')
    axes.set_title("The scores part the reviews better than the answers say: the cut stands in the wrong place")
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncol=3)
    figure.set_layout_engine("constrained")
    figure.get_layout_engine().set(rect=(0, 0.13, 1, 0.87))
    return figure


def draw_wordings(measured):
    """Every wording's mean score, as it is and calibrated with unlabelled texts, for both tasks and every base."""
    tasks, bases = list(measured["labels"]), list(measured["wordings"])
    figure, panels = pyplot.subplots(1, 2, figsize=(8.6, 4.0), sharey=True)
    for axes, task in zip(panels, tasks, strict=True):
        for place, base in enumerate(bases):
            for side, (way, colour) in enumerate((("as it is", BLUE), ("unlabelled", GREEN))):
                scores = [mean(values) for values in tables.percents(measured["wordings"][base][task], way).values()]
                middle = place + (side - 0.5) * 0.4
                spots = [middle + 0.26 * ((number * 0.618) % 1 - 0.5) for number in range(len(scores))]
                axes.scatter(spots, scores, s=8, color=colour, alpha=0.7, linewidths=0)
                axes.plot([middle - 0.17, middle + 0.17], [mean(scores)] * 2, color="black", linewidth=1.6)
            chosen = mean(measured["wordings"][base][task]["chosen"]["best calibrated"]["scores"])
            axes.plot(place + 0.2, chosen, marker="D", color=ORANGE, markeredgecolor="black", markersize=5.5)
        axes.axhline(CHANCE[task], color=GREY, linestyle=":", linewidth=1.2)
        axes.set_xticks(range(len(bases)), bases)
        axes.set(ylim=(0, 100), title=task)
    panels[0].set_ylabel("accuracy (%)")
    for told, colour in (("a wording, as it is", BLUE), ("the same, calibrated with unlabelled texts", GREEN)):
        panels[0].scatter([], [], s=16, color=colour, label=told)
    panels[0].plot([], [], color="black", label="mean of all")
    panels[0].plot([], [], "D", color=ORANGE, markeredgecolor="black", label="chosen on dev")
    panels[0].plot([], [], ":", color=GREY, label="a blind guess")
    figure.suptitle(WORDS_DECIDE, fontsize=11)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncol=3)
    figure.set_layout_engine("constrained")
    figure.get_layout_engine().set(rect=(0, 0.13, 1, 0.87))
    return figure


def draw_demonstrations(measured):
    """The score behind 0, 1, 4 and 8 demonstrations, with true and with wrong answers."""
    tasks, bases = list(measured["labels"]), list(measured["demonstrations"])
    figure, panels = pyplot.subplots(1, 2, figsize=(8.6, 3.8), sharey=True)
    colours = (GREY, BLUE, GREEN, ORANGE, "#CC79A7", "#56B4E9")
    counts = (0, *tables.experiment.SHOTS)
    for axes, task in zip(panels, tasks, strict=True):
        for base, colour in zip(bases, colours, strict=False):
            found = measured["demonstrations"][base][task]
            for answers, style in (("true", "o-"), ("wrong", "x--")):
                rows = [f"{n} {answers}" if n else "0 true" for n in counts]
                scores = [mean(found[row]["as it is"]) for row in rows if row in found]
                label = base if answers == "true" else None
                axes.plot(range(len(scores)), scores, style, color=colour, linewidth=1.4, label=label)
        axes.axhline(CHANCE[task], color=GREY, linestyle=":", linewidth=1.2)
        axes.set_xticks(range(len(counts)), counts)
        axes.set(xlabel="demonstrations", title=task, ylim=(0, 100))
    panels[0].set_ylabel("accuracy (%)")
    panels[0].plot([], [], "o-", color="black", label="true answers")
    panels[0].plot([], [], "x--", color="black", label="wrong answers")
    panels[0].plot([], [], ":", color=GREY, label="a blind guess")
    figure.suptitle(NO_HELP, fontsize=11)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncol=4)
    figure.set_layout_engine("constrained")
    figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))
    return figure
