"""What span corruption leaves a base with: the real masks, the losses, what is written untuned, and prompts on top.

    python lessons/02_span_corruption/experiment.py

Prompt tuning on the task topic, ranked and written: on bases with span corruption only (as they are, with a sentinel
before each answer, with a blank in the source as well) and after 100, 300, 1,000 and all steps of LM adaptation.
"""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import mean

import torch

import minipeft
from minipeft.commands.sweep import folder_name
from minipeft.commands.table import interval
from minipeft.course.experiment import main, race
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import evaluate_base, held_out_batches
from minipeft.pretraining.span_corruption import noise_counts, span_mask
from minipeft.training.batches import encode_source
from minipeft.training.evaluating import evaluate
from minipeft.transformer.batch import Batch, pad

TASK = "topic"
PLAIN = "prompt_tuning"
ANSWERS = {"as it is": PLAIN, "sentinel": f"{PLAIN}:sentinel=true", "blank": "ppt"}  # ppt without a pre-trained prompt
FORMS = {"as it is": "plain", "sentinel": "behind a sentinel", "blank": "fills a hole in the source"}
SPAN_ENTRIES = [f"{row}={entry}" for row, entry in ANSWERS.items()]
STEPS = {"t5-0.8m-span": 0, "t5-0.8m-step100": 100, "t5-0.8m-step300": 300, "t5-0.8m-step1000": 1000, "t5-0.8m": 2595}
RACES = {  # base -> rows
    "t5-0.8m-span": SPAN_ENTRIES,
    "t5-0.8m": [PLAIN],
    "t5-0.8m-step1000": [PLAIN],
    "t5-0.8m-step300": [PLAIN],
    "t5-0.8m-step100": [PLAIN],
}
SETTINGS = {"T5": (0.15, 3.0), "ours": (0.3, 2.0)}  # noise density, mean length of a span
HISTOGRAM = {"length": 512, "draws": 4000}


def runs(args) -> dict:
    """The cheap measurements first, the races from the most to the least important."""
    measured = {
        "masks": {name: span_lengths(*setting, **HISTOGRAM) for name, setting in SETTINGS.items()},
        "hidden": {name: hidden_fractions(*setting) for name, setting in SETTINGS.items()},
        "losses": {base: losses(base) for base in STEPS},
        "untuned": {base: untuned(base, 100 if args.quick else None) for base in STEPS},
        "costs": {base: answer_costs(base, 100 if args.quick else None) for base in STEPS},
        "races": {},
    }
    for base, entries in RACES.items():
        measured["races"][base] = race(base, entries, base, TASK, args, steps=300)
        measured["races"][base]["written"] = {
            row["method"]: [written(args, base, row["method"], seed) for seed in range(args.seeds)]
            for row in measured["races"][base]["rows"]
        }
    return measured


