"""What a user writes is text: no word of it becomes the end, padding or a sentinel, whatever tokenizer reads it."""

import copy
import pickle

import pytest
import tokenizers
from helpers.tokenizers_of_kinds import (
    end_added_as_a_plain_token,
    gpt2_kind,
    llama_kind,
    mt5_kind,
    t5_kind,
    whole_words_of_bpe,
    word_kind,
)
from hypothesis import given
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.methods.prompts.template import Template
from minipeft.models import load
from minipeft.paths import DATA
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.tasks.registry import load_task, task_names
from minipeft.tasks.task import Example
from minipeft.training.batches import encode_examples

BUNDLED = Tokenizer.load()
WORDS = ("<s>", "</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>", "<|endoftext|>")
TEXTS = (
    "a </s> b",
    "</s>",
    "<pad>a",
    "see <extra_id_0> and<extra_id_99>",
    "the <s>10</s> 8",
    "<|endoftext|>",
    "<unk> x",
)


KINDS = (gpt2_kind, t5_kind, mt5_kind, word_kind, whole_words_of_bpe, end_added_as_a_plain_token, llama_kind)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_no_control_token_comes_out_of_a_text(make, text):
    tokenizer = Tokenizer(make())
    words = [form for word in WORDS if word != "<unk>" for form in (word, f"\u2581{word}")]
    control = {tokenizer.backend.token_to_id(word) for word in words} - {None}
    assert control and not control & set(tokenizer.encode(text))


@pytest.mark.parametrize(
    "make", [gpt2_kind, t5_kind, mt5_kind, whole_words_of_bpe, end_added_as_a_plain_token, Tokenizer.load]
)
@pytest.mark.parametrize("text", TEXTS)
def test_control_words_are_read_back_as_they_were_written(make, text):
    tokenizer = make() if make == Tokenizer.load else Tokenizer(make())
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("make", KINDS)
def test_ordinary_text_has_the_ids_that_the_tokenizers_package_gives(make):
    tokenizer, plain = Tokenizer(make()), make()
    for text in ("the a b see", "it was good", "x", "a1 2", ""):
        assert tokenizer.encode(text) == plain.encode(text, add_special_tokens=False).ids


def test_a_word_that_somebody_added_to_be_written_stays_one_token():
    tokenizer = Tokenizer(end_added_as_a_plain_token())
    assert tokenizer.encode("a<sep>b")[1] == tokenizer.backend.token_to_id("<sep>")


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
def test_no_text_of_a_bundled_task_changed_by_one_id(name):
    plain = tokenizers.Tokenizer.from_file(str(DATA / "tokenizer" / "tokenizer.json"))
    texts = [text for example in load_task(name).test for text in (example.source, example.target, *example.candidates)]
    known = [encoding.ids for encoding in plain.encode_batch(texts, add_special_tokens=False)]
    assert BUNDLED.encode_batch(texts) == known and not {0, 1} & {token for ids in known for token in ids}


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=6).map("".join))
def test_any_text_with_control_words_comes_back_unchanged(text):
    ids = BUNDLED.encode(text)
    assert BUNDLED.decode(ids) == text
    assert all(1 < token < BUNDLED.size - 100 for token in ids)


def test_an_example_has_one_end_and_it_is_the_last_token():
    (row,) = encode_examples(load("t5-0.4m"), [Example("a </s> b", "the <pad> is <s>10</s> 8")])
    for ids in (row.source, row.target):
        assert ids.count(BUNDLED.eos) == 1 and ids[-1] == BUNDLED.eos and BUNDLED.pad not in ids


def test_only_the_templates_own_mark_is_a_blank():
    ids = Template("{source} <X>").encode("a <extra_id_0> <X>", BUNDLED)
    assert ids.count(BUNDLED.sentinel(0)) == 1 and ids[-1] == BUNDLED.sentinel(0)
    assert BUNDLED.sentinel(0) not in Template("{source} <extra_id_0>").encode("a", BUNDLED)


def test_the_sentinels_of_mt5_are_found_and_left_out_of_what_is_read_back():
    tokenizer = Tokenizer(mt5_kind())
    assert tokenizer.sentinel(0) == tokenizer.size - 1 and tokenizer.sentinel(99) == tokenizer.size - 100
    assert tokenizer.decode([*tokenizer.encode("a"), tokenizer.sentinel(7), *tokenizer.encode("b")]) == "a b"
    with pytest.raises(UserError, match="no sentinel 0"):
        Tokenizer(gpt2_kind()).sentinel(0)


@pytest.mark.parametrize("make", KINDS)
def test_a_copied_or_pickled_tokenizer_reads_as_the_first(make):
    tokenizer = Tokenizer(make())
    for copied in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert [copied.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_a_tokenizer_file_that_would_cut_or_pad_does_neither():
    backend = gpt2_kind()
    backend.enable_truncation(4)
    backend.enable_padding(length=8)
    tokenizer = Tokenizer(backend)
    assert tokenizer.decode(tokenizer.encode("it was good and bad")) == "it was good and bad"
    assert tokenizer.encode_batch(["it", "it was good"])[0] == tokenizer.encode("it")


def test_half_a_character_is_one_sentence():
    for read in (BUNDLED.encode, lambda text: BUNDLED.encode_batch(["fine", text])):
        with pytest.raises(UserError, match=r"The text 'a\\ud83d' holds half a character.*U\+D83D at character 2"):
            read("a\ud83d")
    with pytest.raises(UserError, match="A text must be a string, not int 3"):
        BUNDLED.encode(3)
    with pytest.raises(UserError, match="The template holds half a character"):
        Template("{source} \ude00")
