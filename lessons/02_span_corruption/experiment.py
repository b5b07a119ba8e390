"""What span corruption leaves a base with, what LM adaptation changes, and what prompts can make of either.

    python lessons/02_span_corruption/experiment.py

The bases are one base with span corruption only and its branches, adapted for 0.1 to 16 million tokens. Measured are
the real masks; the losses; every skill in the form of either objective; what a base writes untuned, and what it writes
when it is asked for a topic; and prompts tuned on some of the bases, on the first in three forms: answers as they are,
behind a sentinel, and behind one with a hole in the source; LoRA beside them. Every row has its own sweep of rates.
"""

import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from statistics import mean

import torch

import minipeft
from minipeft.course.experiment import kept, main, race
from minipeft.flags import ended
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import evaluate_base, held_out_batches
from minipeft.pretraining.skills import PROBES, skill_aucs
from minipeft.pretraining.span_corruption import noise_counts, span_mask
from minipeft.racing.runs import folder_name, task_of
from minipeft.tasks.task import Example
from minipeft.training.batches import encode_answer, encode_source
from minipeft.training.evaluating import predict
from minipeft.transformer.batch import Batch, pad

SPAN, ADAPTED = "t5-0.8m-span", "t5-0.8m"
TOKENS = {SPAN: 0, "t5-0.8m-lm100e3": 0.1, "t5-0.8m-lm500e3": 0.5, "t5-0.8m-lm2e6": 2, "t5-0.8m-lm8e6": 8,
          ADAPTED: 16}  # fmt: skip  # millions of tokens of LM adaptation
OBJECTIVES = ("span", "prefix")
STEPS = 200
WORDINGS = ("Topic:", "Subject:", "It was all about")  # endings of texts that the bases have read in pretraining
QUESTIONS = {
    "hole": [f"{{source}} {words} <X>." for words in WORDINGS],
    "beginning": [f"{{source}} {words}" for words in WORDINGS],
}
PLAIN = "prompt_tuning"
ROWS = {"as it is": "plain", "sentinel": "sentinel", "blank": "hole", PLAIN: "plain"}  # row of a race -> form
FORMS = [f"as it is={PLAIN}", f"sentinel={PLAIN}:sentinel=true", "blank=ppt"]  # ppt: not pre-trained here
TUNED = (SPAN, "t5-0.8m-lm500e3", "t5-0.8m-lm2e6", "t5-0.8m-lm8e6", ADAPTED)  # the bases on which prompts are tuned
PROMPTS = {base: (base, FORMS if base == SPAN else [PLAIN]) for base in TUNED}
AGAIN = {"longer": ("t5-0.8m-lm8e6", [PLAIN])}  # where prompts failed with some seeds, for three times as many steps
RACES = {"sentiment": PROMPTS | {"lora": (SPAN, ["lora"])}, "topic": PROMPTS | AGAIN}  # task -> name -> base and rows
SETTINGS = {"T5": (0.15, 3.0), "ours": (0.3, 2.0)}  # noise density, mean length of a span
HISTOGRAM = {"length": 512, "draws": 1000}


def runs(args) -> dict:
    limit = 50 if args.quick else None

    def of_each_base(part: Callable) -> dict:
        return {base: kept(args, f"{part.__name__}-{base}", partial(part, base, limit)) for base in TOKENS}

    return {
        "masks": {name: span_lengths(args.seeds, *setting, **HISTOGRAM) for name, setting in SETTINGS.items()},
        "hidden": {name: hidden_fractions(*setting) for name, setting in SETTINGS.items()},
        "losses": of_each_base(losses),
        "skills": of_each_base(skills),
        "untuned": of_each_base(untuned),
        "asked": of_each_base(asked),
        "costs": of_each_base(answer_costs),
        "chance": {task: minipeft.load_task(task).chance for task in RACES},
        "races": {task: {name: raced(task, name, args) for name in names} for task, names in RACES.items()},
    }


