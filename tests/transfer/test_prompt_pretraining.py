"""The made questions are answered rightly by their documents, give nothing away, and read as the paper's forms."""

import random
import re
from collections import Counter

import pytest

from minipeft.errors import UserError
from minipeft.methods.prompts.ppt import PPT
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.tasks.lettering import LETTERS, lettered, lettered_question
from minipeft.tasks.registry import load_task
from minipeft.tasks.task import Example, Task
from minipeft.transfer.prompt_pretraining import (
    PAIR_WORDS,
    SINGLE_WORDS,
    evenly,
    from_other_documents,
    grades,
    pseudo_labelled,
    sentence_choices,
    sentence_pairs,
    split_sentences,
    usable,
)

# Sentence j of document i is "d<i> s<j>.": where a sentence comes from can be read off it.
DOCUMENTS = [[f"d{i} s{j}." for j in range(4 + i % 3)] for i in range(40)]


def place(sentence):
    document, number = re.fullmatch(r"d(\d+) s(\d+)\.", sentence).groups()
    return int(document), int(number)


def options_of(example):
    """The query and the options of a lettered source, taken apart without the code under test."""
    query, listed = example.source.split(" ? ")
    return query, dict(re.findall(r"([A-P])\. (d\d+ s\d+\.)", listed))


def test_a_pair_is_labelled_by_where_its_second_sentence_comes_from():
    found = set()
    for example in sentence_pairs(DOCUMENTS, 600, random.Random(0)):
        (document, first), (other, second) = map(place, example.source.split(" | "))
        if document != other:
            assert example.target == "no"
        else:
            assert example.target == ("yes" if second == first + 1 else "maybe")
            assert second - first == 1 or abs(second - first) > 1, "the sentence before the query is adjacent too"
        found.add((example.target, second < first))
    assert ("maybe", True) in found and ("maybe", False) in found


def test_each_label_of_a_pair_has_a_third_whatever_the_document():
    examples = sentence_pairs(DOCUMENTS, 3000, random.Random(1))
    counts = Counter(example.target for example in examples)
    assert set(counts) == set(PAIR_WORDS) and all(abs(count - 1000) < 100 for count in counts.values())  # 4 sigma
    short = Counter(e.target for e in examples if len(DOCUMENTS[place(e.source.split(" | ")[0])[0]]) == 4)
    assert max(short.values()) < 1.3 * min(short.values())


@pytest.mark.parametrize("sizes", [(6, 6), (2, 16)])
def test_one_option_follows_one_is_of_the_document_and_each_other_of_another(sizes):
    letters, lengths = Counter(), Counter()
    for example in sentence_choices(DOCUMENTS, 1500, random.Random(2), sizes):
        query, options = options_of(example)
        home, first = place(query)
        assert tuple(options) == example.candidates == tuple(LETTERS[: len(options)])
        assert place(options[example.target]) == (home, first + 1)
        others = [place(option) for letter, option in options.items() if letter != example.target]
        (distant,) = [number for document, number in others if document == home]
        assert abs(distant - first) > 1
        foreign = [document for document, _ in others if document != home]
        assert len(set(foreign)) == len(foreign) == len(options) - 2
        letters[example.target] += 1
        lengths[len(options)] += 1
    assert (min(lengths), max(lengths)) == sizes and len(lengths) == sizes[1] - sizes[0] + 1
    assert max(lengths.values()) < 1.7 * min(lengths.values())
    if sizes == (6, 6):
        assert set(letters) == set("ABCDEF") and all(abs(count - 250) < 60 for count in letters.values())


def test_no_option_stands_twice_where_documents_share_sentences():
    home = ["d0 s0.", "d0 s1.", "d0 s2.", "d0 s3.", "Good."]
    documents = [home, ["Good.", "d1 s1."], ["Fine.", "d2 s1."], ["Fine.", "d3 s1."], ["Fine.", "d4 s1."]]
    for seed in range(50):
        got = from_other_documents(documents, home, 4, random.Random(seed))
        assert len(set(got)) == 4 and "Good." not in got
    with pytest.raises(UserError, match="5 documents are too few for 5"):
        from_other_documents(documents, home, 5, random.Random(0))


@pytest.mark.parametrize(
    "document",
    [["a.", "b.", "c."], ["a.", "b.", "a.", "c."], ["a.", "b | c.", "d.", "e."], ["a.", "b.", "c.", "word " * 31]],
)
def test_documents_that_cannot_answer_every_question_are_left_out(document):
    assert not usable(document) and usable(["a.", "b.", "c.", "d."])
    with pytest.raises(UserError, match="None of the documents"):
        sentence_pairs([document], 1, random.Random(0))


