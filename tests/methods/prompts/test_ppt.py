"""Pre-trained prompts: what is read and what is answered; where training starts is tested with SPoT."""

import pytest
from helpers.models import tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.ppt import PPT

WORDS = "one two three ? . The correct is good bad yes no A B C It was".split()
SENTINEL = 36


class Tokenizer:
    """One token a word, a stop or question mark its own; the first sentinel is 36."""

    def encode(self, text):
        return [2 + WORDS.index(word) for word in text.replace(".", " .").split()]

    def most_frequent(self, count):
        return list(range(2, 20))[:count]

    def sentinel(self, index):
        return SENTINEL - index


def ids(text):
    return [SENTINEL if word == "<X>" else 2 + WORDS.index(word) for word in text.split()]


def attached(method, model=None):
    model = model or tiny_t5()
    model.tokenizer = Tokenizer()
    method.attach(model)
    return method


CHOICE = "one ? A . two B . three ."
FORMS = [
    ({"format": "single"}, "one two", "one two <X>", "one two"),
    ({"format": "pair"}, "one | two three", "one <X> two three", "one two three"),
    (
        {"format": "choice"},
        "one ? A. two B. three .",
        f"{CHOICE} The correct one is <X>",
        f"{CHOICE} The correct one is",
    ),
    (
        {"format": "unified"},
        "one ? A. two B. three .",
        f"{CHOICE} The correct one is <X>",
        f"{CHOICE} The correct one is",
    ),
    (
        {"format": "unified", "labels": ("good", "bad")},
        "two",
        "two ? A . good B . bad . The correct one is <X>",
        "two ? A . good B . bad . The correct one is",
    ),
    ({"template": "{source} It was <X> ."}, "one", "one It was <X> .", "one It was ."),
]


@pytest.mark.parametrize("settings, source, with_blank, without", FORMS)
def test_a_source_is_read_with_a_blank_by_t5_and_without_one_by_gpt2(settings, source, with_blank, without):
    assert attached(PPT(**settings)).source_ids(source) == ids(with_blank)
    assert attached(PPT(**settings), tiny_gpt2()).source_ids(source) == ids(without)


def test_an_answer_is_the_sentinel_and_what_fills_the_blank():
    t5, gpt2 = attached(PPT()), attached(PPT(), tiny_gpt2())
    assert t5.answer_ids("good bad") == [[SENTINEL, *ids("good bad")]]
    assert gpt2.answer_ids("good bad") == [ids("good bad")]


def test_unified_answers_the_letter_of_a_label():
    method = attached(PPT(format="unified", labels=["good", "no", "bad"]))
    assert [method.answer_ids(label) for label in ("good", "no", "bad")] == [[[SENTINEL, *ids(x)]] for x in "ABC"]
    with pytest.raises(UserError, match="'yes' is none of ppt's labels, good, no, bad"):
        method.answer_ids("yes")
    plain = attached(PPT(format="choice", labels=["good"] * 17))  # here labels are only for the start
    assert plain.answer_ids("good") == [[SENTINEL, *ids("good")]] and plain.source_ids("one") == ids(
        "one The correct one is <X>"
    )


def test_the_blank_is_a_token_of_the_source_not_of_the_users_text():
    method = attached(PPT())
    method.model.tokenizer.encode = lambda text: [len(text)]
    assert method.source_ids("a <X> b") == [7, SENTINEL]


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"format": "triple"}, "single, pair, choice, unified, not 'triple'"),
        ({"template": "{source} It was"}, "needs the blank <X>"),
        ({"template": "<X>"}, "needs {source}"),
        ({"format": "unified", "labels": [str(i) for i in range(17)]}, "16 options, not for 17"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        PPT(**settings)
