"""The people of the tiny world, and which of them each split of a task may speak of."""

from functools import cache

from minipeft.tasks.making.lexicon import read_lexicon, split_words

NAMES = [person["name"] for person in read_lexicon("world")["people"]]


@cache
def split_names(split: str) -> list[str]:
    """The people of one split."""
    return split_words(NAMES, split, "people")
