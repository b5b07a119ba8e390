"""Real prose: paragraphs of the Python documentation, which every base reads, and a task on comments, which none reads.

`gap` hides one word of a comment from the source files of Python's library and asks which of two words of like
frequency stood there:

    "It must be a _ of the class" | instance, function          -> instance

The answers of dev and test are other words than those of train, and a passage for training holds none of them, so that
counting which word follows which teaches nothing about them: what they go with must come from pretraining.
"""

import json
import random
import re
from collections import Counter
from functools import cache, lru_cache

from minipeft.paths import DATA
from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.making.recipes import TaskRecipe
from minipeft.tasks.task import Example

ANSWERS = 200  # the most frequent words of the comments
REACH = 8  # words shown on either side of a gap
NEAR = 3  # ranks of frequency between the two words, at most
PLAIN = re.compile("[a-z]{3,}")
GAP = "_"


def _texts(name: str) -> list[str]:
    lines = (DATA / "prose" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@cache
def passages() -> list[str]:
    """The texts of all paragraphs, for pretraining."""
    return _texts("prose.jsonl")


def passage(generator: random.Random) -> str:
    """One paragraph, drawn at random."""
    return generator.choice(passages())


@cache
def comments() -> list[list[str]]:
    """The words of every comment, with whatever sign is at their side."""
    return [text.split() for text in _texts("comments.jsonl")]


@cache
def answers() -> list[str]:
    """The words that may be hidden, from the most to the least frequent."""
    counts = Counter(word for text in comments() for word in text if PLAIN.fullmatch(word))
    return sorted(counts, key=lambda word: (-counts[word], word))[:ANSWERS]


@lru_cache(maxsize=16)
def split_answers(share: Share) -> list[str]:
    """The answers of one share, from the most to the least frequent."""
    return sorted(split_words(answers(), share, "gap"), key=answers().index)


@lru_cache(maxsize=16)
def gaps(share: Share) -> dict[str, list[tuple[str, str]]]:
    """Where each answer of a share stands: the words before and after it.

    Those for training hold no answer of dev and test.
    """
    found = {word: [] for word in split_answers(share)}
    others = {word for split in ("dev", "test") for word in split_answers(Share(split, share.draw))}
    for text in comments():
        plain = [word.strip(".,:;!?\"'()").lower() for word in text]
        for place, word in enumerate(text):
            if word in found:
                around = plain[max(0, place - REACH) : place] + plain[place + 1 : place + 1 + REACH]
                if len(around) >= REACH and (share.split != "train" or others.isdisjoint(around)):
                    before, after = text[max(0, place - REACH) : place], text[place + 1 : place + 1 + REACH]
                    found[word].append((" ".join(before), " ".join(after)))
    return found


def _make(generator: random.Random, share: Share) -> Example:
    words, places = split_answers(share), gaps(share)
    while True:
        rank = generator.randrange(len(words))
        distance = generator.choice([step for step in range(-NEAR, NEAR + 1) if step])
        right, wrong = words[rank], words[(rank + distance) % len(words)]  # each is the right one as often
        if places[right]:
            before, after = generator.choice(places[right])
            return Example(f"{before} {GAP} {after}".strip(), right, tuple(sorted((right, wrong))))


TASKS = {
    "gap": TaskRecipe(
        "gap", "Which of two words is missing in this comment from a Python file?", "accuracy", (), _make,
        "the missing words",
    )
}  # fmt: skip
