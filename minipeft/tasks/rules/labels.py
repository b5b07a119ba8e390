"""Rules for tasks with labels: the usual answer, counting words, and looking at one thing only."""

from collections.abc import Callable, Sequence

from minipeft.tasks.rules.fitting import (
    Answer,
    Rule,
    by_feature,
    by_place,
    four_letters,
    lengths_by_place,
    most_frequent,
    naive_bayes,
    positions,
    with_neighbours,
    words,
)
from minipeft.tasks.task import Example


def spoken_for(features: Callable[[str], list[str]]) -> Rule:
    """The label that the features of the source speak for, each by itself."""

    def fit(train: Sequence[Example]) -> Answer:
        log_chances = naive_bayes(features, [(example.source, example.target) for example in train])

        def answer(example: Example) -> str:
            found = log_chances(example.source)
            return max(found, key=found.get)

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
    "naive Bayes on words and pairs": spoken_for(with_neighbours),
    "naive Bayes on words by their place": spoken_for(by_place),
    "naive Bayes on the length of words by their place": spoken_for(lengths_by_place),
    "naive Bayes on four letters in a row": spoken_for(four_letters),
    "words in common": by_feature(words_in_common),
    "the last sentence with the thing": by_feature(asked_in_sentence),
    "what follows the last mention of the thing": by_feature(asked_afterwards),
    "the last sentence": by_feature(asked_at_the_end),
}
