"""PPT on its right base: do its four pre-trainings teach the prompt anything, and does that help with few examples?"""

import os
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from minipeft.course.experiment import kept, race
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.prompts.ppt import PPT, TEMPLATES
from minipeft.methods.prompts.spot import save_prompt
from minipeft.methods.prompts.template import Template
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transfer.prompt_data import made_task
from minipeft.transformer.text_joints import encode_written

BASE, ADAPTED = "t5-0.8m-span", "t5-0.8m"
FORMS = ("single", "pair", "choice", "unified")
PRETRAINING, DOCUMENTS, LORA_RATE = 1000, 12000, 0.01
FEW, SHOTS, FEW_STEPS = "sentiment", (32, 256), 100
HYBRID = "template={source} It was <X>"


@dataclass
class LoRAInForm(LoRA):
    """LoRA that reads and answers in a form of PPT's: how much of that pre-training the base can learn at all."""

    form: str = "single"

    def source_ids(self, text: str) -> list[int]:
        return Template(TEMPLATES[self.form]).encode(text, self.model.tokenizer)

    def answer_ids(self, text: str) -> list[list[int]]:
        return [[self.model.tokenizer.sentinel(0), *encode_written(self.model, text)]]


def pretrained(args: Namespace, form: str) -> dict:
    """Pre-train a prompt, and LoRA beside it: dev scores, and what a blind guess has. Writes the prompt's file.

    The classifier that grades single texts is a fully tuned copy of the adapted base, the better one.
    """
    found = {}
    for name in ("prompt", "lora"):
        model = load(BASE).to(args.device)
        asked = Namespace(kind=form, documents=600 if args.quick else DOCUMENTS, prompt_length=20, model=ADAPTED,
                          device=args.device, seed=0)  # fmt: skip
        task = made_task(asked, model, Path(args.out) / "labels")
        if args.quick:
            task = replace(task, dev=task.dev[:40])
        method = PPT(format=form) if name == "prompt" else LoRAInForm(form=form)
        torch.manual_seed(0)
        method.attach(model)
        steps = 4 if args.quick else PRETRAINING
        rate = None if name == "prompt" else LORA_RATE
        settings = TrainingSettings(steps=steps, learning_rate=rate, evaluate_every=max(1, steps // 2))
        fine_tune(model, method, task, settings)
        found[name] = evaluate(model, task, "dev")["score"]
        if name == "prompt":
            (prompt,) = method.state_dict().values()
            save_prompt(file_of(args, form), prompt, method.fingerprint, BASE, f"ppt-{form}", provenance())
    return found | {"guess": guess(task)}


def guess(task) -> float:
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
        ADAPTED: ["full", "prompt=prompt_tuning"],
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
    forms = {form: kept(args, f"pretrained-{form}", lambda form=form: pretrained(args, form)) for form in FORMS}
    return {"forms": forms, "few": few(args)}
