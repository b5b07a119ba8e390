"""What in P-tuning's two recipes does the work: place and encoder of the vectors, depth, and the head.

    python lessons/07_p_tuning/experiment.py

A race on sentiment with vectors at three places, made by three encoders, beside full tuning with and without them; a
race on tagging, answered in text or by a head on every token; shallow and deep prompts on every size of base, single
layers, heads, the network, and a start from other tasks. About 95 minutes on one core that has nothing else to do.
"""

import sys
from argparse import Namespace
from functools import partial

import torch

import minipeft
from minipeft.course.experiment import QUICK, by_row, kept, main, race
from minipeft.flags import ended
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.multi_task import mixture, prefixed
from minipeft.tasks.registry import few_shot
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

MODEL, STEPS = "t5-0.8m", {"sentiment": 400, "topic": 300, "who_liked": 300, "category": 300, "tagging": 300}
SIZES = ("t5-0.4m", "t5-0.8m", "t5-1.7m")  # from small to large, of one recipe; add a name, and it is measured, too
FRONT, AROUND, BEHIND = "[V][V][V][V][V][V] {source}", "[V][V][V] {source} [V][V][V]", "{source} [V][V][V][V][V][V]"
VECTORS = {  # version 1 on sentiment: six vectors each
    "front": f"p_tuning:encoder=none:template={FRONT}",
    "around": f"p_tuning:encoder=none:template={AROUND}",
    "behind": f"p_tuning:encoder=none:template={BEHIND}",
    "anchor": "p_tuning:encoder=none:template=[V][V][V] {source} [V] It was [V][V]",
    "mlp": f"p_tuning:encoder=mlp:template={AROUND}",
    "lstm": f"p_tuning:encoder=lstm:template={AROUND}",
    "along": f"p_tuning:encoder=lstm:tune_backbone=true:template={AROUND}",
    "full": "full",
}
TAGS = "tags=animal,bird,clothes,fruit,instrument,job,tool,vehicle"
TAGGERS = {  # answered in text, and by a head on every token
    "text_lora": "lora",
    "text_shallow": f"p_tuning:encoder=none:template={FRONT}",
    "text_deep": "p_tuning_v2",
    "tags_shallow": f"p_tuning:encoder=none:template={FRONT}:{TAGS}",
    "tags_deep": f"p_tuning_v2:{TAGS}",
    "tags_network": f"p_tuning_v2:reparametrise=true:{TAGS}",
}
STILL = {"tags_head": 1e-9}  # the rate of a prompt that stays as it was drawn: the head learns alone
DEEP = "deep=p_tuning_v2"
NETWORK = "network=p_tuning_v2:reparametrise=true"
FIRST_RATES = {"deep": PTuningV2.table_rate, "network": PTuningV2.network_rate}
LAYERS = {f"{end}{n}": f"p_tuning_v2:depth={n}:from_top={str(end == 'top').lower()}"
          for n in (1, 2) for end in ("top", "bottom")}  # fmt: skip
SOURCES, SHOTS, START_STEPS, START_RATE = ("sentiment_food", "opinion_now"), 64, 150, 0.3


def rows(entries: dict[str, str]) -> list[str]:
    """Entries of a race, each with its name before it."""
    return [f"{name}={entry}" for name, entry in entries.items()]


def runs(args: Namespace) -> dict:
    vectors = race("vectors", rows(VECTORS), MODEL, "sentiment", args, STEPS["sentiment"])
    deep = {
        task: race(f"deep-{task}", [DEEP, NETWORK], MODEL, task, args, STEPS[task]) for task in ("topic", "category")
    }
    rates = {row: rate or FIRST_RATES[row] for row, rate in deep["topic"]["learning_rates"].items()}
    deep["sentiment"] = race("deep-sentiment", [DEEP], MODEL, "sentiment", args, STEPS["sentiment"])
    layer_rates = dict.fromkeys(LAYERS, deep["sentiment"]["learning_rates"]["deep"] or FIRST_RATES["deep"])
    network_rate = {"network": rates["network"]}
    network = race("network-sentiment", [NETWORK], MODEL, "sentiment", args, STEPS["sentiment"], network_rate)
    deep["sentiment"]["rows"] += network["rows"]
    deep["who_liked"] = race("deep-who_liked", [DEEP, NETWORK], MODEL, "who_liked", args, STEPS["who_liked"], rates)
    return {
        "vectors": vectors,
        "tagging": race("tagging", rows(TAGGERS), MODEL, "tagging", args, STEPS["tagging"]),
        "still": race("still", [f"tags_head=p_tuning_v2:{TAGS}"], MODEL, "tagging", args, STEPS["tagging"], STILL),
        "deep": deep,
        "layers": race("layers", rows(LAYERS), MODEL, "sentiment", args, STEPS["sentiment"], layer_rates),
        "sizes": {size: sizes(args, size, vectors, deep["sentiment"]) for size in SIZES},
        "heads": {task: heads(args, task) for task in ("sentiment", "topic", "category")},
        "start": kept(args, "start", partial(start, args)),
    }


def sizes(args: Namespace, size: str, vectors: dict, deep: dict) -> dict:
    """Six vectors in front, and a prompt in all layers, on one base; of the usual base both are there already."""
    if size == MODEL:
        found = [by_row(vectors)["front"] | {"method": "shallow"}, by_row(deep)["deep"]]
        return {"rows": found, "settings": vectors["settings"]}
    return race(f"size-{size}", [f"shallow={VECTORS['front']}", DEEP], size, "sentiment", args, STEPS["sentiment"])


def heads(args: Namespace, task: str) -> dict:
    """A prompt in all layers with a new head for the task's labels."""
    return race(f"head-{task}", ["head=p_tuning_v2:labels=task"], MODEL, task, args, STEPS[task])


def start(args: Namespace) -> list[dict[str, float]]:
    """Of each seed: few-shot scores of a prompt that was learned on other tasks together, untrained and trained on,
    and of one that starts at random."""
    return [start_of(seed, args.quick) for seed in range(args.seeds)]


def start_of(seed: int, quick: bool) -> dict[str, float]:
    """The three scores of one seed on sentiment, with its name before every text, as in the mixture."""
    long, short = (QUICK["steps"],) * 2 if quick else (STEPS["topic"], START_STEPS)
    several = mixture([drawn_task(name, seed) for name in SOURCES])
    whole = prefixed(drawn_task("sentiment", seed))
    few = few_shot(whole, total=SHOTS, seed=seed)
    model = minipeft.load(MODEL)
    learned = trained(model, several, long, seed)
    found = {"as it is": scored(model, whole, learned)}
    for name, state in (("start", learned), ("random", None)):
        found[name] = scored(model, whole, trained(model, few, short, seed, state))
    return found


def trained(model, task, steps: int, seed: int, state: dict | None = None) -> dict:
    """A prompt in all layers after training; `state`: where it starts."""
    torch.manual_seed(seed)
    method = PTuningV2()
    method.attach(model, state)
    settings = TrainingSettings(steps=steps, learning_rate=START_RATE, seed=seed, evaluate_every=50, schedule="linear")
    fine_tune(model, method, task, settings)
    found = method.state_dict()
    method.detach()
    return found


def scored(model, task, state: dict) -> float:
    """The test score of a prompt."""
    method = PTuningV2()
    method.attach(model, state)
    score = evaluate(model, task, "test")["score"]
    method.detach()
    return score


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