def span_lengths(noise_density: float, mean_span: float, length: int, draws: int) -> dict:
    """How long the hidden spans of many masks are, as shares, and by the closed form; all masks hide as many tokens."""
    rng, counts, fractions = random.Random(0), Counter(), set()
    for _ in range(draws):
        mask = span_mask(length, rng, noise_density, mean_span)
        fractions.add(sum(mask) / length)
        counts.update(sum(1 for _ in run) for hidden, run in groupby(mask) if hidden)
    hidden, spans = noise_counts(length, noise_density, mean_span)
    longest = 15
    return {
        "draws": draws,
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
    return {
        objective: evaluate_base(model, held_out_batches(TextStream(objective=objective)))["loss"]
        for objective in ("span", "prefix")
    }


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
    for form, (hole, opening) in {"as it is": ([], []), "sentinel": ([], first), "blank": (first, first)}.items():
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


def written(args, base: str, row: str, seed: int) -> dict[str, float]:
    """A finished run's prompt once more, with the answer written, not chosen: score, and share of legal labels."""
    model, task = minipeft.load(base), replace(minipeft.load_task(TASK), metric="exact_match")
    folder = Path(args.out) / base / "runs" / f"{folder_name(row)}-seed{seed}"
    minipeft.load_adapter(folder / "adapter.pt", model)
    outcome = evaluate(model, task, "test", limit=100 if args.quick else None, predictions=True)
    legal = mean(text in task.labels for text in outcome["predictions"])
    return {"score": outcome["score"], "legal": 100 * legal}


def summary(measured: dict) -> tuple[dict, dict]:
    tables, numbers = {}, {}
    columns = ["base", "adaptation steps", "loss, spans", "loss, prefix", "untuned: sentinel first"]
    tables["bases"] = {"columns": columns, "rows": []}
    for base, steps in STEPS.items():
        loss, text = measured["losses"][base], measured["untuned"][base]
        cells = [f"{loss['span']:.2f}", f"{loss['prefix']:.2f}", f"{text['sentinel_first']:.0f}%"]
        tables["bases"]["rows"].append([f"`{base}`", f"{steps:,}", *cells])
        name = base.removeprefix("t5-0.8m").strip("-") or "adapted"
        numbers |= {f"{name}_loss_{objective}": value for objective, value in loss.items()}
        numbers |= {f"{name}_sentinel_first": text["sentinel_first"], f"{name}_labels": text["labels"]}
    tables["costs"] = {"columns": ["base", "answer", "sentinel", "words", "end", "together"], "rows": []}
    for base, name in (("t5-0.8m-span", "span"), ("t5-0.8m", "adapted")):
        for form, parts in measured["costs"][base].items():
            nats = [parts["opening"], parts["words"], parts["end"], sum(parts.values())]
            told = [f"{value:.1f}" for value in nats] if form != "as it is" else ["-", *(f"{v:.1f}" for v in nats[1:])]
            tables["costs"]["rows"].append([f"`{base}`", FORMS[form], *told])
            names = [f"{name}_{form.replace(' ', '_')}_{part}" for part in ("opening", "words", "end", "cost")]
            numbers |= dict(zip(names, nats, strict=True))
    columns = ["base", "answer", "chosen", "written", "legal labels", "best rate"]
    tables["prompts"] = {"columns": columns, "rows": []}
    for base, result in measured["races"].items():
        for row in sorted(result["rows"], key=lambda row: -row["mean"]):
            shown = "as it is" if row["method"] == PLAIN else row["method"]  # the adapted bases have one row only
            texts = result["written"][row["method"]]
            scores, legal = ([text[key] for text in texts] for key in ("score", "legal"))
            rate = result["learning_rates"][row["method"]]
            told = [cell(row["scores"]), cell(scores), f"{mean(legal):.0f}%", f"{rate:g}" if rate else "-"]
            tables["prompts"]["rows"].append([f"`{base}`", FORMS[shown], *told])
            name = base.removeprefix("t5-0.8m").strip("-") or "adapted"
            name = f"{name}_{shown}".replace(" ", "_")
            numbers |= {f"{name}_score": row["mean"], f"{name}_written": mean(scores), f"{name}_legal": mean(legal)}
            numbers[f"{name}_interval"] = interval(row["scores"]) if len(scores) > 1 else 0.0
    for name, masks in measured["masks"].items():
        difference = max(abs(a - b) for a, b in zip(masks["measured"], masks["closed_form"], strict=True))
        numbers |= {f"{name}_hidden": masks["hidden"], f"{name}_spans": masks["spans"], f"{name}_draws": masks["draws"]}
        numbers |= {f"{name}_fractions": len(masks["fractions"]), f"{name}_fraction": 100 * masks["fractions"][0]}
        numbers |= {f"{name}_histogram_difference": 100 * difference, f"{name}_single": 100 * masks["measured"][0]}
        numbers |= {f"{name}_longer": 100 * sum(masks["measured"][5:])}
        numbers |= {f"{name}_largest_fraction": 100 * max(share for _, share, _ in measured["hidden"][name])}
    return tables, numbers


def cell(scores: list[float]) -> str:
    return f"{mean(scores):.1f}" + (f" ± {interval(scores):.1f}" if len(scores) > 1 else "")


def figures(results: dict, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    draw_masks(pyplot, results["runs"], folder / "masks.png")
    draw_adaptation(pyplot, results["runs"], folder / "adaptation.png")


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
    """Left: score against adaptation steps. Right: what can be done with a base that knows span corruption only."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8), dpi=150, facecolor="white", sharey=True)
    found = {
        (base, row["method"]): (row["mean"], row["interval"] or 0.0)
        for base, result in measured["races"].items()
        for row in result["rows"]
    }
    first = [found[base, "as it is" if base.endswith("span") else PLAIN] for base in STEPS]
    left.errorbar(range(len(STEPS)), [m for m, _ in first], [i for _, i in first], fmt="o-", capsize=4)
    left.set_xticks(range(len(STEPS)), [f"{steps:,}" for steps in STEPS.values()])
    left.set(xlabel="steps of LM adaptation", ylabel="test score (%), mean and 95% interval", ylim=(0, 100))
    left.set_title("the same prompt tuning on five bases", fontsize=10)
    bars = {
        "plain\nanswers": ("t5-0.8m-span", "as it is"),
        "sentinel before\nthe answer": ("t5-0.8m-span", "sentinel"),
        "and a hole in\nthe source": ("t5-0.8m-span", "blank"),
        "LM-adapted,\nplain answers": ("t5-0.8m", PLAIN),
    }
    for place, key in enumerate(bars.values()):
        colour = "C1" if key[0] == "t5-0.8m" else "C0"
        right.bar(place, found[key][0], 0.6, yerr=found[key][1], capsize=4, color=colour)
    right.set_xticks(range(len(bars)), list(bars), fontsize=8)
    right.set_title("span corruption only, three ways, and adapted", fontsize=10)
    for axes in (left, right):
        axes.axhline(measured["races"]["t5-0.8m"]["chance"], linestyle="--", linewidth=1, color="gray")
    left.annotate("blind guess", (0.01, 10.5), xycoords=("axes fraction", "data"), fontsize=8, color="dimgray")
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


if __name__ == "__main__":
    main(__file__, runs, summary, figures)
