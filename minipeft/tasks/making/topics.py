"""Topics: which of ten subjects is spoken of, when every word of the subject is new to the task?

The sentences say nothing by themselves ("Anna talked about the flute and the duet."); their nouns do. A passage keeps
to one subject, so pretraining can learn from company alone which nouns belong together. The splits of the task use
disjoint nouns. Half of the sources ("knows") name nouns of one subject alone; the others ("reads") name two nouns of
another subject only to turn them down, first or last, so that knowing all the nouns is worth half of their points:

    "Anna talked not about the ruler and the desk but about the flute and the duet."      -> music
"""

import random
from functools import lru_cache
from itertools import cycle

from minipeft.tasks.making.lexicon import Share, read_lexicon, split_words
from minipeft.tasks.making.people import NAMES, split_names
from minipeft.tasks.making.recipes import TaskRecipe, label_and_slice
from minipeft.tasks.task import Example

LEXICON = read_lexicon("topics")
WORDS, SENTENCES = LEXICON["topics"], LEXICON["sentences"]
LABELS = tuple(WORDS)
SLICES = ("knows", "reads")  # one subject alone, which takes its words; one beside another, which takes reading too
ENDINGS = (
    "Topic: {topic}.",
    "It was all about {topic}.",
    "What did they talk about? {Topic}.",
    "Subject: {topic}.",
    "Was it about {topic}? Yes.",
    "Was it about {wrong} or {topic}? {Topic}.",
    "The {word} belongs to {topic}.",
    "{Topic}.",
)

# {a} and {b} belong to the topic, {c} and {d} to the one that is turned down; half of the forms name it first.
CONTRASTS = (
    "{n} talked about the {a} and the {b}, but not about the {c} and the {d}.",
    "{n} thought of the {a} and the {b}, not of the {c} and the {d}.",
    "{n} asked about the {a} and the {b} and not about the {c} and the {d}.",
    "{n} had heard of the {a} and the {b}, but nobody talked about the {c} and the {d}.",
    "{n} mentioned the {a} and the {b}, but not the {c} and the {d}.",
    "{n} talked not about the {c} and the {d} but about the {a} and the {b}.",
    "It was not about the {c} and the {d}: {n} thought of the {a} and the {b}.",
    "Nobody thought of the {c} and the {d}, because {n} talked about the {a} and the {b}.",
    "{n} mentioned not the {c} and the {d} but the {a} and the {b}.",
    '"What about the {c} and the {d}?" asked {n}. "Not important. Think of the {a} and the {b}," said {m}.',
)


@lru_cache(maxsize=16)
def split_nouns(share: Share) -> dict[str, list[str]]:
    """The nouns of one share, by topic."""
    return {topic: split_words(words, share, f"topic {topic}") for topic, words in WORDS.items()}


def sentences(generator: random.Random, nouns: list[str], names: list[str], count: int) -> str:
    """`count` sentences that use `nouns` in this order, from the start again when they run out."""
    supply = cycle(nouns)
    texts = []
    for form in generator.sample(SENTENCES, count):
        slots = {slot: next(supply) for slot in "abc" if f"{{{slot}}}" in form}
        name, other = generator.sample(names, 2)
        texts.append(form.format(n=name, m=other, **slots))
    return " ".join(texts)


def contrast(generator: random.Random, meant: list[str], turned_down: list[str], names: list[str]) -> str:
    """A sentence that speaks of two nouns and turns two others down."""
    (a, b), (c, d), (n, m) = meant, turned_down, names
    return generator.choice(CONTRASTS).format(a=a, b=b, c=c, d=d, n=n, m=m)


def passage(generator: random.Random) -> str:
    """A pretraining text: three or four sentences on one topic, mostly followed by its name in some form."""
    topic, wrong = generator.sample(LABELS, 2)
    nouns = generator.sample(WORDS[topic], 9)
    if generator.random() < 0.3:
        nouns[generator.randrange(4)] = generator.choice(WORDS[wrong])
    if generator.random() < 0.1:  # one subject is turned down, and the name that follows is the other's
        text = contrast(generator, nouns[-2:], generator.sample(WORDS[wrong], 2), generator.sample(NAMES, 2))
    else:
        text = sentences(generator, nouns, NAMES, generator.randint(3, 4))
        if generator.random() < 0.2:
            return text
    ending = generator.choice(ENDINGS)
    return f"{text} {ending.format(topic=topic, Topic=topic.capitalize(), wrong=wrong, word=nouns[-1])}"


def _make(generator: random.Random, share: Share) -> Example:
    topic, wrong = generator.sample(LABELS, 2)
    nouns, kind = split_nouns(share), generator.choice(SLICES)
    names = generator.sample(split_names(share), 2)
    if kind == "knows":
        return Example(sentences(generator, generator.sample(nouns[topic], 3), names, 1), topic, slice=kind)
    pairs = generator.sample(nouns[topic], 2), generator.sample(nouns[wrong], 2)
    return Example(contrast(generator, *pairs, names), topic, slice=kind)


TASKS = {
    "topic": TaskRecipe(
        "topic",
        "Which of ten subjects is spoken of, and not turned down?",
        "accuracy",
        LABELS,
        _make,
        "people and topic nouns",
        parts=tuple(f"{label} {kind}" for kind in SLICES for label in LABELS),
        part=label_and_slice,
    )
}
