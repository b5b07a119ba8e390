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
from minipeft.racing.runs import folder_name
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
        generator = random.Random(seed)
        for _ in range(draws):
            mask = span_mask(length, generator, noise_density, mean_span)
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


if __name__ == "__main__":
    main(__file__, runs)
