"""What words alone can do: eighty wordings on two tasks and every base, calibrated or not, and solved examples before.

    python lessons/04_hard_prompts/experiment.py

Nothing is trained: every number comes from forward passes of the bundled bases. Each of the seeds draws its own words
of a task. About five minutes on one core for each base; a base that is done is not measured again.
"""

import random
import sys
from functools import partial
from itertools import permutations, product

import torch

import minipeft
from minipeft.course.chapters import beside
from minipeft.course.experiment import kept, main
from minipeft.files import read_json
from minipeft.flags import ended
from minipeft.paths import DATA
from minipeft.tasks.demonstrations import draw_demonstrations
from minipeft.tasks.making.drawn import drawn_task

wordings, scoring = beside(__file__, "wordings.py"), beside(__file__, "scoring.py")
BASES = ("t5-0.4m", "t5-0.8m", "t5-1.7m", "t5-3.5m", "gpt-1.7m")  # a further size is a further name
TEXTS = {"sentiment": {"dev": 60, "test": 120}, "topic": {"dev": 40, "test": 60}}  # of each draw of words
NOTHING = ("N/A", "[MASK]", "")  # the paper's texts without content
SHOTS, SETS, SHOWN = (1, 4, 8), 2, {"dev": 20, "test": 40}  # demonstrations; draws of them; texts read behind them
FEWER = {"gpt-1.7m": (1, 4)}  # eight do not fit into its 256 positions
ORDERED = "sentiment"
CLOUDS = ("sentiment", "t5-0.8m", "{source} It was", "great. terrible.")  # whose scores the first figure shows
TRAINED = ("prompt_tuning", "lora", "full")


def runs(args) -> dict:
    torch.set_num_threads(1)
    bases = BASES[:1] if args.quick else BASES
    measured = {"labels": {task: list(labels) for task, labels in wordings.LABELS.items()}, "trained": trained()}
    parts = {"wordings": of_wordings, "demonstrations": of_demonstrations, "orders": of_orders}
    measured |= {name: {base: {} for base in bases} for name in parts}
    for base, (name, part) in product(bases, parts.items()):
        for task in (ORDERED,) if name == "orders" else wordings.TASKS:
            found = kept(args, f"{name}-{base}-{task}", partial(part, base, task, args))
            measured[name][base][task] = scoring.in_lines(found) if name == "wordings" else found
    measured["clouds"] = kept(args, "clouds", partial(clouds, args))
    return measured


def trained() -> dict:
    """What training reached on `t5-0.8m`, copied from the table of tasks: three seeds, 600 steps."""
    told = read_json(DATA / "results" / "tasks.json")
    rows = {task: told["tasks"][task]["rows"] for task in wordings.TASKS}
    return {"base": told["base"], "steps": told["steps"], "commits": told["tasks"]["sentiment"]["commits"],
            "rows": {task: {name: rows[task][name] for name in TRAINED} for task in rows}}  # fmt: skip


def draws(task: str, args, limits: dict[str, int]):
    """(draw, task, examples by split) for every draw of the task's words; few texts where a quick look is asked for."""
    for draw in range(args.seeds):
        words = drawn_task(task, draw)
        count = {split: 12 if args.quick else number for split, number in limits.items()}
        yield draw, words, {split: getattr(words, split)[: count[split]] for split in limits}


def of_wordings(base: str, task: str, args) -> dict:
    """Every wording's right answers, as it is and calibrated in two ways, by draw.

    Of the best on dev the slices, too; of every verbalizer the mean over the templates.
    """
    words, labels = wordings.TASKS[task], list(wordings.LABELS[task])
    model, prompts, chosen, verbalizers = minipeft.load(base).eval(), {}, {}, {}
    for draw, _, examples in draws(task, args, TEXTS[task]):
        right = {}  # wording -> way -> split -> whether each text is answered rightly
        for template in words.all_templates[: 4 if args.quick else None]:
            texts = [example.source for split in examples for example in examples[split]] + list(NOTHING)
            scores = scoring.word_scores(model, template, texts, words.words)
            for number, name in enumerate(words.verbalizers):
                own = scores[:, number * len(labels) : (number + 1) * len(labels)]
                right[template, name] = scoring.rightness(own, examples, labels)
        for wording, ways in right.items():
            counts = {"dev": ways["as it is"]["dev"]} | {way: splits["test"] for way, splits in ways.items()}
            for name, found in counts.items():
                prompts.setdefault(" | ".join(wording), {}).setdefault(name, []).append(int(found.sum()))
        for name, (wording, way) in choices(right, words.first).items():
            note(chosen.setdefault(name, {}), draw, wording, right[wording][way]["test"], examples["test"])
        for name, way in product(words.verbalizers, ("as it is", "unlabelled")):
            told = torch.cat([ways[way]["test"] for (_, other), ways in right.items() if other == name])
            row = verbalizers.setdefault(name if way == "as it is" else f"{name} calibrated", {})
            row.setdefault("scores", []).append(scoring.percent(told))
            row.setdefault("runs", []).append({"seed": draw, "word_draw": draw})
    texts = {split: len(found) for split, found in examples.items()}
    return {"texts": texts, "prompts": prompts, "chosen": chosen, "verbalizers": verbalizers}


