"""Rules for tasks that name the candidates: by their place in the text, by their words, by their neighbours."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from minipeft.tasks.rules.fitting import Answer, Rule, better_of, positions, with_neighbours, words
from minipeft.tasks.task import Example


def by_place(example: Example, end: int) -> str:
    """The candidate whose first (or last) mention comes first (or last)."""
    text = example.source.rpartition(" | ")[2]
    found = {word: positions(text, word) for word in example.candidates if positions(text, word)}
    if not found:
        return example.candidates[end]
    return min(found, key=lambda word: found[word][0]) if end == 0 else max(found, key=lambda word: found[word][-1])


def by_count(example: Example, end: int) -> str:
    """The candidate that the text names the fewest (or the most) times; of two as frequent, the one that comes last."""
    text = example.source.rpartition(" | ")[2]
    counts = {word: len(positions(text, word)) for word in example.candidates}
    wanted = min(counts.values()) if end == 0 else max(counts.values())
    found = tuple(word for word, count in counts.items() if count == wanted)
    return by_place(replace(example, candidates=found), -1)


def by_sentence(example: Example, end: int) -> str:
    """The first (or last) candidate in the last sentence that names what is asked about; without one, the one before.

    What is asked about stands before the bar, as in "lamp | Anna was in the kitchen. Anna took the lamp."
    """
    asked, _, text = example.source.partition(" | ")
    sentences = text.split(". ")
    named = [number for number, sentence in enumerate(sentences) if positions(sentence, asked.split()[0])]
    for number in range(named[-1] if named else -1, -1, -1):
        found = [(positions(sentences[number], word), word) for word in example.candidates]
        if found := sorted((places[end], word) for places, word in found if places):
            return found[end][1]
    return by_place(example, -1)


def by_what_follows(example: Example, end: int) -> str:
    """The first (or last) candidate after the last mention of what is asked about; without one, as `by_sentence`."""
    asked, _, text = example.source.partition(" | ")
    at = (positions(text, asked.split()[0]) or [0])[-1]
    found = sorted((place, word) for word in example.candidates for place in positions(text, word) if place > at)
    return found[end][1] if found else by_sentence(example, -1)


def candidate_words(train: Sequence[Example]) -> Answer:
    """The candidate whose words are more often those of right answers than of wrong ones."""
    right, wrong = Counter(), Counter()
    for example in train:
        for candidate in example.candidates:
            (right if candidate == example.target else wrong).update(set(with_neighbours(candidate)))

    def odds(candidate: str) -> float:
        return sum(math.log((right[word] + 1) / (wrong[word] + 1)) for word in set(with_neighbours(candidate)))

    return lambda example: max(example.candidates, key=odds)


def candidate_overlap(example: Example, end: int) -> str:
    """The candidate that has the fewest (or the most) words in common with the first part of the question."""
    event = set(words(example.source.split(" | ")[min(1, example.source.count(" | "))]))
    return sorted(example.candidates, key=lambda candidate: len(set(words(candidate)) & event))[end]


CANDIDATES: dict[str, Rule] = {
    "the candidate named first or last": better_of(by_place),
    "the candidate named less or more often": better_of(by_count),
    "the last sentence with the thing": better_of(by_sentence),
    "what follows the last mention of the thing": better_of(by_what_follows),
    "words of right answers": candidate_words,
    "words in common": better_of(candidate_overlap),
}
