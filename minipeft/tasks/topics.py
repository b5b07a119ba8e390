"""Topics: which of ten subjects do these sentences speak of, when every word of the subject is new to the task?

The sentences say nothing by themselves ("Anna talked about the flute and the duet."); their nouns do. A passage keeps
to one subject, so pretraining can learn from company alone which nouns belong together. The splits of the task use
disjoint nouns, and every source holds one noun of another subject, so that a single known word does not decide.
"""

import random as random_module
from functools import cache
from itertools import cycle

from minipeft.tasks.people import NAMES, split_names
from minipeft.tasks.recipes import TaskRecipe
from minipeft.tasks.task import Example, read_lexicon, split_words

LEXICON = read_lexicon("topics")
WORDS, SENTENCES = LEXICON["topics"], LEXICON["sentences"]
LABELS = tuple(WORDS)
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


@cache
def split_nouns(split: str) -> dict[str, list[str]]:
    """The nouns of one split, by topic."""
    return {topic: split_words(words, split, f"topic {topic}") for topic, words in WORDS.items()}


def _sentences(random: random_module.Random, nouns: list[str], names: list[str], count: int) -> str:
    """`count` sentences that use `nouns` in this order, from the start again when they run out."""
    supply = cycle(nouns)
    texts = []
    for form in random.sample(SENTENCES, count):
        slots = {slot: next(supply) for slot in "abc" if f"{{{slot}}}" in form}
        name, other = random.sample(names, 2)
        texts.append(form.format(n=name, m=other, **slots))
    return " ".join(texts)


def passage(random: random_module.Random) -> str:
    """A pretraining text: three or four sentences on one topic, mostly followed by its name in some form."""
    topic, wrong = random.sample(LABELS, 2)
    nouns = random.sample(WORDS[topic], 9)
    if random.random() < 0.3:
        nouns[random.randrange(4)] = random.choice(WORDS[wrong])
    text = _sentences(random, nouns, NAMES, random.randint(3, 4))
    if random.random() < 0.2:
        return text
    ending = random.choice(ENDINGS)
    return f"{text} {ending.format(topic=topic, Topic=topic.capitalize(), wrong=wrong, word=nouns[-1])}"


def _make(random: random_module.Random, split: str) -> Example:
    topic, wrong = random.sample(LABELS, 2)
    nouns = random.sample(split_nouns(split)[topic], 6)
    nouns[random.randrange(4)] = random.choice(split_nouns(split)[wrong])  # the first four nouns are always used
    return Example(_sentences(random, nouns, split_names(split), 2), topic)


TASKS = {
    "topic": TaskRecipe(
        "topic",
        "Which of ten subjects do these sentences speak of?",
        "accuracy",
        LABELS,
        _make,
        "people and topic nouns",
    )
}
