"""Prompt tuning: what the model reads, where the prompt starts, and what is refused."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.prompt_ensemble import PromptEnsemble
from minipeft.methods.prompts.prompt_tuning import PromptTuning

WORDS = {"yes": [5], "no": [6, 9, 11], "may be": [7, 8]}


class Tokenizer:
    """`yes` is one token, `no` three, `may be` two; 20 to 24 are frequent."""

    def encode(self, text):
        return WORDS[text]

    def most_frequent(self, count):
        return list(range(20, 25))[:count]

    def sentinel(self, index):
        return 30 - index


def with_tokenizer(model):
    model.tokenizer = Tokenizer()
    return model


@pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
def test_a_prompt_of_word_embeddings_is_the_same_as_writing_these_words_before_the_source(family):
    model, batch, words = FAMILIES[family](), random_batch(), [8, 3, 30]
    rows = torch.tensor([words]).expand(len(batch), -1)
    written = random_batch()
    written.source = torch.cat([rows, batch.source], dim=1)
    written.source_mask = torch.cat([torch.ones_like(rows, dtype=torch.bool), batch.source_mask], dim=1)
    expected = model(written), model.generate(written, 6)
    method = PromptTuning(prompt_length=3, init="uniform")
    method.attach(model)
    with torch.no_grad():
        next(iter(method.named_parameters().values())).copy_(model.embedding.weight[words])
    torch.testing.assert_close(model(batch), expected[0], atol=1e-5, rtol=1e-5)
    assert model.generate(batch, 6) == expected[1]


def test_the_encoder_returns_a_mask_that_covers_the_prompt():
    model, batch = tiny_t5(), random_batch()
    PromptTuning(prompt_length=4, init="uniform").attach(model)
    hidden, mask = model.encode(batch)
    assert hidden.shape[1] == mask.shape[1] == 4 + batch.source.shape[1]
    assert mask[:, :4].all() and torch.equal(mask[:, 4:], batch.source_mask)


def test_vocabulary_start_takes_different_frequent_tokens():
    model = with_tokenizer(tiny_t5())
    method = PromptTuning(prompt_length=5)
    method.attach(model)
    (prompt,) = method.state_dict().values()
    found = [int((model.embedding.weight == row).all(1).nonzero()) for row in prompt]
    assert sorted(found) == [20, 21, 22, 23, 24]


def test_label_start_averages_a_label_of_several_tokens_and_fills_up_with_frequent_ones():
    model = with_tokenizer(tiny_gpt2())
    method = PromptTuning(prompt_length=9, init="labels", labels=list(WORDS))
    method.attach(model)
    (prompt,) = method.state_dict().values()
    table = model.embedding.weight
    for row, ids in zip(prompt, WORDS.values(), strict=False):
        torch.testing.assert_close(row, table[ids].mean(0))
    assert all((table[20:25] == row).all(1).any() for row in prompt[3:])  # 6 places, 5 frequent tokens
    assert len(prompt) == 9


def test_a_label_without_tokens_is_refused_and_the_model_left_alone():
    model = with_tokenizer(tiny_t5())
    model.tokenizer.encode = lambda text: WORDS.get(text, [])
    for kind in (PromptTuning, PromptEnsemble):
        with pytest.raises(UserError, match="The label '☂' holds no token to start from"):
            kind(init="labels", labels=["no", "☂"]).attach(model)
    PromptTuning(init="labels", labels=list(WORDS)).attach(model)  # nothing of the first attempts is left


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_start_that_is_not_finite_is_refused(number):
    with pytest.raises(UserError, match="not finite"):
        PromptTuning(prompt_length=2).start_from(torch.tensor([[1.0, number], [2.0, 3.0]]))


def test_uniform_start_lies_within_one_half():
    model, method = tiny_t5(), PromptTuning(prompt_length=200, init="uniform")
    method.attach(model)
    (prompt,) = method.state_dict().values()
    assert 0.49 < prompt.abs().max() <= 0.5 and abs(float(prompt.mean())) < 0.03


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"prompt_length": 0}, "at least 1"),
        ({"init": "noise"}, "not 'noise'"),
        ({"init": "labels"}, "needs the labels"),
        ({"init": "labels", "labels": "good"}, "a list of words, not the text 'good'"),
        ({"labels": ["good", "bad"]}, "init 'vocabulary' reads no labels"),
        ({"init": "labels", "labels": ["a", "b", "c"], "prompt_length": 2}, "2 vectors have no place for 3 labels"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        PromptTuning(**settings)


def test_a_prompt_as_long_as_the_context_is_refused_and_the_model_left_alone():
    model = tiny_gpt2(max_length=12)
    with pytest.raises(UserError, match="A prompt of 12 leaves no room in 12 positions"):
        PromptTuning(prompt_length=12, init="uniform").attach(model)
    method = PromptTuning(prompt_length=11, init="uniform")
    method.attach(model)
    with pytest.raises(UserError, match="do not fit"):
        model(random_batch())


def test_words_without_a_tokenizer_are_refused():
    with pytest.raises(UserError, match="no tokenizer"):
        PromptTuning().attach(tiny_t5())


def test_a_start_from_another_prompt_is_taken_as_a_copy_and_must_fit():
    method, first = PromptTuning(prompt_length=3), torch.randn(3, 12)
    method.start_from(first)
    model = tiny_t5()
    method.attach(model)
    (prompt,) = method.named_parameters().values()
    assert torch.equal(prompt, first)
    with torch.no_grad():
        prompt.zero_()
    assert first.any() and method.start.any()
    wrong = PromptTuning(prompt_length=4)
    wrong.start_from(first)
    with pytest.raises(UserError, match=r"start is \(3, 12\), the prompt \(4, 12\)"):
        wrong.attach(tiny_gpt2())


def test_a_hybrid_prompt_reads_hand_written_words_around_the_source():
    model = with_tokenizer(tiny_t5())
    method = PromptTuning(prompt_length=2, init="uniform", template="no {source}")
    method.attach(model)
    model.tokenizer.encode = lambda text: [WORDS[word][0] for word in text.split()]
    assert method.source_ids("yes yes") == [6, 5, 5]
    method.detach()
    with pytest.raises(UserError, match="A template needs"):
        PromptTuning(template="no source")


def test_an_answer_behind_a_sentinel_begins_with_the_first_one():
    model = with_tokenizer(tiny_t5())
    for method, answers in (
        (PromptTuning(prompt_length=3), [[6, 9, 11]]),
        (PromptTuning(3, sentinel=True), [[30, 6, 9, 11]]),
    ):
        method.attach(model)
        assert method.answer_ids("no") == answers
        method.detach()
