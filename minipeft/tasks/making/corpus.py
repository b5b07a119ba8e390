"""The pretraining text: an endless, repeatable mixture of generated passages and real prose.

Document `i` of seed `s` depends on (s, i) alone, so pretraining can stop and go on anywhere, workers can share the
stream, and a held-out stream is simply another seed.
"""

import random
from collections.abc import Iterator

from minipeft.tasks.making import causes, meanings, opinions, prose, stories, topics, tracking

TRAINING_SEED, VALIDATION_SEED = 0, 1

# Share of documents from each source. Stories carry people, places, objects, questions and answers; tracking asks what
# only keeping the state can tell. Opinions are many, for a base has to read contrasts and negations before a prompt can
# call on that. Meanings tie every noun to its category and the others give each task family its words; real prose keeps
# English from being only ours.
MIXTURE = {
    opinions.passage: 0.27,
    meanings.passage: 0.21,
    tracking.passage: 0.18,
    causes.passage: 0.11,
    prose.passage: 0.09,
    topics.passage: 0.07,
    stories.story: 0.07,
}


def passage(generator: random.Random) -> str:
    """Draws one document from the mixture."""
    (source,) = generator.choices(list(MIXTURE), weights=list(MIXTURE.values()))
    return source(generator)


def document(seed: int, index: int) -> str:
    """Document number `index` of the stream `seed`."""
    return passage(random.Random(f"minipeft corpus {seed} {index}"))


def documents(seed: int, start: int, count: int) -> Iterator[str]:
    """The documents start, start + 1, ..., start + count - 1 of the stream `seed`."""
    return (document(seed, index) for index in range(start, start + count))
