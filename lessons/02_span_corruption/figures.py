"""The figures of chapter 02: what is hidden, what adaptation changes, and prompts beside what a base can do."""

from statistics import mean

from matplotlib import pyplot

LABELS = {"T5": "T5: density 0.15, mean 3", "ours": "ours: density 0.3, mean 2"}
TOKENS = {"t5-0.8m-span": "0", "t5-0.8m-lm100e3": "0.1", "t5-0.8m-lm500e3": "0.5", "t5-0.8m-lm2e6": "2",
          "t5-0.8m-lm8e6": "8", "t5-0.8m": "16"}  # fmt: skip
SLICES = {"plain": ("C0", "o"), "contrast": ("C1", "s"), "negation": ("C2", "^")}
SPAN = "t5-0.8m-span"


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
    left.set(xlabel="tokens in a hidden span", ylabel="share of the spans (%)", xlim=(0.3, 12.5))
    left.set_xticks(range(1, 13))
    left.set_title("Short spans are the commonest")
    right.set(xlabel="tokens in the text", ylabel="hidden tokens (%)", ylim=(0, 55))
    right.set_title("The length fixes the share that is hidden")
    left.legend()
    right.legend()
    return figure


def draw_adaptation(measured):
    """Left: right topics written, asked in either form. Right: the skills of each base in its own form."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8))
    places = range(len(TOKENS))
    for question, label, marker in (("hole", '"Topic: <s0>."', "o"), ("beginning", '"Topic:"', "s")):
        values = [measured["asked"][base][question] for base in TOKENS]
        middle = [mean(scores) for scores in values]
        below = [centre - min(scores) for centre, scores in zip(middle, values, strict=True)]
        above = [max(scores) - centre for centre, scores in zip(middle, values, strict=True)]
        left.errorbar(places, middle, [below, above], fmt=f"{marker}-", label=f"asked with {label}")
    left.set(ylabel="right topic written (%)", ylim=(-2, 100), title="Adaptation changes the form of the answer ...")
    for skill, (colour, marker) in SLICES.items():
        values = [measured["skills"][base][own(base)][skill] for base in TOKENS]
        right.plot(places, values, f"{marker}-", color=colour, label=skill)
    right.axhline(50, linestyle="--", linewidth=1, color="gray", label="a coin")
    right.set(ylabel="good told from bad (AUC, %)", ylim=(0, 105), title="... and costs, then adds, what can be told")
    for axes in (left, right):
        axes.set_xticks(places, TOKENS.values())
        axes.set_xlabel("LM adaptation (million tokens)")
    left.legend(loc="upper left")
    right.legend(loc="lower right")
    return figure


def own(base):
    """The objective in whose form a base was pretrained last."""
    return "span" if base == SPAN else "prefix"


def draw_slices(measured):
    """Sentiment by slice: the skill of each base, asked, and its tuned prompt; one picture a slice."""
    figure, pictures = pyplot.subplots(1, 3, figsize=(8.4, 3.6), sharey=True)
    places, races = range(len(TOKENS)), measured["races"]["sentiment"]
    best = {
        base: row_of(races[base], "sentinel" if base == SPAN else "prompt_tuning") for base in TOKENS if base in races
    }
    lora = row_of(races["lora"], "lora")["slices"]
    for axes, (skill, (colour, marker)) in zip(pictures, SLICES.items(), strict=True):
        asked = [measured["skills"][base][own(base)][skill] for base in TOKENS]
        axes.plot(places, asked, f"{marker}:", color="gray", label="the base, asked (AUC)")
        tuned = [[*TOKENS].index(base) for base in best]
        axes.plot(tuned, [row["slices"][skill] for row in best.values()], f"{marker}-", color=colour,
                  label="a tuned prompt (accuracy)")  # fmt: skip
        axes.plot([0], [lora[skill]], "*", color="black", markersize=10, label="LoRA on the first base")
        axes.axhline(50, linestyle="--", linewidth=1, color="silver")
        axes.set_xticks(places, TOKENS.values())
        axes.set(xlabel="LM adaptation (million tokens)", ylim=(0, 105), title=skill)
    pictures[0].set_ylabel("%")
    pictures[1].legend(loc="lower right")
    figure.suptitle("A prompt is as good as its base, sort by sort; LoRA adds what the first base lacks", fontsize=10)
    return figure


def row_of(raced, method):
    return next(row for row in raced["rows"] if row["method"] == method)
