"""Prompts from task to task: eight sources by eight targets, what similarity foretells, and the controls.

Source prompts are trained once, on words that no target has. A target has few steps, five seeds, and for each seed
words of its own.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean

import torch

from minipeft.course.experiment import kept, settle
from minipeft.errors import TrainingFailed
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.models import load
from minipeft.tasks.making.corpus import TRAINING_SEED, document
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.task import Example, Task
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transfer.task_embeddings import SIMILARITIES, cosine_of_means, weighted_average

MODEL = "t5-0.8m"
TASKS = ("sentiment", "sentiment_food", "opinion_now", "aspects", "who_liked", "topic", "category", "tagging")
UNLABELLED = "unlabelled"  # a source without a task: going on with texts of the corpus
STEPS = {"early": 50, "source": 400, "target": 50, "long": 1200}
SEEDS, SOURCE_SEED, SWEEP_SEEDS = 5, 2000, (1000, 1001, 1002)
NEAREST = 3  # sources that are averaged, mixed or tried
RATES = {"alone": (0.1, 0.3, 1.0, 3.0), "from a source": (0.03, 0.1, 0.3, 1.0)}
LONG_TASKS, SOURCE_RATE = ("sentiment", "topic"), 0.3  # the method's own rate
READ = 300  # test texts of a cell

Prompt = list[list[float]]  # (20, hidden), as JSON keeps it


def settings_of(args: Namespace) -> dict:
    """What decides the outcome of all runs here."""
    return {"steps": steps_of(args), "tasks": TASKS, "read": 20 if args.quick else READ, "device": args.device}


def steps_of(args: Namespace) -> dict[str, int]:
    return dict.fromkeys(STEPS, 4) if args.quick else STEPS


def words_of(args: Namespace, task: str, draw: int) -> Task:
    """The task in one draw of its words; a quick look has few texts for dev."""
    if task == UNLABELLED:
        return unlabelled()
    if "+" in task:
        return mixed([drawn_task(part, draw) for part in task.split("+")])
    found = drawn_task(task, draw)
    return replace(found, dev=found.dev[:20]) if args.quick else found


def unlabelled() -> Task:
    """Texts of the corpus, cut in two anywhere: to go on with the first half is what LM adaptation trained."""
    generator, examples = Random("minipeft lesson 08 unlabelled"), []
    for number in range(2000):
        words = document(TRAINING_SEED, number).split()
        cut = generator.randint(1, len(words) - 1)
        examples.append(Example(" ".join(words[:cut]), " ".join(words[cut:])))
    return source_alone(UNLABELLED, examples)


def mixed(tasks: list[Task]) -> Task:
    """The training texts of several tasks, one of each in turn. Their scores differ, so it has none of its own."""
    groups = zip(*(task.train for task in tasks), strict=False)
    return source_alone("+", [example for group in groups for example in group])


def source_alone(name: str, examples: list[Example]) -> Task:
    """A task to train on and nothing else; eight of its texts stand in for dev, which is read at the end alone."""
    return Task(name, "", "overlap", (), train=tuple(examples), dev=tuple(examples[:8]), test=())


def tuned(args, task: str, draw: int, seed: int, steps: int, rate: float, start: Prompt | None = None,
          test: bool = True) -> dict:  # fmt: skip
    """Tune a prompt: its dev score, that on test before and after, and the prompt itself."""
    words, model, method = words_of(args, task, draw), load(MODEL).to(args.device), PromptTuning()
    if start is not None:
        method.start_from(torch.tensor(start))
    torch.manual_seed(seed)
    method.attach(model)
    limit, found = settings_of(args)["read"], {}
    if test and start is not None:
        found["as it is"] = evaluate(model, words, "test", limit=limit)["score"]
    every = min(steps, 50) if words.test else steps
    settings = TrainingSettings(steps=steps, learning_rate=rate, seed=seed, evaluate_every=every)
    try:
        found["dev"] = fine_tune(model, method, words, settings).best_dev
    except TrainingFailed:  # at a rate of the sweep that is too high
        found["dev"] = 0.0
    if test:
        found["test"] = evaluate(model, words, "test", limit=limit)["score"]
    (prompt,) = method.state_dict().values()
    return found | {"prompt": prompt.tolist()}


def study(args: Namespace) -> dict:
    """All of it, without the prompts themselves. Runs that are there already are kept."""
    settle(Path(args.out) / "travel", settings_of(args))
    steps, seeds = steps_of(args), min(args.seeds, SEEDS)

    def run(name: str, *told, **more) -> dict:
        return kept(args, f"travel/{name}", lambda: tuned(args, *told, **more))

    def source(task: str, kind: str) -> dict:
        more = {"steps": steps[kind], "rate": SOURCE_RATE, "test": False}
        return run(f"{kind}-{task}", task, SOURCE_SEED, SOURCE_SEED, **more)

    early = {task: source(task, "early")["prompt"] for task in TASKS}
    ready = {task: source(task, "source")["prompt"] for task in (*TASKS, UNLABELLED)}
    rates, sweep = choose_rates(args, run, ready)

    def row(name: str, target: str, start: Prompt | None, count: int | None = None) -> list[dict]:
        """The runs of one target, one for each seed, without their prompts."""
        rate = rates["alone" if start is None else "from a source"]
        told = {"steps": count or steps["target"], "rate": rate, "start": start}
        found = [run(f"{name}-{target}-{seed}", target, seed, seed, **told) for seed in range(seeds)]
        return [{key: value for key, value in one.items() if key != "prompt"} for one in found]

    alike = similarities(early)
    nearest = {target: nearest_of(alike["means"], target) for target in TASKS}
    whole = steps["source"] + steps["target"]
    return {
        "steps": steps,
        "rates": rates,
        "sweep": sweep,
        "similarity": alike,
        "nearest": nearest,
        "grid": {name: {target: row(f"from-{name}", target, ready[name]) for target in TASKS} for name in ready},
        "alone": {target: row("alone", target, None) for target in TASKS},
        "as many steps": {target: row("as-many", target, None, whole) for target in TASKS},
        "average": {t: row("average", t, average(ready, alike["means"], t, nearest[t])) for t in TASKS},
        "mixture": {t: row("mixture", t, source("+".join(sorted(nearest[t])), "source")["prompt"]) for t in TASKS},
        "long": {task: row("long", task, None, steps["long"]) for task in LONG_TASKS},
    }


def choose_rates(args: Namespace, run: Callable, ready: dict[str, Prompt]) -> tuple[dict, dict]:
    """One rate for prompts that start anew, one for those from a source: the best mean on dev over the eight targets.

    Each target has one of three seeds and, where it starts from one, its neighbour on the list as its source. A grid
    grows until its winner stands inside.
    """
    chosen, scores = {}, {kind: {} for kind in RATES}
    for kind, rates in RATES.items():
        todo = list(rates[:1] if args.quick else rates)
        while todo:
            for rate in todo:
                found = []
                for number, target in enumerate(TASKS):
                    start = None if kind == "alone" else ready[TASKS[number - 1]]
                    seed = SWEEP_SEEDS[number % len(SWEEP_SEEDS)]
                    told = {"steps": steps_of(args)["target"], "rate": rate, "start": start, "test": False}
                    found.append(run(f"sweep-{kind}-{rate:g}-{target}", target, seed, seed, **told)["dev"])
                scores[kind][rate] = mean(found)
            best, tried = max(scores[kind], key=scores[kind].get), scores[kind]
            todo = [] if args.quick or len(tried) > 6 else beyond(best, tried)
        chosen[kind] = best
    return chosen, {kind: {f"{rate:g}": score for rate, score in found.items()} for kind, found in scores.items()}


def beyond(best: float, tried: dict[float, float]) -> list[float]:
    """The next rate where the best stands at an end of the grid."""
    if best == max(tried):
        return [float(f"{3 * best:.2g}")]
    return [float(f"{best / 3:.2g}")] if best == min(tried) else []


def similarities(early: dict[str, Prompt]) -> dict[str, dict[str, dict[str, float]]]:
    """By kind, source and target. "change": of what the steps have changed, for all prompts start from the same one."""
    prompts = {task: torch.tensor(prompt) for task, prompt in early.items()}
    model, method = load(MODEL), PromptTuning()
    torch.manual_seed(SOURCE_SEED)
    method.attach(model)
    (start,) = method.state_dict().values()  # where all early prompts begin
    kinds = {**SIMILARITIES, "change": lambda one, other: cosine_of_means(one - start, other - start)}
    return {
        kind: {a: {b: alike(prompts[a], prompts[b]) for b in prompts if b != a} for a in prompts}
        for kind, alike in kinds.items()
    }


def nearest_of(alike: dict[str, dict[str, float]], target: str) -> list[str]:
    """The sources most similar to `target`, the nearest first."""
    return sorted(alike[target], key=alike[target].get, reverse=True)[:NEAREST]


def average(ready: dict[str, Prompt], alike: dict, target: str, names: list[str]) -> Prompt:
    prompts = [torch.tensor(ready[name]) for name in names]
    weights = [max(alike[target][name], 0.01) for name in names]  # what is not alike has hardly any weight
    return weighted_average(prompts, weights).tolist()
