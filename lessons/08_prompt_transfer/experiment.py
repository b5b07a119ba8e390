"""What a prompt brings along: from task to task, from unlabelled text, from film to food, and into a vote.

    python lessons/08_prompt_transfer/experiment.py

Eight source prompts by eight targets, with controls; PPT's four forms and few examples; votes of five prompts; eight
methods under a shift of domain. About 100 minutes on one core that has nothing else to do.
"""

import sys
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from minipeft.course.chapters import beside
from minipeft.course.experiment import by_row, kept, main, race
from minipeft.flags import ended
from minipeft.methods.prompts.prompt_ensemble import PromptEnsemble
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import read_prompt_file
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.racing.runs import folder_name
from minipeft.racing.sweep import bundled_rates
from minipeft.tasks.making.drawn import drawn_task
from minipeft.training.adapter_files import load_adapter
from minipeft.training.evaluating import evaluate

travelling, forms, ensembles = (beside(__file__, name) for name in ("travelling.py", "forms.py", "ensembles.py"))
MODEL = "t5-0.8m"
VOTES, MEMBERS, VOTE_STEPS = ("sentiment", "topic"), 5, 150
SHIFT, SHIFT_STEPS = ("sentiment", "sentiment_food"), 300  # trained on films, read on food, too
METHODS_OF_SHIFT = ["full", "lora", "houlsby", "ia3", "norm_tuning", "prefix_tuning", "p_tuning_v2", "prompt_tuning"]
READING = {"test": 600, "quick": 20}


def runs(args: Namespace) -> dict:
    measured = {
        "travel": travelling.study(args),
        **forms.study(args),
        "votes": {task: [kept(args, f"vote-{task}-{n}", partial(vote, args, task, n)) for n in range(args.seeds)]
                  for task in VOTES},
        "shift": shift(args),
        "order": kept(args, "order", partial(order, args)),
    }  # fmt: skip
    return measured | {"by_seed": beside(__file__, "tables.py").by_seed(measured)}


def vote(args: Namespace, task: str, draw: int) -> dict:
    """Five prompts, each trained on whole batches, and their vote, on one draw of the words."""
    steps = 4 if args.quick else VOTE_STEPS
    told = {"steps": steps, "rate": travelling.SOURCE_RATE, "test": False}
    found = [travelling.tuned(args, task, draw, 10 * draw + member, **told) for member in range(MEMBERS)]
    model, ensemble = load(MODEL).to(args.device), PromptEnsemble(members=MEMBERS)
    ensemble.attach(model)
    (name,) = ensemble.named_parameters()
    ensemble.load_members([{name[:-1]: torch.tensor(one["prompt"])} for one in found])
    words = travelling.words_of(args, task, draw)
    return ensembles.evaluate_members(model, ensemble, words, limit=READING["quick" if args.quick else "test"])


def order(args: Namespace) -> dict:
    """The bundled prompt of films as it is, with its vectors in other orders, and averaged with itself in these."""
    prompt, words = read_prompt_file("sentiment")["prompt"], drawn_task("sentiment", 0)

    def score(start: torch.Tensor) -> float:
        model, method = load(MODEL).to(args.device), PromptTuning()
        method.start_from(start)
        method.attach(model)
        return evaluate(model, words, "test", limit=READING["quick" if args.quick else "test"])["score"]

    orders = [torch.randperm(len(prompt), generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    moved = [score(prompt[places]) for places in orders]
    return {"as it is": score(prompt), "moved": moved, "averaged": [score((prompt + prompt[o]) / 2) for o in orders]}


def shift(args: Namespace) -> dict:
    """Eight methods trained on films, at the rates that won a race on topics: scores there and on food, by seed."""
    raced = race("shift", METHODS_OF_SHIFT, MODEL, SHIFT[0], args, SHIFT_STEPS, bundled_rates(MODEL, "topic"))
    rows = {}
    for name, row in by_row(raced).items():
        there = [kept(args, f"shift-{name}-{seed}", partial(elsewhere, args, name, seed)) for seed in range(args.seeds)]
        rows[name] = {"home": row["scores"], "away": there, "stored": row["stored"]}
    return {"rows": rows, "rates": raced["learning_rates"]}


def elsewhere(args: Namespace, name: str, seed: int) -> float:
    """The score on the other domain's test, in the same draw of words."""
    model = load(MODEL)
    folder = Path(args.out) / "shift" / "runs" / f"{folder_name(name)}-seed{seed}"
    load_adapter(folder / "adapter.pt", model, METHODS)
    words = replace(drawn_task(SHIFT[1], seed), dev=())
    return evaluate(model, words, "test", limit=READING["quick" if args.quick else "test"])["score"]


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
