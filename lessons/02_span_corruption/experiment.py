"""What span corruption leaves a base with: the real masks, the losses, what is written untuned, and what can be asked.

    python lessons/02_span_corruption/experiment.py

The bases are those with span corruption only and after 100, 300, 1,000 and all steps of LM adaptation. Each is asked
for the topic of a text in the form of either objective, a hole or a beginning, without training; and prompts are
tuned on each. On the first, answers are also learned behind a sentinel, and behind one with a hole in the source.
"""

import math
import random
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import mean

import torch

import minipeft
from minipeft.course.experiment import main, race
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import evaluate_base, held_out_batches
from minipeft.pretraining.span_corruption import noise_counts, span_mask
from minipeft.racing.sweep import folder_name
from minipeft.racing.table import score_cell
from minipeft.training.batches import encode_answer, encode_source
from minipeft.training.evaluating import evaluate
from minipeft.transformer.batch import Batch, pad

TASK = "topic"
STEPS = {"t5-0.8m-span": 0, "t5-0.8m-step100": 100, "t5-0.8m-step300": 300, "t5-0.8m-step1000": 1000, "t5-0.8m": 2595}
WORDINGS = ("Topic:", "Subject:", "It was all about")  # endings of texts that the bases have read in pretraining
QUESTIONS = {
    "nothing": ["{source}"],
    "hole": [f"{{source}} {words} <X>." for words in WORDINGS],
    "beginning": [f"{{source}} {words}" for words in WORDINGS],
}
FORMS = {"plain": "plain", "sentinel": "behind a sentinel", "hole": "fills a hole in the source"}
PLAIN = "prompt_tuning"
ROWS = {"as it is": "plain", "sentinel": "sentinel", "blank": "hole", PLAIN: "plain"}  # row of a race -> form
RACES = {base: [PLAIN] for base in STEPS} | {
    "t5-0.8m-span": [f"as it is={PLAIN}", f"sentinel={PLAIN}:sentinel=true", "blank=ppt"]  # ppt: not pre-trained here
}
SETTINGS = {"T5": (0.15, 3.0), "ours": (0.3, 2.0)}  # noise density, mean length of a span
HISTOGRAM = {"length": 512, "draws": 1000}


def runs(args) -> dict:
    limit = 100 if args.quick else None
    return {
        "masks": {name: span_lengths(args.seeds, *setting, **HISTOGRAM) for name, setting in SETTINGS.items()},
        "hidden": {name: hidden_fractions(*setting) for name, setting in SETTINGS.items()},
        "losses": {base: losses(base) for base in STEPS},
        "untuned": {base: untuned(base, limit) for base in STEPS},
        "costs": {base: answer_costs(base, limit) for base in STEPS},
        "asked": {
            base: {
                question: [asked(base, template, limit) for template in templates]
                for question, templates in QUESTIONS.items()
            }
            for base in STEPS
        },
        "chance": minipeft.load_task(TASK).chance,
        "races": {base: prompts(base, entries, args) for base, entries in RACES.items()},
    }


def span_lengths(seeds: int, noise_density: float, mean_span: float, length: int, draws: int) -> dict:
    """How long the hidden spans of `draws` masks for each seed are, as shares, and what the closed form says."""
    counts, fractions = Counter(), set()
    for seed in range(seeds):
        rng = random.Random(seed)
        for _ in range(draws):
            mask = span_mask(length, rng, noise_density, mean_span)
            fractions.add(sum(mask) / length)
            counts.update(sum(1 for _ in run) for hidden, run in groupby(mask) if hidden)
    hidden, spans = noise_counts(length, noise_density, mean_span)
    longest = 15
    return {
        "draws": seeds * draws,
        "hidden": hidden,
        "spans": spans,
        "fractions": sorted(fractions),
        "measured": [counts[size] / counts.total() for size in range(1, longest + 1)],
        "closed_form": [span_probability(size, hidden, spans) for size in range(1, longest + 1)],
    }


def span_probability(size: int, hidden: int, spans: int) -> float:
    """P(a span has `size` tokens): the ways to cut the rest into spans - 1 parts, of all ways to cut into spans."""
    return math.comb(hidden - size - 1, spans - 2) / math.comb(hidden - 1, spans - 1)


def hidden_fractions(noise_density: float, mean_span: float) -> list[list[float]]:
    """For texts of 2 to 100 tokens: length, share of hidden tokens and number of spans of a real mask."""
    rows = []
    for length in range(2, 101):
        mask = span_mask(length, random.Random(length), noise_density, mean_span)
        rows.append([length, sum(mask) / length, sum(hidden for hidden, _ in groupby(mask))])
    return rows


