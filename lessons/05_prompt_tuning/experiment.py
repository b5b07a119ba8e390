"""Prompt tuning measured: against words and full tuning, five prompts that vote, many tasks in one batch.

    python lessons/05_prompt_tuning/experiment.py [--seeds 5] [--quick]     two hours; can be killed and run again
    python lessons/05_prompt_tuning/experiment.py --figures                 draws from results.json alone

Where it says so, scores are those of the project's races in data/results/. Every row has its own sweep of rates; the
twins of a base, which differ from it by the seed of pretraining alone, take the base's.
"""

import json
import statistics
import sys
import time
from itertools import cycle, islice

import torch
from torch import nn

from minipeft.course.experiment import main, race
from minipeft.flags import ended
from minipeft.memory.counting import step_memory
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import prompt_names, read_prompt_file
from minipeft.models import CHECKPOINTS, load
from minipeft.paths import DATA
from minipeft.serving.mixed_batch import MixedBatch
from minipeft.tasks.hand_written import first_prompt
from minipeft.tasks.registry import load_task
from minipeft.training.batches import encode_source
from minipeft.training.evaluating import evaluate
from minipeft.transformer.batch import Batch, pad

TASK, STEPS, BASE = "topic", 300, "t5-0.8m"
SIZES = ("t5-0.4m", "t5-0.8m", "t5-1.7m", "t5-3.5m")
TWINS = {size: [f"{size}-seed{seed}" for seed in (1, 2)] for size in SIZES[:2]}  # pretrained alike, with other seeds
BRANCHES = ("t5-0.8m-span", "t5-0.8m-lm100e3", "t5-0.8m-lm500e3", "t5-0.8m-lm2e6", "t5-0.8m-lm8e6")
LENGTHS = (1, 5, 20, 100)
TASKS = ("topic", "sentiment")
FILES = {"topic": "topic", "sentiment": "sentiment-all"}  # raced with 600 steps and 5 seeds for data/results/


def runs(args) -> dict:
    """Everything that is measured, and the races of data/results/ that the chapter reads."""
    torch.set_num_threads(1)
    return {
        "bundled": bundled(),
        "bases": {name: words_on(name, args) for name in (*BRANCHES, *SIZES)},
        "memory": {str(length): memory(length) for length in LENGTHS},
        "tokens": tokens(args),
        "batches": batches(args),
        "races": races(args),
    }


def races(args) -> dict:
    """Prompts and full tuning by task and size, on twins of the small bases, from three starts, in four lengths."""
    told, found = {"args": args, "steps": STEPS}, {}
    rows = ["prompt_tuning", "full"]
    found["sizes"] = {task: {size: race(f"{task}-{size}", rows, size, task, **told) for size in SIZES}
                      for task in TASKS}  # fmt: skip
    starts = ["uniform=prompt_tuning:init=uniform", "labels=prompt_tuning:init=labels:labels=task"]
    found["starts"] = race("starts", starts, BASE, TASK, **told)
    lengths = [f"length {n}=prompt_tuning:prompt_length={n}" for n in LENGTHS if n != PromptTuning.prompt_length]
    found["lengths"] = race("lengths", lengths, BASE, TASK, **told)
    found["twins"] = {task: {} for task in TASKS}
    for task, by_size in found["sizes"].items():
        for size, twins in TWINS.items():
            rates = by_size[size]["learning_rates"]
            found["twins"][task] |= {
                twin: race(f"{task}-{twin}", rows, twin, task, rates=rates, **told) for twin in twins
            }
    return found


def bundled_result(name: str) -> dict:
    return json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf-8"))


def bundled() -> dict:
    """What earlier races and studies measured on the same base, with 600 steps: data/results/."""
    races = {task: bundled_result(file) for task, file in FILES.items()}
    return {
        "scores": {
            task: {
                row["method"]: {key: row[key] for key in ("scores", "mean", "interval", "trained")}
                for row in race["rows"] if row["method"] in ("hard_prompt", "prompt_tuning", "full")
            } for task, race in races.items()
        },
        "chance": {task: race["chance"] for task, race in races.items()},
        "votes": {task: bundled_result(f"{task}-ensemble") for task in TASKS},
        "commits": {task: race["commits"] for task, race in races.items()},
    }  # fmt: skip


