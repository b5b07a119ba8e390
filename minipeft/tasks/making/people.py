"""The people of the tiny world, and which of them each split of a task may speak of."""

from functools import lru_cache

from minipeft.tasks.making.lexicon import Share, read_lexicon, split_words

NAMES = [person["name"] for person in read_lexicon("world")["people"]]


@lru_cache(maxsize=16)
def split_names(share: Share) -> list[str]:
    """The people of one split."""
    return split_words(NAMES, share, "people")
