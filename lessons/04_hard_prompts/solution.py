"""Chapter 04, hard prompts: the answers written out."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def label_scores(token_scores: Tensor, real: Tensor, label_of_word: Tensor) -> Tensor:
    of_words = token_scores.masked_fill(~real, 0.0).sum(2)  # (texts, words)
    columns = []
    for label in range(int(label_of_word.max()) + 1):
        own = of_words[:, label_of_word == label]
        columns.append(own.logsumexp(1) - math.log(own.shape[1]))
    return torch.stack(columns, dim=1)


def calibrate(scores: Tensor, content_free: Tensor) -> Tensor:
    logs = content_free.log_softmax(1)
    prior = logs.logsumexp(0) - math.log(len(logs))
    return (scores - prior).log_softmax(1)


def honest_accuracy(right: Tensor) -> float:
    elsewhere = right.sum(1, keepdim=True) - right.long()  # (wordings, texts): how often right on all others
    chosen = elsewhere.argmax(0)  # the first of equal ones
    return 100 * right[chosen, torch.arange(right.shape[1])].double().mean().item()


class LabelPrior:
    def __init__(self, labels: int):
        self.mean = torch.zeros(labels)
        self.texts = 0

    def add(self, scores: Tensor) -> None:
        self.texts += len(scores)
        self.mean = self.mean + (scores - self.mean).sum(0) / self.texts

    def without(self, scores: Tensor) -> Tensor:
        return scores - self.mean


COST = {
    "tokens": 7 * (13 + 6 + 2) + 13 + 6 + 1,
    "multiplications": 3 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 2 * 88 * 167 * 167),
    "readings": 23 * 30,
    "readings behind demonstrations": 23 * 4 * 3 * 30,
}


def check_render(render: Callable[[str, list[tuple[str, str]], dict[str, str], str], str]) -> None:
    words = {"good": "Yes.", "bad": "No.", "mixed": "So, so."}
    shown = [("a b", "bad"), ("{source} c", "good"), (" d}{ ", "mixed"), ("a b", "bad"), ("e", "good"), ("Aa", "bad")]
    for template in ("{source} So?", "Is it? {source}", "say {source} now:"):
        for before in ([], shown[:1], shown[1:2], shown[2:4], shown):
            for source in ("x y", "{source}", " z "):
                expected = ""
                for text, label in before:
                    expected += template.replace("{source}", text) + " " + words[label] + " "
                expected += template.replace("{source}", source)
                for _ in range(2):
                    given, same = list(before), dict(words)
                    assert render(template, given, same, source) == expected
                    assert given == before and same == words


def rank_orders(scores: Tensor) -> Tensor:
    answers = scores.argmax(2)  # (orders, texts)
    shares = torch.stack([(answers == label).double().mean(1) for label in range(scores.shape[2])], dim=1)
    entropy = torch.special.entr(shares).sum(1)
    return entropy.round(decimals=6).argsort(descending=True, stable=True)
