"""Rules for tasks that are answered by writing: an answer of train, the source itself, a frame, a list of words."""

import re
from collections import Counter
from collections.abc import Sequence

from minipeft.tasks.rules.fitting import Answer, Rule, most_frequent, words
from minipeft.tasks.task import Example

USUAL = 0.1  # the share of answers that a word has to be in to belong to the frame of all


def nearest(train: Sequence[Example]) -> Answer:
    """The answer of the example of train that has the most words in common."""
    known = [(set(words(example.source)), example.target) for example in train]

    def answer(example: Example) -> str:
        own = set(words(example.source))
        return max(known, key=lambda one: len(one[0] & own) - len(one[0]) / 100)[1]

    return answer


def copied(train: Sequence[Example]) -> Answer:
    """The source itself."""
    return lambda example: example.source


def filled_frame(train: Sequence[Example]) -> Answer:
    """The most typical answer of train, its rarer words replaced by those of the source, in their order."""
    counts = Counter(word for example in train for word in set(example.target.split()))
    usual = {word for word, count in counts.items() if count >= USUAL * len(train)}
    frame = max((example.target.split() for example in train), key=lambda target: sum(counts[word] for word in target))

    def answer(example: Example) -> str:
        supply = iter(example.source.split())
        return " ".join(word if word in usual else next(supply, word) for word in frame)

    return answer


def word_list(train: Sequence[Example]) -> Answer:
    """`kind: word` for every word of the source that is no word of every day: its kind in train, or the commonest."""
    kinds, plain = {}, set()
    for example in train:
        tagged = dict(reversed(tag.split(": ")) for tag in example.target.split("; ") if ": " in tag)
        kinds |= tagged
        plain |= {word for word in re.findall(r"\w+", example.source) if word not in tagged}
    commonest = Counter(kinds.values()).most_common(1)[0][0] if kinds else ""

    def answer(example: Example) -> str:
        found = [word for word in re.findall(r"\w+", example.source) if word not in plain and word[0].islower()]
        return "; ".join(f"{kinds.get(word, commonest)}: {word}" for word in found)

    return answer


def after_articles(train: Sequence[Example]) -> Answer:
    """`kind: word` for every word after an article, the kind being the commonest of train."""
    kinds = Counter(tag.split(": ")[0] for example in train for tag in example.target.split("; ") if ": " in tag)
    commonest = kinds.most_common(1)[0][0] if kinds else ""

    def answer(example: Example) -> str:
        return "; ".join(f"{commonest}: {word}" for word in re.findall(r"\b[Tt]he (\w+)", example.source))

    return answer


TEXTS: dict[str, Rule] = {
    "the most frequent answer": most_frequent,
    "the answer to the most similar source": nearest,
    "a copy of the source": copied,
    "the usual frame with the words of the source": filled_frame,
    "a list of the words of train": word_list,
    "a list of what follows an article": after_articles,
}
