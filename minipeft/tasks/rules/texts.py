"""Rules for tasks that are answered by writing: an answer of train, the source itself, a frame, a list of words."""

import re
from collections import Counter
from collections.abc import Sequence

from minipeft.tasks.rules.fitting import Answer, Rule, four_letters, most_frequent, naive_bayes, words
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


def typical(train: Sequence[Example]) -> tuple[set[str], list[str]]:
    """The words that many answers of train have, and the answer that has most of them, as words."""
    counts = Counter(word for example in train for word in set(example.target.split()))
    usual = {word for word, count in counts.items() if count >= USUAL * len(train)}
    return usual, max((example.target.split() for example in train), key=lambda words: sum(counts[w] for w in words))


def filled_frame(train: Sequence[Example]) -> Answer:
    """The most typical answer of train, its rarer words replaced by those of the source, in their order."""
    usual, frame = typical(train)

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


def shape(word: str) -> list[str]:
    """What a word shows to whoever does not know it: itself, four letters in a row, and a capital at its front."""
    return [word, *four_letters(word), *(["a capital"] if word[:1].isupper() else [])]


def kinds_by_letters(train: Sequence[Example]) -> Answer:
    """`kind: word` for every word after an article, the kind being that of words of train with such letters."""
    tags = [tag.split(": ") for example in train for tag in example.target.split("; ") if tag.count(": ") == 1]
    log_chances = naive_bayes(shape, [(word, kind) for kind, word in tags])

    def kind(word: str) -> str:
        found = log_chances(word)
        return max(found, key=found.get, default="")

    return lambda example: "; ".join(f"{kind(word)}: {word}" for word in re.findall(r"\b[Tt]he (\w+)", example.source))


def phrases_by_letters(train: Sequence[Example]) -> Answer:
    """`Anna eats the plum and drives the car.` of `plum Anna car`: every word with letters like the plum's is eaten.

    Who a sentence is about has a capital; of each other word of the source, in their order, an answer of train has one
    part, "and" between them. Where answers of train are made in another way, the source is the answer.
    """
    pairs = []
    for example in train:
        parts = example.target.rstrip(".").partition(" ")[2].split(" and ")
        things = [word for word in example.source.split() if word.islower()]
        if len(parts) == len(things) and all(word in part for word, part in zip(things, parts, strict=True)):
            pairs += [(word, part.replace(word, "{}")) for word, part in zip(things, parts, strict=True)]
    if not pairs:
        return copied(train)
    log_chances = naive_bayes(shape, pairs)

    def phrase(word: str) -> str:
        found = log_chances(word)
        return max(found, key=found.get).format(word)

    def answer(example: Example) -> str:
        own = example.source.split()
        who = [word for word in own if not word.islower()]
        return f"{' '.join(who)} {' and '.join(phrase(word) for word in own if word.islower())}."

    return answer


TEXTS: dict[str, Rule] = {
    "the most frequent answer": most_frequent,
    "the answer to the most similar source": nearest,
    "a copy of the source": copied,
    "the usual frame with the words of the source": filled_frame,
    "each word of the source in a phrase by its letters": phrases_by_letters,
    "a list of the words of train": word_list,
    "a list of what follows an article": after_articles,
    "what follows an article, its kind by its letters": kinds_by_letters,
}