def choices(right: dict, first: tuple[str, str]) -> dict[str, tuple[tuple[str, str], str]]:
    """The wordings of which more is told: the first one, the best on dev, and the best on dev when calibrated."""
    best = {way: max(right, key=lambda wording: int(right[wording][way]["dev"].sum()))
            for way in ("as it is", "unlabelled")}  # fmt: skip
    return {
        "first": (first, "as it is"),
        "first calibrated": (first, "unlabelled"),
        "best": (best["as it is"], "as it is"),
        "best calibrated": (best["unlabelled"], "unlabelled"),
    }


def note(row: dict, draw: int, wording: tuple[str, str], right: torch.Tensor, examples) -> None:
    """Add a draw to a row: its score, its wording, and the score of every slice."""
    row.setdefault("scores", []).append(scoring.percent(right))
    row.setdefault("runs", []).append({"seed": draw, "word_draw": draw, "wording": " | ".join(wording)})
    for name in sorted({example.slice for example in examples}):
        of_slice = torch.tensor([example.slice == name for example in examples])
        row.setdefault("slices", {}).setdefault(name, []).append(scoring.percent(right[of_slice]))


def of_demonstrations(base: str, task: str, args) -> dict:
    """Behind 0, 1, 4 and 8 demonstrations with true and with wrong answers: by draw, the mean over the sets.

    Each draw's wording is the one that is best on dev without demonstrations. last: how often the answer is that of the
    last demonstration.
    """
    labels, model, found = list(wordings.LABELS[task]), minipeft.load(base).eval(), {}
    best = best_wordings(base, task, args)
    for draw, words, examples in draws(task, args, SHOWN):
        template, words_of = wordings.spoken(task, best[draw])
        texts = [example.source for split in examples for example in examples[split]] + list(NOTHING)
        true = scoring.places(examples["test"], labels)
        for shots in (0, *FEWER.get(base, SHOTS)):
            for answers in ("true", "wrong") if shots else ("true",):
                told = []
                for number in range(SETS if shots else 1):
                    shown = demonstrations(words, shots, number, answers, labels)
                    pairs = [(source, words_of[label]) for source, label in shown]
                    scores = scoring.word_scores(model, template, texts, list(words_of.values()), pairs)
                    right = scoring.rightness(scores, examples, labels)
                    row = {way: scoring.percent(right[way]["test"]) for way in right}
                    if shots:
                        dev = len(examples["dev"])
                        said = scores[dev : dev + len(true)].argmax(1)
                        row["last"] = scoring.percent(said == labels.index(shown[-1][1]))
                    told.append(row)
                for key in told[0]:
                    mean = sum(row[key] for row in told) / len(told)
                    found.setdefault(f"{shots} {answers}", {}).setdefault(key, []).append(mean)
    return found


def best_wordings(base: str, task: str, args) -> list[str]:
    """The wording of every draw that is best on dev, as it is."""
    measured = kept(args, f"wordings-{base}-{task}", partial(of_wordings, base, task, args))
    return [run["wording"] for run in measured["chosen"]["best"]["runs"]]


def demonstrations(task, shots: int, number: int, answers: str, labels: list[str]) -> list[tuple[str, str]]:
    """Pairs of a source and a label from train; where `answers` is "wrong", each has another label than its own."""
    generator = random.Random(f"chapter 04 {task.name} {shots} {number}")
    shown = draw_demonstrations(task, shots, seed=number)
    if answers == "true":
        return list(shown)
    return [(source, generator.choice([other for other in labels if other != label])) for source, label in shown]


def of_orders(base: str, task: str, args) -> dict[str, list[float]]:
    """The same four demonstrations in all 24 orders: the score of each order, by draw."""
    labels, model, found = list(wordings.LABELS[task]), minipeft.load(base).eval(), {}
    best = best_wordings(base, task, args)
    for draw, words, examples in draws(task, args, {"test": SHOWN["test"]}):
        template, words_of = wordings.spoken(task, best[draw])
        shown, true = draw_demonstrations(words, 4, seed=0), scoring.places(examples["test"], labels)
        texts = [example.source for example in examples["test"]]
        for order in list(permutations(range(4)))[: 3 if args.quick else None]:
            pairs = [(shown[place][0], words_of[shown[place][1]]) for place in order]
            scores = scoring.word_scores(model, template, texts, list(words_of.values()), pairs)
            name = "".join(map(str, order))
            found.setdefault(name, []).append(scoring.percent(scores.argmax(1) == true))
    return found


def clouds(args) -> dict:
    """For each text how much better the first label scores than the second, under one wording; and over NOTHING."""
    task, base, template, name = CLOUDS
    labels, model = list(wordings.LABELS[task]), minipeft.load(base).eval()
    _, _, examples = next(draws(task, args, TEXTS[task]))
    texts = [example.source for split in examples for example in examples[split]] + list(NOTHING)
    scores = scoring.word_scores(model, template, texts, wordings.TASKS[task].verbalizers[name])
    margins = [round(float(margin), 3) for margin in scores[:, 0] - scores[:, 1]]
    dev, test = len(examples["dev"]), len(examples["test"])
    return {
        "margins": {"dev": margins[:dev], "test": margins[dev : dev + test], "nothing": margins[dev + test :]},
        "labels": [example.target for example in examples["test"]],
        "slices": [example.slice for example in examples["test"]],
        "order": labels,
    }


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
