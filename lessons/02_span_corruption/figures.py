"""The figures of chapter 02: what is hidden, what adaptation changes, what prompts can do on each base."""

from statistics import mean

from matplotlib import pyplot

LABELS = {"T5": "T5: density 0.15, mean 3", "ours": "ours: density 0.3, mean 2"}
STEPS = {"t5-0.8m-span": "0", "t5-0.8m-step100": "100", "t5-0.8m-step300": "300", "t5-0.8m-step1000": "1,000",
         "t5-0.8m": "2,595"}  # fmt: skip


def draw_masks(measured):
    """Left: lengths of hidden spans, drawn and by the closed form. Right: the hidden share of texts of each length."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.6))
    for number, (name, masks) in enumerate(measured["masks"].items()):
        places = [size + 0.4 * number - 0.2 for size in range(1, len(masks["measured"]) + 1)]
        left.bar(places, [100 * share for share in masks["measured"]], 0.4, label=LABELS[name])
        left.plot(places, [100 * share for share in masks["closed_form"]], "k.", markersize=4)
        lengths, shares, _ = zip(*measured["hidden"][name], strict=True)
        right.plot(lengths, [100 * share for share in shares], label=LABELS[name])
        right.axhline({"T5": 15, "ours": 30}[name], linestyle=":", linewidth=1, color="gray")
    left.plot([], [], "k.", markersize=4, label="closed form")
    left.set(xlabel="tokens in a hidden span", ylabel="share of the spans (%)", xlim=(0.3, 12.7))
    left.set_title("Length of spans")
    right.set(xlabel="tokens in the text", ylabel="hidden tokens (%)", ylim=(0, 55))
    right.set_title("Share hidden: fixed by the length")
    left.legend()
    right.legend()
    return figure


def draw_adaptation(measured):
    """Left: the loss on either objective by steps of adaptation. Right: right answers written, asked in either form."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8))
    places = range(len(STEPS))
    for objective, label, marker in (("span", "span corruption", "o"), ("prefix", "prefix, as in LM adaptation", "s")):
        left.plot(places, [measured["losses"][base][objective] for base in STEPS], f"{marker}-", label=label)
    left.set(ylabel="held-out loss (nats per token)", ylim=(0, 10.9), title="Loss on either objective")
    for question, label, marker in (("hole", '"Topic: <s0>."', "o"), ("beginning", '"Topic:"', "s")):
        values = [[wording["written"] for wording in measured["asked"][base][question]] for base in STEPS]
        middle = [mean(scores) for scores in values]
        below = [centre - min(scores) for centre, scores in zip(middle, values, strict=True)]
        above = [max(scores) - centre for centre, scores in zip(middle, values, strict=True)]
        right.errorbar(places, middle, [below, above], fmt=f"{marker}-", label=f"asked with {label}")
    right.axhline(measured["chance"], linestyle="--", linewidth=1, color="gray", label="blind guess")
    right.set(ylabel="right topic written (%)", ylim=(-2, 75), title="Asked, without any training")
    for axes in (left, right):
        axes.set_xticks(places, STEPS.values())
        axes.set_xlabel("steps of LM adaptation")
        axes.legend(loc="upper left")
    return figure


def draw_prompts(measured):
    """Left: score against adaptation steps. Right: what can be done with a base that knows span corruption only."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8), sharey=True)
    found = {(base, row["method"]): row for base, raced in measured["races"].items() for row in raced["rows"]}
    plain = [found[base, "as it is" if base == "t5-0.8m-span" else "prompt_tuning"] for base in STEPS]
    left.errorbar(range(len(STEPS)), [row["mean"] for row in plain], [row["interval"] for row in plain], fmt="o-")
    left.set_xticks(range(len(STEPS)), STEPS.values())
    left.set(xlabel="steps of LM adaptation", ylabel="test score (%), mean and 95% interval", ylim=(0, 100))
    left.set_title("The same prompt tuning on five bases")
    bars = {
        "plain\nanswers": ("t5-0.8m-span", "as it is"),
        "sentinel before\nthe answer": ("t5-0.8m-span", "sentinel"),
        "and a hole in\nthe source": ("t5-0.8m-span", "blank"),
        "LM-adapted,\nplain answers": ("t5-0.8m", "prompt_tuning"),
    }
    for place, key in enumerate(bars.values()):
        colour = "C1" if key[0] == "t5-0.8m" else "C0"
        right.bar(place, found[key]["mean"], 0.6, yerr=found[key]["interval"], color=colour)
    right.set_xticks(range(len(bars)), bars, fontsize=8)
    right.set_title("Span corruption only, three ways, and adapted")
    for axes in (left, right):
        axes.axhline(measured["chance"], linestyle="--", linewidth=1, color="gray")
    left.annotate("blind guess", (0.01, 10.5), xycoords=("axes fraction", "data"), fontsize=8, color="dimgray")
    return figure
