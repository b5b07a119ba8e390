"""A word behind another has its space, whichever tokenizer reads it: source and answer, template and its parts."""

import pytest
import torch
from helpers.tokenizers_of_kinds import gpt2_kind, t5_kind, whole_words_of_bpe
from helpers.word_models import make_tiny_t5

from minipeft.methods.heads import label_head
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.methods.prompts.p_tuning import PTuning
from minipeft.methods.prompts.ppt import PPT
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.template import Template
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.tasks.registry import load_task
from minipeft.tasks.task import Example, Task
from minipeft.training.batches import encode_answers, encode_examples
from minipeft.training.evaluating import evaluate
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.text_joints import decode_written, encode_after, encode_written

BUNDLED = Tokenizer.load()


@pytest.fixture
def gpt():
    """A decoder-only model with a tokenizer as GPT-2's, which puts no space before a text."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(gpt2_kind())
    model = DecoderOnly(DecoderOnlyConfig(tokenizer.size, hidden_size=16, heads=2, layers=2, max_length=48)).eval()
    model.tokenizer = tokenizer
    return model


def whole(model, example):
    """What a decoder-only model reads and writes for an example, as one text."""
    (row,) = encode_examples(model, [example])
    ids = [token for token in row.source + row.target if token < model.tokenizer.size]
    return model.tokenizer.backend.decode(ids, skip_special_tokens=True)


def test_a_source_and_its_answer_are_one_text_with_one_space(gpt):
    assert whole(gpt, Example("it was", "good")) == "it was good"
    assert whole(gpt, Example("it was", " good")) == "it was good"
    (row,) = encode_examples(gpt, [Example("it was", "good")])
    assert row.source + row.target[:-1] == gpt.tokenizer.encode("it was good")


def test_the_parts_of_a_template_stand_apart_and_its_first_part_has_no_space(gpt):
    ids = Template("[V]{source} It[V]was [V]").encode("so", gpt.tokenizer, 900)
    assert ids == [900, *gpt.tokenizer.encode("so It"), 901, *gpt.tokenizer.encode(" was"), 902]


def attached(method, model):
    method.attach(model)
    return model


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (HardPrompt("{source} So:", verbalizer={"good": ["Good."], "bad": ["Bad."]}), "it was So: Good."),
        (HardPrompt("{source} So:", (("a", "bad"), ("b", "good"))), "a So: bad b So: good it was So: good"),
        (PTuning("[V] {source} [V] So: [V]"), "it was So: good"),
        (PromptTuning(3, template="{source} So:"), "it was So: good"),
        (PPT(3, format="single", template="{source} So: <X>"), "it was So: good"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_prompts_words_and_the_answer_stand_apart(gpt, method, expected):
    assert whole(attached(method, gpt), Example("it was", "good")) == expected


def test_an_answer_is_scored_and_read_back_without_its_space(gpt):
    (ids,) = encode_answers(gpt, "good")
    assert gpt.tokenizer.decode(ids) == " good" and decode_written(gpt, ids) == "good"
    task = Task("mine", "", "exact_match", (), (), (Example("it was", "good"),), ())
    gpt.generate = lambda batch, limit: [ids]
    assert evaluate(gpt, task, "dev", predictions=True)["predictions"] == ["good"]


def test_t5_writes_its_answer_as_a_text_of_its_own():
    model = make_tiny_t5()
    model.tokenizer = Tokenizer(gpt2_kind())
    assert encode_written(model, "good") == model.tokenizer.encode("good")
    assert decode_written(model, model.tokenizer.encode(" good")) == " good"


@pytest.mark.parametrize("make", [Tokenizer.load, lambda: Tokenizer(t5_kind())], ids=["bundled", "t5"])
def test_a_tokenizer_that_puts_the_space_itself_is_given_none(make):
    tokenizer = make()
    assert tokenizer.adds_space
    for text in ("good", "the end", " the"):
        assert encode_after(tokenizer, text) == tokenizer.encode(text)


def test_only_tokenizers_without_a_space_of_their_own_say_so():
    assert not Tokenizer(gpt2_kind()).adds_space and not Tokenizer(whole_words_of_bpe()).adds_space
    words = make_tiny_t5().tokenizer  # says nothing: it parts words itself
    assert encode_after(words, "warm") == words.encode("warm")


def test_a_label_head_has_the_tokens_that_answers_are_written_with(gpt):
    written = [encode_written(gpt, label)[0] for label in ("good", "bad")]
    assert label_head(gpt, ("good", "bad")).classes.tolist() == [*written, gpt.tokenizer.eos]
    assert gpt.tokenizer.decode(written) == " good bad"


def test_the_bundled_models_read_what_they_read_before():
    for example in load_task("sentiment").test[:50]:
        ids = Template("{source} Verdict: [V] so").encode(example.source, BUNDLED, 5000)
        assert ids == [*BUNDLED.encode(f"{example.source} Verdict:"), 5000, *BUNDLED.encode("so")]
