"""How good a model is at a task: rank the possible answers, or write one, and compare with the true answer."""

import torch

from minipeft.errors import UserError
from minipeft.ranges import COUNT, checked
from minipeft.tasks.answers import slice_scores
from minipeft.tasks.metrics import RANKED
from minipeft.tasks.metrics import score as metric_score
from minipeft.tasks.task import SPLITS, Example, Task
from minipeft.training.batches import (
    Encoded,
    called,
    check_length,
    encode_answer,
    encode_answers,
    encode_examples,
    encode_source,
    positions_for_text,
)
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.text_joints import decode_written

EXTRA_TOKENS = 8  # a written answer may be this much longer than the longest true one


def evaluate(
    model,
    task: Task,
    split: str = "dev",
    batch_size: int = 64,
    limit: int | None = None,
    max_source_length: int = 256,
    predictions: bool = False,
) -> dict:
    """The score of `model` on a split of `task` (its first `limit` examples).

    Returns {"score": percent, "metric", "n"}, "slices" with the score of each where examples have one, and with
    `predictions` the list of predicted texts. Tasks measured by accuracy or macro F1 take the likeliest of their labels
    (or of the example's candidates), end-of-sequence included; all others write greedily. Raises UserError for an
    unknown split and for whatever `check_split` refuses.
    """
    for name, value in (("batch_size", batch_size), ("limit", limit), ("max_source_length", max_source_length)):
        if not (name == "limit" and value is None):
            checked(name, value, COUNT)
    examples = check_split(task, split)[:limit]
    training = model.training
    model.eval()
    try:
        predicted = predict(model, examples, task.labels, task.metric, batch_size, max_source_length, split)
    finally:
        model.train(training)
    score = metric_score(task.metric, predicted, [example.target for example in examples])
    result = {"score": score, "metric": task.metric, "n": len(examples)}
    if slices := slice_scores(task.metric, examples, predicted):
        result["slices"] = slices
    return {**result, "predictions": predicted} if predictions else result


def check_split(task: Task, split: str) -> tuple[Example, ...]:
    """The examples of a split. Raises UserError where there are none or where one cannot be answered rightly."""
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}.")
    examples = getattr(task, split)
    if not examples:
        purpose = "learn from" if split == "train" else "evaluate"
        raise UserError(f"the {split} split of {task.name} is empty: there is nothing to {purpose}.")
    for number, example in enumerate(examples, start=1) if task.metric in RANKED else ():
        choices = example.candidates or tuple(task.labels)
        if set(choices) == {example.target}:
            if example.candidates:
                only_one = f"{called(example, number, split)} has one candidate,"
            else:
                only_one = f"in the {split} split of {task.name} all targets are"
            raise UserError(f"{only_one} {example.target!r}: there is nothing to tell apart; give other answers too.")
        if example.target not in choices:
            known = ", ".join(map(repr, choices))[:200] or "nothing"
            raise UserError(
                f"{called(example, number, split)} has the answer {example.target!r}, and the choice is among {known}: "
                "give the right answer, or add it to the labels or candidates."
            )
    return examples


def check_scored(model, task: Task, max_source_length: int) -> None:
    """Find now what scoring dev and test would stumble on later: UserError names the split. No test is needed."""
    for split in SPLITS[1:] if task.test else SPLITS[1:2]:
        prepare(model, check_split(task, split), task.labels, task.metric, max_source_length, split)


def encode_task(model, task: Task, max_source_length: int) -> list[Encoded]:
    """The train examples as token ids, with every fault of the three splits found before the first step."""
    encoded = encode_examples(model, check_split(task, "train"), max_source_length, "train")
    check_scored(model, task, max_source_length)
    return encoded


