"""Five grades without five grades of labels: what `pretrain-prompt --kind single` learns from.

PPT took a classifier of five classes, trained on labelled reviews. Ours is full tuning on the train split of
`sentiment_food`, which knows two classes; its probability of "good" is spread over five grades (`grades`), and the
paper's thresholds drop the undecided. So this data is not label-free: compare few-shot scores on `sentiment_food` with
that in mind.
Paper: Gu et al. 2022, arXiv:2109.04332.
Lesson: lessons/08_prompt_transfer. Test: tests/transfer/test_prompt_data.py.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from minipeft.methods.selective.full import Full
from minipeft.models import load
from minipeft.racing.sweep import bundled_rates
from minipeft.tasks.registry import load_task
from minipeft.tasks.task import Example
from minipeft.training.batches import encode_answer, encode_source
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transfer.prompt_pretraining import evenly, grades, pseudo_labelled
from minipeft.transformer.batch import Batch, pad

LABELLED_TASK, GOOD_AND_BAD, STEPS, BATCH = "sentiment_food", ("good", "bad"), 400, 64


def train_classifier(model_name: str, device: str, seed: int, run_dir: Path, steps: int = STEPS):
    """A fully tuned copy of the model that answers "good" or "bad"; a killed run is taken up again from `run_dir`."""
    model, method = load(model_name).to(device), Full()
    method.attach(model)
    rate = bundled_rates(model_name, LABELLED_TASK).get("full")
    settings = TrainingSettings(steps=steps, learning_rate=rate, seed=seed)
    fine_tune(model, method, load_task(LABELLED_TASK), settings, run_dir=run_dir, progress=True)
    return model


@torch.no_grad()
def goodness(model, texts: Sequence[str]) -> list[float]:
    """P("good") of every text, with "bad" the only other answer; texts of like length are read together."""
    sources = [encode_source(model, text) for text in texts]
    answers, mask = pad([encode_answer(model, word) for word in GOOD_AND_BAD])  # (2, length)
    order = sorted(range(len(texts)), key=lambda number: len(sources[number]))
    device, found = next(model.parameters()).device, [0.0] * len(texts)
    for start in range(0, len(order), BATCH):
        numbers = order[start : start + BATCH]
        batch = Batch(*pad([sources[number] for number in numbers])).to(device)
        each = (len(numbers), *answers.shape)
        scores = model.score(batch, answers.expand(each).to(device), mask.expand(each).to(device))  # (batch, 2)
        for number, probability in zip(numbers, scores.softmax(-1)[:, 0].tolist(), strict=True):
            found[number] = probability
    return found


def graded_texts(model, documents: Sequence[Sequence[str]], count: int, generator: Random) -> list[Example]:
    """At most `count` texts of two sentences with their pseudo labels, as many of each."""
    starts = [generator.randrange(len(document) - 1) for document in documents]
    texts = [" ".join(document[i : i + 2]) for document, i in zip(documents, starts, strict=True)]
    return evenly(pseudo_labelled(texts, [grades(value) for value in goodness(model, texts)]), count, generator)