def raced(task: str, name: str, args) -> dict:
    """The rows of a base, each at the best rate of its own sweep, and how often their written answers are labels."""
    base, entries = RACES[task][name]
    steps = 3 * STEPS if name == "longer" else STEPS
    found = race(f"{task}-{name}", entries, base, task, args, steps)
    count = partial(labels_written, base, f"{task}-{name}", found, args)
    return found | {"labels": kept(args, f"labels-{task}-{name}", count)}


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


def losses(base: str, limit: int | None) -> dict[str, float]:
    """Held-out loss of a base on both objectives, in nats per target token."""
    model = minipeft.load(base)
    return {objective: evaluate_base(model, batches(objective))["loss"] for objective in OBJECTIVES}


@cache
def batches(objective: str) -> list[Batch]:
    return held_out_batches(TextStream(objective=objective))


def skills(base: str, limit: int | None) -> dict[str, dict[str, float]]:
    """The AUC of every skill, by the form of which objective it is asked in."""
    model = minipeft.load(base)
    return {objective: skill_aucs(model, objective, limit or PROBES) for objective in OBJECTIVES}


def untuned(base: str, limit: int | None) -> dict:
    """What a base writes for the sources of a task, with nothing trained and nothing asked."""
    model, examples = minipeft.load(base), sources_of_one_subject()[:limit]
    sentinels = {model.tokenizer.sentinel(index) for index in range(100)}
    rows = written(model, examples, 16)
    return {
        "sentinel_first": 100 * mean(row[:1] != [] and row[0] in sentinels for row in rows),
        "sources": [example.source for example in examples[:3]],
        "texts": [model.tokenizer.backend.decode(row, skip_special_tokens=False).strip() for row in rows[:3]],
    }


def sources_of_one_subject() -> list[Example]:
    """The test examples of topic in which nothing is turned down: no base has learned that beforehand."""
    return [example for example in minipeft.load_task("topic").test if example.slice == "knows"]


@torch.no_grad()
def written(model, examples: list[Example], length: int) -> list[list[int]]:
    """The ids that a model writes for each example, at most `length`."""
    rows = []
    for start in range(0, len(examples), 100):
        sources = [encode_source(model, example.source) for example in examples[start : start + 100]]
        rows += model.generate(Batch(*pad(sources)), length)
    return rows


def asked(base: str, limit: int | None) -> dict[str, list[float]]:
    """How often an untrained base that is asked for the topic writes it first, in percent, for each wording."""
    examples, found = sources_of_one_subject()[:limit], {}
    for question, templates in QUESTIONS.items():
        found[question] = []
        for template in templates:
            model = minipeft.load(base)
            HardPrompt(template=template).attach(model)
            answers = [encode_answer(model, example.target)[:-1] for example in examples]  # without end-of-sequence
            rows = written(model, examples, 4)
            right = [row[: len(answer)] == answer for row, answer in zip(rows, answers, strict=True)]
            found[question].append(100 * mean(right))
    return found


@torch.no_grad()
def answer_costs(base: str, limit: int | None) -> dict[str, dict[str, float]]:
    """Nats that an untrained base needs for the right answer, by how it is asked for and written, and for what part.

    opening: the sentinel before the answer. words: the answer itself. end: end-of-sequence behind it.
    """
    model, examples = minipeft.load(base), sources_of_one_subject()[:limit]
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


def labels_written(base: str, folder: str, raced: dict, args) -> dict[str, float]:
    """For each row, how many of 100 answers are labels of the task when its answers are written, in percent.

    In the race itself the answers are chosen: there, they are always labels.
    """
    shares = {}
    for row in raced["rows"]:
        shares[row["method"]] = []
        for seed in range(args.seeds):
            run = Path(args.out) / folder / "runs" / f"{folder_name(row['method'])}-seed{seed}"
            model, task = minipeft.load(base), task_of(run)
            minipeft.load_adapter(run / "adapter.pt", model)
            answers = predict(model, task.test[:100], metric="exact_match")
            shares[row["method"]].append(100 * mean(text in task.labels for text in answers))
    return {name: mean(found) for name, found in shares.items()}


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
