"""Rules for tasks with labels: the usual answer, counting words, and looking at one thing only."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from minipeft.tasks.rules.fitting import (
    Answer,
    Rule,
    by_feature,
    four_letters,
    most_frequent,
    positions,
    with_neighbours,
    words,
)
from minipeft.tasks.task import Example


def naive_bayes(features: Callable[[str], list[str]]) -> Rule:
    """The label that the features of the source speak for, each by itself (add-one counts)."""

    def fit(train: Sequence[Example]) -> Answer:
        labels, counts = Counter(example.target for example in train), defaultdict(Counter)
        for example in train:
            counts[example.target].update(set(features(example.source)))
        known = {feature for counter in counts.values() for feature in counter}

        def answer(example: Example) -> str:
            seen = set(features(example.source)) & known

            def log_chance(label: str) -> float:
                return math.log(labels[label]) + sum(
                    math.log((counts[label][feature] + 1) / (labels[label] + 2)) for feature in seen
                )

            return max(sorted(labels), key=log_chance)

        return answer

    return fit


def words_in_common(example: Example) -> int:
    """How many words the parts of a source share."""
    first, _, second = example.source.rpartition(" | ")
    return len(set(words(first)) & set(words(second)))


def asked_in_sentence(example: Example) -> bool:
    """Of "lamp kitchen | story": whether the last sentence that names the first word names the second too."""
    asked, _, story = example.source.partition(" | ")
    named = [sentence for sentence in story.split(". ") if positions(sentence, asked.split()[0])]
    return bool(named) and bool(positions(named[-1], asked.split()[-1]))


def asked_afterwards(example: Example) -> bool:
    """Of "lamp kitchen | story": whether the second word comes after the last mention of the first."""
    asked, _, story = example.source.partition(" | ")
    first, second = (positions(story, word) or [-1] for word in (asked.split()[0], asked.split()[-1]))
    return second[-1] > first[-1]


def asked_at_the_end(example: Example) -> bool:
    """Of "lamp kitchen | story": whether the last sentence names the second word."""
    asked, _, story = example.source.partition(" | ")
    return bool(positions(story.rstrip(".").split(". ")[-1], asked.split()[-1]))


LABELS: dict[str, Rule] = {
    "the most frequent answer": most_frequent,
    "naive Bayes on words and pairs": naive_bayes(with_neighbours),
    "naive Bayes on four letters in a row": naive_bayes(four_letters),
    "words in common": by_feature(words_in_common),
    "the last sentence with the thing": by_feature(asked_in_sentence),
    "what follows the last mention of the thing": by_feature(asked_afterwards),
    "the last sentence": by_feature(asked_at_the_end),
}
