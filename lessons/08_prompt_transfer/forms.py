"""PPT on its right base: do its four pre-trainings teach the prompt anything, and does that help with few examples?"""

import os
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from minipeft.course.experiment import kept, race
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.method import Method
from minipeft.methods.prompts.ppt import PPT, TEMPLATES
from minipeft.methods.prompts.spot import save_prompt
from minipeft.methods.prompts.template import Template
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.tasks.task import Task
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transfer.prompt_data import made_task
from minipeft.transformer.text_joints import encode_written

BASE, ADAPTED = "t5-0.8m-span", "t5-0.8m"
STEPS = {"single": 1000, "pair": 1000, "choice": 400, "unified": 300}  # the last two have long sources
DOCUMENTS, PROMPT_RATES, LORA_RATES = 12000, (0.1, 0.3), (0.01,)
FEW, SHOTS, FEW_STEPS = "sentiment", (32, 256), 100
HYBRID = "template={source} It was <X>"  # words around the blank of the span base
CUE = "template={source} All in all, it was"  # pretraining's own words before a judgement


@dataclass
class LoRAInForm(LoRA):
    """LoRA that reads and answers in a form of PPT's: how much of that pre-training the base can learn at all."""

    form: str = "single"

    def source_ids(self, text: str) -> list[int]:
        return Template(TEMPLATES[self.form]).encode(text, self.model.tokenizer)

    def answer_ids(self, text: str) -> list[list[int]]:
        return [[self.model.tokenizer.sentinel(0), *encode_written(self.model, text)]]


def pretrained(args: Namespace, form: str) -> dict:
    """Pre-train prompts and LoRA: their best dev scores, and that of a blind guess. Writes the best prompt's file.

    The classifier that grades single texts is a fully tuned copy of the adapted base, the better one.
    """
    asked = Namespace(kind=form, documents=600 if args.quick else DOCUMENTS, prompt_length=20, model=ADAPTED,
                      device=args.device, seed=0)  # fmt: skip
    task = made_task(asked, load(BASE).to(args.device), Path(args.out) / "labels")
    task = replace(task, dev=task.dev[: 40 if args.quick else 600])
    prompts = {rate: one_pretraining(args, task, PPT(format=form), form, rate) for rate in PROMPT_RATES}
    loras = [one_pretraining(args, task, LoRAInForm(form=form), form, rate)["dev"] for rate in LORA_RATES]
    best = max(prompts, key=lambda rate: prompts[rate]["dev"])
    method = prompts[best]["method"]
    (prompt,) = method.state_dict().values()
    save_prompt(file_of(args, form), prompt, method.fingerprint, BASE, f"ppt-{form}", provenance())
    return {"prompt": prompts[best]["dev"], "rate": best, "lora": max(loras), "guess": guess(task)}


def one_pretraining(args: Namespace, task: Task, method: Method, form: str, rate: float) -> dict:
    model = load(BASE).to(args.device)
    torch.manual_seed(0)
    method.attach(model)
    steps = 4 if args.quick else STEPS[form]
    settings = TrainingSettings(steps=steps, learning_rate=rate, evaluate_every=max(1, steps // 2))
    return {"dev": fine_tune(model, method, task, settings).best_dev, "method": method}


def guess(task: Task) -> float:
    """The mean of one over the number of answers to choose from, in percent."""
    sizes = [len(example.candidates or task.labels) for example in task.dev]
    return 100 * sum(1 / size for size in sizes) / len(sizes)


def file_of(args: Namespace, form: str) -> str:
    return os.path.relpath(Path(args.out) / f"ppt-{form}.pt")


def few(args: Namespace) -> dict:
    """Few examples of sentiment. The rates that win with the fewest serve with more, too."""
    ready = f"ppt:pretrained={file_of(args, 'single')}"
    rows = {
        BASE: ["full", "prompt=ppt", "uniform=ppt:init=uniform", f"hybrid=ppt:{HYBRID}", f"ppt={ready}",
               f"hybrid ppt={ready}:{HYBRID}"],
        ADAPTED: ["full", "prompt=prompt_tuning", "uniform=prompt_tuning:init=uniform",
                  f"hybrid=prompt_tuning:{CUE}", "blank=ppt", "ppt=ppt:pretrained=ppt-single"],
    }  # fmt: skip
    found, rates = {}, {}
    for shots in SHOTS:
        found[f"{shots}"] = {}
        for base, entries in rows.items():
            name = f"few-{shots}-{'span' if base == BASE else 'adapted'}"
            raced = race(name, entries, base, FEW, args, FEW_STEPS, rates.get(base), shots=shots)
            found[f"{shots}"][base] = raced
            if not args.quick:
                rates.setdefault(base, raced["learning_rates"])
    return found


def study(args: Namespace) -> dict:
    forms = {form: kept(args, f"pretrained-{form}", lambda form=form: pretrained(args, form)) for form in STEPS}
    return {"forms": forms, "few": few(args)}