def prepare(model, examples, labels, metric: str, max_source_length: int, split: str = ""):
    """The token ids of all sources, and what answers them; every fault of an example is found here."""
    sources = [encode_source(model, example.source) for example in examples]
    if metric in RANKED:
        answer = Ranking(model, [example.candidates or tuple(labels) for example in examples])
    else:
        answer = Writing(model, examples)
    for number, example in enumerate(examples):
        name = called(example, number + 1, split)
        check_length(model, len(sources[number]), answer.longest(number), name, max_source_length)
    return sources, answer


@torch.no_grad()
def predict(model, examples, labels=(), metric="accuracy", batch_size=64, max_source_length=256, split="") -> list[str]:
    """The predicted text of every example, in their order; texts of like length are read together."""
    sources, answer = prepare(model, examples, labels, metric, max_source_length, split)
    order = sorted(range(len(examples)), key=lambda number: len(sources[number]))
    device = next(model.parameters()).device
    predicted = [""] * len(examples)
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        batch = Batch(*pad([sources[number] for number in numbers])).to(device)
        for number, text in zip(numbers, answer(batch, numbers), strict=True):
            predicted[number] = text
    return predicted


class Ranking:
    """Answers by the likeliest of the given texts. Each different text is encoded once.

    Where several answers may stand for one text, its score is their mean.
    """

    def __init__(self, model, choices: list[tuple[str, ...]]):
        for number, texts in enumerate(choices, start=1):
            if len(texts) < 2:
                raise UserError(f"example {number} has {len(texts)} answers to choose from: give it at least two.")
        self.model, self.choices = model, choices
        self.ids = {text: encode_answers(model, text) for texts in set(choices) for text in texts}

    def longest(self, number: int) -> int:
        return max(len(ids) for text in self.choices[number] for ids in self.ids[text])

    def __call__(self, batch: Batch, numbers: list[int]) -> list[str]:
        texts = [self.choices[number] for number in numbers]
        rows = [[ids for text in row for ids in self.ids[text]] for row in texts]
        most = max(map(len, rows))
        rows = [row + row[:1] * (most - len(row)) for row in rows]  # the copies at the end are scored and not looked at
        ids, mask = pad([ids for row in rows for ids in row])
        shape, device = (len(rows), most, -1), batch.source.device  # (batch, answers, length)
        method = getattr(self.model, "attached_method", None)
        score = method.score if method else self.model.score
        scores = score(batch, ids.view(shape).to(device), mask.view(shape).to(device)).tolist()
        return [self.best(row, own) for row, own in zip(texts, scores, strict=True)]

    def best(self, texts: tuple[str, ...], scores: list[float]) -> str:
        """The text with the highest mean score; `scores` holds those of its answers, text after text."""
        remaining, means = iter(scores), {}
        for text in texts:
            means[text] = sum(next(remaining) for _ in self.ids[text]) / len(self.ids[text])
        return max(means, key=means.get)


class Writing:
    """Answers by greedy decoding."""

    def __init__(self, model, examples: tuple[Example, ...]):
        self.model = model
        self.targets = [len(encode_answer(model, example.target)) for example in examples]
        self.limit = max(self.targets) + EXTRA_TOKENS

    def longest(self, number: int) -> int:
        return self.targets[number]

    def __call__(self, batch: Batch, numbers: list[int]) -> list[str]:
        positions = positions_for_text(self.model)
        room = self.limit if positions is None else min(self.limit, positions - batch.source.shape[1])
        if room < self.limit and len(numbers) > 1:  # each text has room of its own, whatever it is read with
            return [text for row, number in enumerate(numbers) for text in self(only(batch, row), [number])]
        method = getattr(self.model, "attached_method", None)
        if method:
            return method.write(batch, room)
        return [decode_written(self.model, row) for row in self.model.generate(batch, room)]


def only(batch: Batch, row: int) -> Batch:
    """One source of a batch, without its padding."""
    length = int(batch.source_mask[row].sum())
    return Batch(batch.source[row : row + 1, :length], batch.source_mask[row : row + 1, :length])
