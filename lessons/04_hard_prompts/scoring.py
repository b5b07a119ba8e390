"""How likely each word is after each text, in a template and behind demonstrations, and what follows from that."""

from collections.abc import Sequence

import torch

from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.tasks.task import Example
from minipeft.training.batches import encode_answers, encode_source
from minipeft.transformer.batch import Batch, pad

BATCH = 8  # texts at once: with 64, forty words behind each take twice the time, most of it for finding memory


@torch.no_grad()
def word_scores(
    model, template: str, texts: Sequence[str], words: Sequence[str], demonstrations: Sequence[tuple[str, str]] = ()
) -> torch.Tensor:
    """Log-likelihoods in nats, (texts, words): end-of-sequence included, as `evaluate` ranks answers.

    demonstrations: pairs of a source and the word that stands behind it.
    """
    method = HardPrompt(template, demonstrations)
    method.attach(model)
    try:
        sources = [encode_source(model, text) for text in texts]
        answers, mask = pad([encode_answers(model, word)[0] for word in words])  # (words, length)
    finally:
        method.detach()
    order = sorted(range(len(texts)), key=lambda number: len(sources[number]))
    scores = torch.empty(len(texts), len(words))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        shape = (len(rows), -1, -1)
        batch = Batch(*pad([sources[row] for row in rows]))
        scores[rows] = model.score(batch, answers.expand(shape), mask.expand(shape))
    return scores


def calibrated(scores: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Scores (texts, labels) less the mean score that each label has over other texts, (others, labels)."""
    return scores - others.mean(0)


def places(examples: Sequence[Example], labels: Sequence[str]) -> torch.Tensor:
    """The place of each example's label among all, (examples,)."""
    return torch.tensor([labels.index(example.target) for example in examples])


def percent(right: torch.Tensor) -> float:
    return 100 * float(right.double().mean())


def rightness(scores: torch.Tensor, examples: dict, labels: list[str]) -> dict[str, dict[str, torch.Tensor]]:
    """By way and split, which texts are answered rightly.

    scores: of dev, test and texts that say nothing, one below the other. Each split's other texts are those of dev.
    """
    dev, test, nothing = scores.split([*map(len, examples.values()), len(scores) - sum(map(len, examples.values()))])
    ways = {"as it is": torch.zeros(1, len(labels)), "nothing": nothing, "unlabelled": dev}
    true = {split: places(found, labels) for split, found in examples.items()}
    return {
        way: {split: calibrated(own, others).argmax(1) == true[split]
              for split, own in (("dev", dev), ("test", test))}
        for way, others in ways.items()
    }  # fmt: skip


def in_lines(found: dict) -> dict:
    """The counts of each wording in a line of text, "31 28 30 33 29", a fifth of the bytes of results.json."""
    prompts = {wording: {way: " ".join(map(str, counts)) for way, counts in ways.items()}
               for wording, ways in found["prompts"].items()}  # fmt: skip
    return found | {"prompts": prompts}