def words_on(name: str, args) -> dict:
    """What a base does with the hand-written prompt of `topic`, untrained: ranking the labels, and writing freely."""
    model, task, told = load(name), load_task(TASK), first_prompt(TASK)
    method = HardPrompt(**told)
    method.attach(model)
    examples = task.test[: 100 if args.quick else None]
    sources = [encode_source(model, example.source) for example in examples]
    written = [row for start in range(0, len(sources), 64)
               for row in model.generate(Batch(*pad(sources[start : start + 64])), 6)]  # fmt: skip
    made = json.loads((CHECKPOINTS / name / "results.json").read_text(encoding="utf-8"))
    legal = {word for words in told["verbalizer"].values() for word in words}
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "objective": made["settings"]["text"]["objective"],
        "tokens": made["tokens"] if made["settings"]["text"]["objective"] == "prefix" else 0,
        "skills": made["curve"][-1]["skills"],
        "ranked": evaluate(model, task, "test", limit=len(examples))["score"],
        "legal": 100 * statistics.mean(model.tokenizer.decode(row) in legal for row in written),
        "sentinel": 100 * statistics.mean(row[:1] == [model.tokenizer.sentinel(0)] for row in written),
    }


def memory(length: int) -> dict[str, int]:
    """Bytes at one training step of 32 texts with a prompt of so many vectors."""
    model, method = load(BASE), PromptTuning(prompt_length=length)
    method.attach(model)
    return step_memory(model, method, load_task(TASK), 32)


def tokens(args) -> dict:
    """The bundled prompts against the vocabulary: the score when each vector is replaced by the token nearest to it."""
    limit = {"limit": 100 if args.quick else None}
    model, result = load(BASE), {}
    table = model.embedding.weight.detach()  # (vocabulary, hidden)
    for name in ("sentiment", "sentiment_food"):
        prompt = read_prompt_file(name)["prompt"]  # (prompt_length, hidden)
        similarity = nn.functional.normalize(prompt, dim=1) @ nn.functional.normalize(table, dim=1).T
        nearest = similarity.argmax(1)  # (prompt_length,)
        found = {"tokens": [model.tokenizer.decode([token]) for token in nearest.tolist()]}
        found["cosine"] = statistics.mean(similarity.max(1).values.tolist())
        found["length"] = statistics.median(prompt.norm(dim=1).tolist())
        for kind, start in (("trained", prompt), ("nearest", table[nearest])):
            method = PromptTuning(prompt_length=len(prompt))
            method.start_from(start)
            method.attach(model)
            found[kind] = evaluate(model, load_task(name), "test", **limit)["score"]
            method.detach()
        result[name] = found
    return {"prompts": result, "length_of_tokens": statistics.median(table.norm(dim=1).tolist())}


def batches(args) -> dict:
    """Milliseconds to answer one text of each of n tasks: rows of one batch, or one batch for each; by turns."""
    model, result = load(BASE), {}
    prompts = [read_prompt_file(name)["prompt"] for name in prompt_names()]  # of 20 vectors each
    states = [{"encoder.prompt": prompt} for prompt in islice(cycle(prompts), 32)]
    texts = [encode_source(model, example.source) for example in load_task(TASK).test[:32]]
    for number in (2, 8, 32):
        mixed, switched = MixedBatch(PromptTuning(), states[:number]), PromptTuning()
        mixed_model, switched_model = load(BASE), load(BASE)
        mixed.attach(mixed_model)
        switched.attach(switched_model)
        batch = Batch(*pad(texts[:number]))
        times = {"mixed": [], "switched": []}
        for _ in range(3 if args.quick else 15):
            started = time.perf_counter()
            with mixed.rows(range(number)):
                together = mixed_model.generate(batch, 4)
            middle = time.perf_counter()
            one_by_one = []
            for row in range(number):
                switched.load_state_dict(states[row])
                one_by_one += switched_model.generate(Batch(*pad(texts[row : row + 1])), 4)
            times["mixed"].append(1000 * (middle - started))
            times["switched"].append(1000 * (time.perf_counter() - middle))
        same = statistics.mean(a == b for a, b in zip(together, one_by_one, strict=True))
        result[str(number)] = {**times, "same": same}
    return result


if __name__ == "__main__":
    sys.exit(ended(lambda: main(__file__, runs)))
