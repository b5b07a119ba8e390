"""PPT's pre-training data (Gu et al. 2022, arXiv:2109.04332): questions that documents answer themselves.

    pair       s1 | s2                        -> yes: s2 follows s1, maybe: same document, no: another document
    choice     s1 ? A. a B. b ... F. f .      -> the letter of the sentence that follows s1
    unified    the same with 2 to 16 options
    single     a text                         -> terrible, bad, maybe, good or great, as a classifier says

The first three need no labels. "single" is not label-free: its classifier has learned from a task's labels. How much of
each a prompt can learn on a base of this size, and what LoRA learns there, chapter 08 measures. A document is a list of
sentences. The blank that the answer fills is added by the method's template (`methods/prompts/ppt.py`).
Lesson: lessons/08_prompt_transfer. Test: tests/transfer/test_prompt_pretraining.py.
"""

import re
from collections.abc import Sequence
from random import Random

from minipeft.errors import UserError
from minipeft.tasks.lettering import LETTERS, SEPARATOR, lettered_question
from minipeft.tasks.task import Example

Document = Sequence[str]

PAIR_WORDS = ("yes", "maybe", "no")
SINGLE_WORDS = ("terrible", "bad", "maybe", "good", "great")
THRESHOLDS = (0.95, 0.5, 0.5, 0.5, 0.7)  # confidence above which a pseudo label of each class is kept, as released
SENTENCES = 4  # so many sentences have, wherever one begins, one that follows and one that is not adjacent
LONGEST = 30  # words
STOP = re.compile(r'(?:(?<=[.?!])|(?<=[.?!]"))\s+(?=["A-Z])')


def split_sentences(text: str) -> list[str]:
    """The sentences of a text: they end with a full stop, question or exclamation mark, and a capital follows."""
    return STOP.split(text.strip())


def usable(document: Document) -> bool:
    """Whether each question can be asked of it, so that no answer goes with a kind of document."""
    short = all(len(sentence.split()) <= LONGEST and SEPARATOR not in sentence for sentence in document)
    return short and SENTENCES <= len(document) == len(set(document))


def query_next_and_distant(document: Document, generator: Random) -> tuple[str, str, str]:
    """A sentence, the one that follows it, and one of the same document that is not adjacent to it."""
    first = generator.randrange(len(document) - 1)
    distant = generator.choice([i for i in range(len(document)) if abs(i - first) > 1])
    return document[first], document[first + 1], document[distant]


def from_other_documents(documents: Sequence[Document], home: Document, count: int, generator: Random) -> list[str]:
    """`count` sentences of as many documents, all different and none of them in `home`."""
    found: list[str] = []
    for number in generator.sample(range(len(documents)), min(len(documents), 10 * (count + 1))):
        new = [sentence for sentence in documents[number] if sentence not in (*home, *found)]
        if len(found) < count and documents[number] is not home and new:
            found.append(generator.choice(new))
    if len(found) < count:
        raise UserError(f"{len(documents)} documents are too few for {count} sentences of others: give more of them.")
    return found


def sentence_pairs(documents: Sequence[Document], count: int, generator: Random) -> list[Example]:
    """Next-sentence prediction, a third of each answer."""
    documents, examples = _usable(documents), []
    for _ in range(count):
        home = generator.choice(documents)
        query, following, distant = query_next_and_distant(home, generator)
        (foreign,) = from_other_documents(documents, home, 1, generator)
        target = generator.choice(PAIR_WORDS)
        second = {"yes": following, "maybe": distant, "no": foreign}[target]
        examples.append(Example(f"{query}{SEPARATOR}{second}", target))
    return examples


def sentence_choices(
    documents: Sequence[Document], count: int, generator: Random, options: tuple[int, int] = (6, 6)
) -> list[Example]:
    """Next-sentence selection among so many `options`, from the least to the most, each number as often.

    One option follows the query, one is of its document and not adjacent, the others are of other documents.
    """
    if not 2 <= options[0] <= options[1] <= len(LETTERS):
        raise UserError(f"A question has 2 to {len(LETTERS)} options, not {options[0]} to {options[1]}.")
    documents, examples = _usable(documents), []
    for _ in range(count):
        home, size = generator.choice(documents), generator.randint(*options)
        query, following, distant = query_next_and_distant(home, generator)
        choices = [following, distant, *from_other_documents(documents, home, size - 2, generator)]
        generator.shuffle(choices)
        letters = tuple(LETTERS[:size])
        examples.append(Example(lettered_question(query, choices), letters[choices.index(following)], letters))
    return examples


def grades(good: float) -> tuple[float, ...]:
    """Five class probabilities from the probability of "good", spread over the two nearest of 0, 1/4, 1/2, 3/4, 1.

    Their mean grade, counted from 0 to 4, is 4 * good.
    """
    return tuple(max(0.0, 1 - abs(4 * good - grade)) for grade in range(5))


def pseudo_labelled(
    texts: Sequence[str], probabilities: Sequence[Sequence[float]], thresholds: Sequence[float] = THRESHOLDS
) -> list[Example]:
    """Each text with the word of its likeliest class, where that is likelier than the class's threshold."""
    examples = []
    for text, row in zip(texts, probabilities, strict=True):
        best = max(range(len(SINGLE_WORDS)), key=row.__getitem__)
        if row[best] > thresholds[best]:
            examples.append(Example(text, SINGLE_WORDS[best]))
    return examples


def evenly(examples: Sequence[Example], count: int, generator: Random) -> list[Example]:
    """At most `count` examples, as many of each word as the rarest one allows, in random order."""
    groups = [[example for example in examples if example.target == word] for word in SINGLE_WORDS]
    share = min(count // len(groups), *map(len, groups))
    drawn = [example for group in groups for example in generator.sample(group, share)]
    generator.shuffle(drawn)
    return drawn


def _usable(documents: Sequence[Document]) -> list[Document]:
    kept = [document for document in documents if usable(document)]
    if not kept:
        raise UserError(f"None of the documents has {SENTENCES} different sentences of at most {LONGEST} words.")
    return kept
