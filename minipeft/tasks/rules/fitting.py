"""What rules that do not read are made of: words, places in a text, and ways to fit a rule on train.

A rule is a function that takes the train split and gives back one that answers an example.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from minipeft.tasks.task import Example

Answer = Callable[[Example], str]
Rule = Callable[[Sequence[Example]], Answer]


def words(text: str) -> list[str]:
    """The words and signs of a text, in small letters."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def with_neighbours(text: str) -> list[str]:
    """The words of a text and its pairs of words that stand side by side."""
    own = words(text)
    return own + [f"{first} {second}" for first, second in zip(own, own[1:], strict=False)]


def four_letters(text: str) -> list[str]:
    """All that stands in four places in a row of a text's words, their ends marked: "boats" gives "<boa", ..., "ats>".

    Words that no text of train holds still share beginnings and endings with those that do.
    """
    marked = [f"<{word}>" for word in words(text)]
    return [word[start : start + 4] for word in marked for start in range(len(word) - 3)]


def by_place(text: str) -> list[str]:
    """The words of a text, each with its place counted from the bar, or from the start where there is none."""
    own = text.lower().split()
    bar = own.index("|") if "|" in own else 0
    return [f"{number - bar} {word}" for number, word in enumerate(own)]


def lengths_by_place(text: str) -> list[str]:
    """How many letters the word at each place has; places as in `by_place`."""
    places = (placed.split(" ") for placed in by_place(text))
    return [f"{place} {len(word)}" for place, word in places]


def positions(text: str, word: str) -> list[int]:
    """Where a word begins in a text, whole words only."""
    return [match.start() for match in re.finditer(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)]


def naive_bayes(features: Callable[[str], list[str]], pairs: Sequence[tuple[str, str]]) -> Callable[[str], dict]:
    """Fitted on pairs (text, label): the log-chance of each label, every feature of a text by itself, add-one."""
    labels, counts = Counter(label for _, label in pairs), defaultdict(Counter)
    for text, label in pairs:
        counts[label].update(set(features(text)))
    known = {feature for counter in counts.values() for feature in counter}

    def log_chances(text: str) -> dict[str, float]:
        seen = set(features(text)) & known
        return {
            label: math.log(labels[label])
            + sum(math.log((counts[label][feature] + 1) / (labels[label] + 2)) for feature in seen)
            for label in sorted(labels)
        }

    return log_chances


def most_frequent(train: Sequence[Example]) -> Answer:
    """Always the answer that is the most frequent in train."""
    ((answer, _),) = Counter(example.target for example in train).most_common(1)
    return lambda example: answer


def by_feature(feature: Callable[[Example], object]) -> Rule:
    """The rule that looks at one thing only, and says what is the most frequent answer in train where it is so."""

    def fit(train: Sequence[Example]) -> Answer:
        seen = defaultdict(Counter)
        for example in train:
            seen[feature(example)][example.target] += 1
        usual = most_frequent(train)
        best = {value: max(sorted(counts), key=counts.get) for value, counts in seen.items()}
        return lambda example: best.get(feature(example)) or usual(example)

    return fit


def better_of(rule: Callable[[Example, int], str]) -> Rule:
    """The rule with end 0 (the first) or -1 (the last), whichever is right more often in train."""

    def fit(train: Sequence[Example]) -> Answer:
        end = max((0, -1), key=lambda end: sum(rule(example, end) == example.target for example in train))
        return lambda example: rule(example, end)

    return fit