def losses(base: str) -> dict[str, float]:
    """Held-out loss of a base on both objectives, in nats per target token."""
    model = minipeft.load(base)
    return {objective: evaluate_base(model, batches(objective))["loss"] for objective in ("span", "prefix")}


@cache
def batches(objective: str) -> list[Batch]:
    return held_out_batches(TextStream(objective=objective))


def untuned(base: str, limit: int | None) -> dict:
    """What a base writes for the sources of the task's test split, with nothing trained and nothing asked."""
    model, task = minipeft.load(base), minipeft.load_task(TASK)
    sentinels = {model.tokenizer.sentinel(index) for index in range(100)}
    first, labels, texts = 0, 0, []
    examples = task.test[:limit]
    for start in range(0, len(examples), 100):
        sources = [encode_source(model, example.source) for example in examples[start : start + 100]]
        for row in model.generate(Batch(*pad(sources)), 16):
            first += row[:1] != [] and row[0] in sentinels
            labels += model.tokenizer.decode(row) in task.labels
            texts.append(model.tokenizer.backend.decode(row, skip_special_tokens=False).strip())
    count = len(examples)
    return {"sentinel_first": 100 * first / count, "labels": 100 * labels / count, "texts": texts[:3],
            "sources": [example.source for example in examples[:3]]}  # fmt: skip


@torch.no_grad()
def answer_costs(base: str, limit: int | None) -> dict[str, dict[str, float]]:
    """Nats that an untrained base needs for the right answer, by how it is asked for and written, and for what part.

    opening: the sentinel before the answer. words: the answer itself. end: end-of-sequence behind it.
    """
    model, examples = minipeft.load(base), minipeft.load_task(TASK).test[:limit]
    first, eos = [model.tokenizer.sentinel(0)], model.tokenizer.eos
    costs = {}
    for form, (hole, opening) in {"plain": ([], []), "sentinel": ([], first), "hole": (first, first)}.items():
        totals = Counter()
        for start in range(0, len(examples), 100):
            part = examples[start : start + 100]
            sources = [[*model.tokenizer.encode(example.source), *hole, eos] for example in part]
            targets = [[*opening, *model.tokenizer.encode(example.target), eos] for example in part]
            batch = Batch(*pad(sources), *pad(targets))
            scores = model(batch).log_softmax(-1).gather(2, batch.target[:, :, None])[:, :, 0]  # (batch, target_length)
            for row, target in zip((-scores).tolist(), targets, strict=True):
                totals["opening"] += sum(row[: len(opening)])
                totals["words"] += sum(row[len(opening) : len(target) - 1])
                totals["end"] += row[len(target) - 1]
        costs[form] = {name: total / len(examples) for name, total in totals.items()}
    return costs


@torch.no_grad()
def asked(base: str, template: str, limit: int | None) -> dict[str, float]:
    """The score of an untrained base that is asked with this template, in percent.

    chosen: the likeliest of the labels is the right one. written: what it writes begins with the right one. label: what
    it writes begins with any of them.
    """
    model, task = minipeft.load(base), minipeft.load_task(TASK)
    HardPrompt(template=template).attach(model)
    chosen = evaluate(model, task, "test", limit=limit)["score"]
    examples, right, legal = task.test[:limit], 0, 0
    labels = {label: encode_answer(model, label)[:-1] for label in task.labels}  # without end-of-sequence
    for start in range(0, len(examples), 100):
        part = examples[start : start + 100]
        rows = model.generate(Batch(*pad([encode_source(model, example.source) for example in part])), 4)
        for example, row in zip(part, rows, strict=True):
            begun = [label for label, ids in labels.items() if row[: len(ids)] == ids]
            right, legal = right + (example.target in begun), legal + bool(begun)
    return {"chosen": chosen, "written": 100 * right / len(examples), "label": 100 * legal / len(examples)}


def prompts(base: str, entries: list[str], args) -> dict:
    """Prompts tuned on a base: answers chosen, and by the same prompts once more, answers written."""
    result = race(base, entries, base, TASK, args, steps=300)
    for row in result["rows"]:
        folders = [Path(args.out) / base / "runs" / f"{folder_name(row['method'])}-seed{n}" for n in range(args.seeds)]
        row["written"] = [written(base, folder, 100 if args.quick else None) for folder in folders]
    return result


def written(base: str, folder: Path, limit: int | None) -> dict[str, float]:
    """A finished run's prompt with the answer written, not chosen: score, and share of answers that are a label."""
    model, task = minipeft.load(base), replace(minipeft.load_task(TASK), metric="exact_match")
    minipeft.load_adapter(folder / "adapter.pt", model)
    outcome = evaluate(model, task, "test", limit=limit, predictions=True)
    return {"score": outcome["score"], "label": 100 * mean(text in task.labels for text in outcome["predictions"])}


