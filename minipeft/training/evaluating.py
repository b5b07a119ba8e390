"""How good a model is at a task: rank the possible answers, or write one, and compare with the true answer."""

import torch

from minipeft.errors import UserError
from minipeft.tasks.metrics import score as metric_score
from minipeft.tasks.task import SPLITS, Example, Task
from minipeft.training.batches import check_length, encode_answer, encode_source
from minipeft.transformer.batch import Batch, pad

RANKED = ("accuracy", "macro_f1")  # metrics of tasks that are answered by choosing; the others by writing
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

    Returns {"score": percent, "metric", "n"} and with `predictions` the list of predicted texts. Tasks measured by
    accuracy or macro F1 take the likeliest of their labels (or of the example's candidates), end-of-sequence included;
    all others write greedily. Raises UserError for an unknown split and for an example too long for the model.
    """
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}.")
    examples = getattr(task, split)[:limit]
    if not examples:
        raise UserError(f"the {split} split of {task.name} is empty: there is nothing to evaluate.")
    training = model.training
    model.eval()
    try:
        predicted = predict(model, examples, task.labels, task.metric, batch_size, max_source_length)
    finally:
        model.train(training)
    score = metric_score(task.metric, predicted, [example.target for example in examples])
    result = {"score": score, "metric": task.metric, "n": len(examples)}
    return {**result, "predictions": predicted} if predictions else result


@torch.no_grad()
def predict(model, examples, labels=(), metric="accuracy", batch_size=64, max_source_length=256) -> list[str]:
    """The predicted text of every example, in their order; texts of like length are read together."""
    sources = [encode_source(model, example.source) for example in examples]
    if metric in RANKED:
        choices = [example.candidates or tuple(labels) for example in examples]
        answer = Ranking(model, choices)
    else:
        answer = Writing(model, examples)
    for number, example in enumerate(examples):
        check_length(model, len(sources[number]), answer.longest(number), number + 1, example, max_source_length)
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
    """Answers by the likeliest of the given texts. Each different text is encoded once."""

    def __init__(self, model, choices: list[tuple[str, ...]]):
        for number, texts in enumerate(choices, start=1):
            if len(texts) < 2:
                raise UserError(f"example {number} has {len(texts)} answers to choose from: give it at least two.")
        self.model, self.choices = model, choices
        self.ids = {text: encode_answer(model, text) for texts in set(choices) for text in texts}

    def longest(self, number: int) -> int:
        return max(len(self.ids[text]) for text in self.choices[number])

    def __call__(self, batch: Batch, numbers: list[int]) -> list[str]:
        texts = [self.choices[number] for number in numbers]
        most = max(map(len, texts))
        # Rows with fewer choices are filled with their own first one: a copy can tie with it, never beat it.
        filled = [row + row[:1] * (most - len(row)) for row in texts]
        ids, mask = pad([self.ids[text] for row in filled for text in row])
        shape, device = (len(texts), most, -1), batch.source.device  # (batch, choices, length)
        scores = self.model.score(batch, ids.view(shape).to(device), mask.view(shape).to(device))
        return [row[best] for row, best in zip(filled, scores.argmax(-1).tolist(), strict=True)]


class Writing:
    """Answers by greedy decoding."""

    def __init__(self, model, examples: tuple[Example, ...]):
        self.model = model
        self.targets = [len(encode_answer(model, example.target)) for example in examples]
        self.limit = max(self.targets) + EXTRA_TOKENS

    def longest(self, number: int) -> int:
        return self.targets[number]

    def __call__(self, batch: Batch, numbers: list[int]) -> list[str]:
        positions = getattr(self.model.config, "max_length", None)
        room = self.limit if positions is None else min(self.limit, positions - batch.source.shape[1])
        return [self.model.tokenizer.decode(row) for row in self.model.generate(batch, room)]
