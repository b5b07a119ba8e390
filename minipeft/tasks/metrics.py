"""Scores in percent for lists of predicted and true texts.

Texts are compared with white space folded. `overlap` is BLEU's arithmetic (Papineni et al. 2002) over the whole list.
"""

import math
from collections import Counter
from collections.abc import Sequence

LONGEST_NGRAM = 4
RANKED = ("accuracy", "macro_f1")  # metrics of tasks that are answered by choosing; the others by writing


def accuracy(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """The share of predictions equal to their target, in percent."""
    pairs = _pairs(predictions, targets)
    return 100.0 * sum(got == wanted for got, wanted in pairs) / len(pairs)


exact_match = accuracy  # the usual name when the answer was generated, not chosen


def macro_f1(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """The mean over the labels of F1 = 2 TP / (2 TP + FP + FN), in percent: every label weighs the same."""
    pairs = _pairs(predictions, targets)
    labels = {label for pair in pairs for label in pair}
    return 100.0 * sum(_label_f1(pairs, label) for label in labels) / len(labels)


def tagging_f1(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """F1 of entities over all texts, in percent: an entity counts when its text and kind are both right.

    A text lists its entities as "kind: entity" parted by ";", as in "person: Anna; place: garden". Order is free.
    """
    right = predicted = true = 0
    for got, wanted in _pairs(predictions, targets):
        got, wanted = _entities(got), _entities(wanted)
        right += (got & wanted).total()
        predicted, true = predicted + got.total(), true + wanted.total()
    return 100.0 * 2 * right / (predicted + true) if predicted + true else 100.0


def overlap(predictions: Sequence[str], targets: Sequence[str]) -> float:
    """BLEU in percent: brevity penalty times the geometric mean of the clipped n-gram precisions, n = 1 to 4.

    Counts are summed over the list first. Words are parted at white space. Where no prediction is long enough to have
    any n-gram of some length, that length is left out of the mean, so that short answers can be scored at all.
    """
    pairs = [(got.split(), wanted.split()) for got, wanted in _pairs(predictions, targets)]
    logarithms = []
    for n in range(1, LONGEST_NGRAM + 1):
        matched = sum((_ngrams(got, n) & _ngrams(wanted, n)).total() for got, wanted in pairs)
        possible = sum(_ngrams(got, n).total() for got, _ in pairs)
        if possible and not matched:
            return 0.0
        if possible:
            logarithms.append(math.log(matched / possible))
    if not logarithms:
        return 0.0
    got_length, wanted_length = (sum(map(len, texts)) for texts in zip(*pairs, strict=True))
    brevity = min(1.0, math.exp(1 - wanted_length / got_length))
    return 100.0 * brevity * math.exp(sum(logarithms) / len(logarithms))


def folded(text: str) -> str:
    """The text with its white space folded: as answers are compared, and labels told apart."""
    return " ".join(text.split())


METRIC_FUNCTIONS = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "macro_f1": macro_f1,
    "tagging_f1": tagging_f1,
    "overlap": overlap,
}


def score(metric: str, predictions: Sequence[str], targets: Sequence[str]) -> float:
    """The metric of that name, in percent."""
    if metric not in METRIC_FUNCTIONS:
        raise ValueError(f"There is no metric {metric!r}; choose one of {', '.join(METRIC_FUNCTIONS)}.")
    return METRIC_FUNCTIONS[metric](predictions, targets)


def _pairs(predictions: Sequence[str], targets: Sequence[str]) -> list[tuple[str, str]]:
    if len(predictions) != len(targets) or not targets:
        raise ValueError(f"Need one prediction per target and at least one: got {len(predictions)} and {len(targets)}.")
    return [(folded(got), folded(wanted)) for got, wanted in zip(predictions, targets, strict=True)]


def _label_f1(pairs: list[tuple[str, str]], label: str) -> float:
    both = sum(got == wanted == label for got, wanted in pairs)
    either = sum((got == label) + (wanted == label) for got, wanted in pairs)  # 2 TP + FP + FN
    return 2 * both / either


def _entities(text: str) -> Counter:
    parts = (part.split(":", 1) for part in text.split(";") if part.strip())
    return Counter(tuple(piece.strip() for piece in part) for part in parts)


def _ngrams(words: list[str], n: int) -> Counter:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
