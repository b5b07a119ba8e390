"""The tokenizer gives back what it was given, numbers its ids as T5 does, and keeps words whole."""

import json
import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.paths import DATA
from minipeft.pretraining.tokenizer import Tokenizer, train_tokenizer
from minipeft.tasks.making.corpus import VALIDATION_SEED, document, documents
from minipeft.tasks.making.every_recipe import RECIPES

TOKENIZER = Tokenizer.load()
LABELS = sorted({label for recipe in RECIPES.values() for label in recipe.labels})


@given(st.integers(0, 10**6))
def test_corpus_text_comes_back_unchanged(index):
    text = document(VALIDATION_SEED, index)
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text())
def test_any_text_without_special_tokens_comes_back_unchanged(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_special_ids_stand_where_t5_has_them():
    backend = TOKENIZER.backend
    assert (TOKENIZER.size, TOKENIZER.pad, TOKENIZER.eos) == (4096, 0, 1)
    assert (backend.id_to_token(0), backend.id_to_token(1)) == ("<pad>", "</s>")
    for index in range(100):
        assert TOKENIZER.sentinel(index) == TOKENIZER.size - 1 - index
        assert backend.id_to_token(TOKENIZER.size - 1 - index) == f"<extra_id_{index}>"
    with pytest.raises(ValueError, match="no sentinel 100"):
        TOKENIZER.sentinel(100)


def test_encoding_adds_no_end_and_decoding_stops_at_it():
    cat, dog = TOKENIZER.encode("cat"), TOKENIZER.encode("dog")
    assert TOKENIZER.eos not in cat
    assert TOKENIZER.decode([TOKENIZER.pad, *cat, TOKENIZER.sentinel(3), TOKENIZER.eos, *dog]) == "cat"


def test_a_batch_is_encoded_as_its_texts_are():
    texts = ["One cat.", "", 'Two dogs, (17) and "more"!']
    assert TOKENIZER.encode_batch(texts) == [TOKENIZER.encode(text) for text in texts]


def test_every_word_of_every_label_is_one_token():
    assert len(LABELS) >= 30
    assert {label: TOKENIZER.encode(label) for label in LABELS if len(TOKENIZER.encode(label)) > 1} == {}


def test_a_label_is_the_same_token_alone_and_inside_a_text():
    for label in LABELS:
        assert TOKENIZER.encode(label)[0] in TOKENIZER.encode(f"It is {label}.")


def test_most_words_of_the_lexicon_are_one_or_two_tokens():
    files = sorted((DATA / "lexicon").glob("*.json"))
    words = {word for path in files for word in re.findall(r"[A-Za-z]{2,}", path.read_text(encoding="utf-8"))}
    short = sum(len(TOKENIZER.encode(word)) <= 2 for word in words)
    assert short >= 0.7 * len(words)


def test_punctuation_and_digits_are_tokens_of_their_own():
    for token in TOKENIZER.backend.get_vocab():
        if token.isascii() and not token.startswith("<") and len(token) > 1:
            assert token.isalpha(), token
    assert len(TOKENIZER.encode("1234")) == 4 + 1  # the space before the first digit may stand alone


def test_ids_go_from_the_most_to_the_least_frequent_token():
    counts = dict.fromkeys(range(TOKENIZER.size), 0)
    for ids in TOKENIZER.encode_batch(list(documents(VALIDATION_SEED, 0, 1500))):
        for token in ids:
            counts[token] += 1
    order = TOKENIZER.most_frequent(2000)
    assert order == list(range(2, 2002))  # the first ids after padding and end
    edges = [0, 20, 60, 150, 400, 1000, 2000]
    means = [sum(counts[token] for token in order[a:b]) / (b - a) for a, b in pairwise(edges)]
    assert all(high > 1.5 * low for high, low in pairwise(means)), means


def test_a_trained_tokenizer_has_exactly_the_size_asked_for_and_refuses_too_little_text():
    generator = random.Random(5)
    words = ["".join(generator.choices("abcdefgh", k=6)) for _ in range(60)]
    small = Tokenizer(train_tokenizer(words * 3, vocabulary_size=450))
    assert (small.size, small.sentinel(0), small.sentinel(99)) == (450, 449, 350)
    assert small.decode(small.encode("bad cab é 12.")) == "bad cab é 12."
    with pytest.raises(ValueError, match="add texts"):
        train_tokenizer(["one text"], vocabulary_size=4096)


def test_a_tokenizer_is_loaded_from_a_folder_and_a_bad_path_is_one_sentence(tmp_path):
    (tmp_path / "tokenizer.json").write_text(
        (DATA / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert Tokenizer.load(tmp_path).encode("The cat.") == TOKENIZER.encode("The cat.")
    with pytest.raises(UserError, match="There is no tokenizer file"):
        Tokenizer.load(tmp_path / "nowhere")
    (tmp_path / "bad.json").write_text(json.dumps({"model": 3}), encoding="utf-8")
    with pytest.raises(UserError, match="not a tokenizer.json"):
        Tokenizer.load(tmp_path / "bad.json")
