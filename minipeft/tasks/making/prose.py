"""Real prose: paragraphs of the Python documentation, which every base reads, and a task on comments, which none reads.

`sentence_end` takes the signs and capitals out of a comment from the source files of Python's library and asks whether
a sentence ends at the bar:

    "the socket is closed at exit | the caller must open it again"      -> yes
    "the socket is closed at exit the caller must open | it again"      -> no

The word before the bar is never the same in train, dev and test, and for every yes there is a no with the same word
after the bar, so that what can end a sentence has to be known from pretraining. Two splits may hold pieces of one
comment, with the bar at another word: there are too few comments with full stops to part them too.
"""

import json
import random
from collections import defaultdict
from functools import cache, lru_cache

from minipeft.paths import DATA
from minipeft.tasks.making.lexicon import Share, split_words
from minipeft.tasks.making.recipes import SIZES, TaskRecipe
from minipeft.tasks.task import Example

REACH = 8  # words shown on either side of the bar
SHORTEST = 3  # words on either side, at least
TRAIN = 3000  # examples: real prose varies more than what is generated, and from 1,500 LoRA learned too little of it
SIGNS = "\"'`()[]<>{}*.,;:!?-"
ENDS = (".", "?", "!", ".)", '."')


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
def bars() -> dict[str, list[tuple[str, str, str, str]]]:
    """By the word before it, every place in the comments where a bar can stand: (before, after, next word, label).

    A sentence ends where a word with a full stop is followed by one with a capital; where any other sign stands, or a
    capital without one, nobody can say, and there is no bar.
    """
    found = defaultdict(list)
    for text in _texts("comments.jsonl"):
        written = [word for word in text.split() if word.strip(SIGNS)]
        plain = [word.strip(SIGNS).lower() for word in written]
        for place in range(SHORTEST, len(written) - SHORTEST + 1):
            last, following = written[place - 1], written[place]
            label = "yes" if last.endswith(ENDS) and following[0].isupper() else "no"
            if label == "no" and (not last.isalnum() or not following.isalnum() or following[0].isupper()):
                continue
            if plain[place - 1].isalpha() and plain[place].isalpha():
                before, after = plain[max(0, place - REACH) : place], plain[place : place + REACH]
                found[plain[place - 1]].append((" ".join(before), " ".join(after), plain[place], label))
    return found


@lru_cache(maxsize=16)
def pairs(share: Share) -> list[tuple[str, list[str], list[str]]]:
    """For every word that stands after a bar of both labels: the sources of yes, and those of no."""
    groups = defaultdict(lambda: {"yes": [], "no": []})
    for word in split_words(bars(), share, "sentence ends"):
        for before, after, following, label in bars()[word]:
            groups[following][label].append(f"{before} | {after}")
    return [(word, group["yes"], group["no"]) for word, group in sorted(groups.items()) if group["yes"] and group["no"]]


def _make(generator: random.Random, share: Share) -> Example:
    label = generator.choice(("yes", "no"))
    found = pairs(share)
    (_, ends, others) = generator.choices(found, weights=[min(len(ends), len(others)) for _, ends, others in found])[0]
    return Example(generator.choice(ends if label == "yes" else others), label)


TASKS = {
    "sentence_end": TaskRecipe(
        "sentence_end", "Does a sentence end at the bar? Comments from Python's library, without signs and capitals.",
        "accuracy", ("yes", "no"), _make, "the words before the bar", sizes={**SIZES, "train": TRAIN},
    )
}  # fmt: skip