def summary(measured: dict) -> tuple[dict, dict]:
    tables, numbers = {}, {}
    columns = ["base", "adaptation steps", "loss, spans", "loss, prefix", "untuned: sentinel first"]
    tables["bases"] = {"columns": columns, "rows": []}
    columns = ["base", "a hole: chosen", "written", "a beginning: chosen", "written"]
    tables["asked"] = {"columns": columns, "rows": []}
    for base, steps in STEPS.items():
        loss, text, answers = (measured[what][base] for what in ("losses", "untuned", "asked"))
        cells = [f"{loss['span']:.2f}", f"{loss['prefix']:.2f}", f"{text['sentinel_first']:.0f}%"]
        tables["bases"]["rows"].append([f"`{base}`", f"{steps:,}", *cells])
        name = base.removeprefix("t5-0.8m").strip("-") or "adapted"
        numbers |= {f"{name}_loss_{objective}": value for objective, value in loss.items()}
        numbers |= {f"{name}_sentinel_first": text["sentinel_first"]}
        scores = {}
        for question, wordings in answers.items():
            for kind in ("chosen", "written", "label"):
                values = [wording[kind] for wording in wordings]
                scores[question, kind] = f"{mean(values):.1f} ({min(values):.1f}-{max(values):.1f})"
                numbers[f"{name}_{question}_{kind}"] = mean(values)
        shown = [scores[question, kind] for question in ("hole", "beginning") for kind in ("chosen", "written")]
        tables["asked"]["rows"].append([f"`{base}`", *shown])
    tables["costs"] = {"columns": ["base", "answer", "sentinel", "words", "end", "together"], "rows": []}
    for base, name in (("t5-0.8m-span", "span"), ("t5-0.8m", "adapted")):
        for form, parts in measured["costs"][base].items():
            nats = [parts["opening"], parts["words"], parts["end"], sum(parts.values())]
            told = ["-" if form == "plain" and not number else f"{value:.1f}" for number, value in enumerate(nats)]
            tables["costs"]["rows"].append([f"`{base}`", FORMS[form], *told])
            names = [f"{name}_{form}_{part}" for part in ("opening", "words", "end", "cost")]
            numbers |= dict(zip(names, nats, strict=True))
    columns = ["base", "answer", "chosen", "written", "labels written", "best rate"]
    tables["prompts"] = {"columns": columns, "rows": []}
    for base in STEPS:
        result = measured["races"][base]
        for row in result["rows"]:
            form, rate = ROWS[row["method"]], result["learning_rates"][row["method"]]
            scores, labels = (mean(text[kind] for text in row["written"]) for kind in ("score", "label"))
            told = [score_cell(row), f"{scores:.1f}", f"{labels:.0f}%", f"{rate:g}" if rate else "-"]
            tables["prompts"]["rows"].append([f"`{base}`", FORMS[form], *told])
            name = f"{base.removeprefix('t5-0.8m').strip('-') or 'adapted'}_{form}_prompt"
            numbers |= {"trained": row["trained"], "parameters": 100 * row["trained"] / row["percent"]}
            numbers |= {name: row["mean"], f"{name}_written": scores, f"{name}_interval": row["interval"] or 0.0}
    numbers |= {f"steps_of_{base}": steps for base, steps in STEPS.items()}
    for name, masks in measured["masks"].items():
        difference = max(abs(a - b) for a, b in zip(masks["measured"], masks["closed_form"], strict=True))
        numbers |= {f"{name}_hidden": masks["hidden"], f"{name}_spans": masks["spans"], f"{name}_draws": masks["draws"]}
        numbers |= {f"{name}_fractions": len(masks["fractions"]), f"{name}_single": 100 * masks["measured"][0]}
        numbers |= {f"{name}_difference": 100 * difference, f"{name}_longer": 100 * (1 - sum(masks["measured"][:5]))}
    return tables, numbers