@pytest.mark.parametrize("sizes", [(1, 6), (6, 17), (5, 4)])
def test_more_options_than_letters_are_refused(sizes):
    with pytest.raises(UserError, match="2 to 16 options"):
        sentence_choices(DOCUMENTS, 1, random.Random(0), sizes)


def test_sentences_end_where_a_capital_follows_a_mark():
    text = 'Did Ann go? Yes. "I sat," said Bo. "Why?" asked Cy. "It rained." Dan slept at 3.5 degrees.'
    expected = ["Did Ann go?", "Yes.", '"I sat," said Bo.', '"Why?" asked Cy.', '"It rained."']
    assert split_sentences(text) == [*expected, "Dan slept at 3.5 degrees."]


def test_grades_are_probabilities_of_the_same_mean():
    for good in (0.0, 0.1, 0.25, 0.43, 0.8, 1.0):
        row = grades(good)
        assert sum(row) == pytest.approx(1) and min(row) >= 0 and sum(value > 0 for value in row) <= 2
        assert sum(number * value for number, value in enumerate(row)) == pytest.approx(4 * good)


def test_a_pseudo_label_is_kept_above_the_threshold_of_its_class():
    rows = [
        (0.94, 0.06, 0, 0, 0),
        (0.96, 0.04, 0, 0, 0),
        (0, 0.5, 0.5, 0, 0),
        (0, 0.4, 0.6, 0, 0),
        (0, 0, 0, 0.51, 0.49),
    ]
    rows += [(0, 0, 0, 0.31, 0.69), (0, 0, 0, 0.29, 0.71)]
    kept = pseudo_labelled("abcdefg", rows)
    assert [(e.source, e.target) for e in kept] == [("b", "terrible"), ("d", "maybe"), ("e", "good"), ("g", "great")]


def test_the_kept_texts_are_as_many_of_each_word_as_the_rarest_allows():
    examples = [Example(f"{word} {i}", word) for n, word in enumerate(SINGLE_WORDS) for i in range(5 + 3 * n)]
    counts = Counter(e.target for e in evenly(examples, 100, random.Random(0)))
    assert counts == dict.fromkeys(SINGLE_WORDS, 5)
    assert len(evenly(examples, 11, random.Random(0))) == 10
    assert len({e.source for e in evenly(examples, 100, random.Random(0))}) == 25


def test_every_word_and_letter_is_one_token_of_the_bundled_tokenizer_and_maybe_two():
    tokenizer = Tokenizer.load()
    for word in (*PAIR_WORDS, *SINGLE_WORDS, *LETTERS):
        assert len(tokenizer.encode(word)) == (2 if word == "maybe" else 1), word


def test_a_task_with_candidates_becomes_one_of_letters():
    task, plain = lettered(load_task("who_liked")), load_task("who_liked")
    for before, example in zip(plain.dev, task.dev, strict=True):
        first, second = before.candidates
        assert example.source == f"{before.source} ? A. {first} B. {second} ."
        assert example.candidates == ("A", "B") and example.target == "AB"[before.candidates.index(before.target)]
    assert task.labels == () and task.metric == "accuracy" and task.chance == 50


def test_candidates_at_the_end_of_a_source_are_named_once():
    example = Example("result | Anna fell | she laughed | she wept", "she wept", ("she laughed", "she wept"))
    task = lettered(Task("results", "What came of it?", "accuracy", (), (example,), (example,), (example,)))
    assert task.test[0].source == "result | Anna fell ? A. she laughed B. she wept ."
    assert task.test[0].target == "B"


def test_a_task_with_labels_becomes_one_of_letters_by_its_name():
    task, plain = load_task("sentiment:lettered", train_size=7), load_task("sentiment")
    assert task.name == "sentiment:lettered" and task.labels == ("A", "B") and len(task.train) == 7
    for before, example in zip(plain.test, task.test, strict=True):
        assert example.source == f"{before.source} ? A. good B. bad ."
        assert example.target == {"good": "A", "bad": "B"}[before.target]
    with pytest.raises(UserError, match="0 options"):
        load_task("describe:lettered")


def test_the_unified_form_lists_labels_as_a_lettered_task_does():
    labels = ("good", "bad", "neither")
    shown = PPT(format="unified", labels=labels).template
    assert shown == lettered_question("{source}", labels) + " The correct one is <X>"