def figures(results: dict, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    draw_masks(pyplot, results["runs"], folder / "masks.png")
    draw_adaptation(pyplot, results["runs"], folder / "adaptation.png")
    draw_prompts(pyplot, results["runs"], folder / "prompts.png")


def draw_masks(pyplot, measured: dict, file: Path) -> None:
    """Left: lengths of hidden spans, drawn and by the closed form. Right: the hidden share of texts of each length."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.6), dpi=150, facecolor="white")
    for number, (name, masks) in enumerate(measured["masks"].items()):
        sizes = range(1, len(masks["measured"]) + 1)
        label = f"{name}: density {SETTINGS[name][0]}, mean {SETTINGS[name][1]:g}"
        shift = 0.4 * number - 0.2
        left.bar([size + shift for size in sizes], [100 * share for share in masks["measured"]], 0.4, label=label)
        left.plot([size + shift for size in sizes], [100 * share for share in masks["closed_form"]], "k.", markersize=4)
        rows = measured["hidden"][name]
        right.plot([row[0] for row in rows], [100 * row[1] for row in rows], label=label)
        density = 100 * SETTINGS[name][0]
        right.axhline(density, linestyle=":", linewidth=1, color="gray")
    left.plot([], [], "k.", markersize=4, label="closed form")
    left.set(
        xlabel="tokens in a hidden span", ylabel="share of the spans (%)", title="Length of spans", xlim=(0.3, 12.7)
    )
    right.set(xlabel="tokens in the text", ylabel="hidden tokens (%)", title="Share hidden: fixed by the length",
              ylim=(0, 55))  # fmt: skip
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.title.set_size(10)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


def draw_adaptation(pyplot, measured: dict, file: Path) -> None:
    """Left: the loss on either objective by steps of adaptation. Right: right answers written, asked in either form."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8), dpi=150, facecolor="white")
    places = range(len(STEPS))
    for objective, label, marker in (("span", "span corruption", "o"), ("prefix", "prefix, as in LM adaptation", "s")):
        left.plot(places, [measured["losses"][base][objective] for base in STEPS], f"{marker}-", label=label)
    left.set(ylabel="held-out loss (nats per token)", ylim=(0, 10.9), title="Loss on either objective")
    for question, label, marker in (("hole", '"Topic: <s0>."', "o"), ("beginning", '"Topic:"', "s")):
        values = [[wording["written"] for wording in measured["asked"][base][question]] for base in STEPS]
        middle = [mean(scores) for scores in values]
        below = [centre - min(scores) for centre, scores in zip(middle, values, strict=True)]
        above = [max(scores) - centre for centre, scores in zip(middle, values, strict=True)]
        right.errorbar(places, middle, [below, above], fmt=f"{marker}-", capsize=4, label=f"asked with {label}")
    right.axhline(measured["chance"], linestyle="--", linewidth=1, color="gray", label="blind guess")
    right.set(ylabel="right topic written (%)", ylim=(-2, 75), title="Asked, without any training")
    for axes in (left, right):
        axes.set_xticks(places, [f"{steps:,}" for steps in STEPS.values()])
        axes.set_xlabel("steps of LM adaptation")
        axes.legend(fontsize=8, loc="upper left")
        axes.title.set_size(10)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


def draw_prompts(pyplot, measured: dict, file: Path) -> None:
    """Left: score against adaptation steps. Right: what can be done with a base that knows span corruption only."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8), dpi=150, facecolor="white", sharey=True)
    found = {
        (base, ROWS[row["method"]]): (row["mean"], row["interval"] or 0.0)
        for base, result in measured["races"].items()
        for row in result["rows"]
    }
    plain = [found[base, "plain"] for base in STEPS]
    left.errorbar(range(len(STEPS)), [m for m, _ in plain], [i for _, i in plain], fmt="o-", capsize=4)
    left.set_xticks(range(len(STEPS)), [f"{steps:,}" for steps in STEPS.values()])
    left.set(xlabel="steps of LM adaptation", ylabel="test score (%), mean and 95% interval", ylim=(0, 100))
    left.set_title("the same prompt tuning on five bases", fontsize=10)
    bars = {
        "plain\nanswers": ("t5-0.8m-span", "plain"),
        "sentinel before\nthe answer": ("t5-0.8m-span", "sentinel"),
        "and a hole in\nthe source": ("t5-0.8m-span", "hole"),
        "LM-adapted,\nplain answers": ("t5-0.8m", "plain"),
    }
    for place, key in enumerate(bars.values()):
        colour = "C1" if key[0] == "t5-0.8m" else "C0"
        right.bar(place, found[key][0], 0.6, yerr=found[key][1], capsize=4, color=colour)
    right.set_xticks(range(len(bars)), list(bars), fontsize=8)
    right.set_title("span corruption only, three ways, and adapted", fontsize=10)
    for axes in (left, right):
        axes.axhline(measured["chance"], linestyle="--", linewidth=1, color="gray")
    left.annotate("blind guess", (0.01, 10.5), xycoords=("axes fraction", "data"), fontsize=8, color="dimgray")
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


if __name__ == "__main__":
    main(__file__, runs, summary, figures)
