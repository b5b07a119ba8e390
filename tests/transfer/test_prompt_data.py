"""What `pretrain-prompt` makes of the corpus fits the model, in letters it knows; its classifier is read rightly."""

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.models import tiny_t5

from minipeft.errors import UserError
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.tasks.making import corpus
from minipeft.transfer.prompt_data import made_task, room_for_source, single_token_letters
from minipeft.transfer.prompt_pretraining import split_sentences
from minipeft.transfer.pseudo_labels import goodness, graded_texts
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig


class Spelling:
    """Knows A to D and I as words and spells every other letter; `good` and `bad` are of two tokens and one."""

    eos = 1

    def encode(self, text):
        if len(text) == 1:
            return [5] if text in "ABCDI" else [6, 7]
        return [token for word in text.split() for token in {"good": [8, 9], "bad": [10]}.get(word, [11 + len(word)])]


def gpt(length):
    torch.manual_seed(0)
    model = DecoderOnly(DecoderOnlyConfig(Tokenizer.load().size, hidden_size=8, heads=2, layers=1, max_length=length))
    model.tokenizer = Tokenizer.load()
    return model.eval()


def ask(kind, documents=150):
    return SimpleNamespace(kind=kind, documents=documents, prompt_length=4)


def test_letters_are_counted_up_to_the_first_that_is_spelt():
    assert single_token_letters(Spelling()) == 4 and single_token_letters(Tokenizer.load()) == 16


def test_options_are_fewer_where_the_model_reads_less():
    assert room_for_source(gpt(100), 4) == 80 and room_for_source(tiny_t5(), 4) == 240
    for length, most in ((100, 5), (180, 10)):
        model = gpt(length)
        task = made_task(ask("unified"), model, Path("unused"))
        sizes = {len(example.candidates) for example in (*task.train, *task.dev)}
        assert sizes == set(range(2, most + 1))
        assert max(len(model.tokenizer.encode(e.source)) for e in task.train) <= length - 20


def test_what_is_too_long_is_left_out_and_nothing_left_is_an_error():
    long, short = made_task(ask("pair"), gpt(300), Path("unused")), made_task(ask("pair"), gpt(48), Path("unused"))
    count = {example.source: len(Tokenizer.load().encode(example.source)) for example in long.train}
    assert [e for e in long.train if count[e.source] <= 28] == list(short.train) and len(short.train) < len(long.train)
    with pytest.raises(UserError, match="no train example of this kind"):
        made_task(ask("pair"), gpt(26), Path("unused"))


def test_train_and_dev_come_from_different_documents():
    task = made_task(ask("choice"), gpt(300), Path("unused"))
    assert len(task.train) == 150 and len(task.dev) == 100 and not {*task.train} & {*task.dev}
    for examples, seed, other in ((task.train, 0, 1), (task.dev, 1, 0)):
        own, strange = (" ".join(corpus.documents(which, 0, 150)) for which in (seed, other))
        queries = [example.source.split(" ? A. ")[0] for example in examples]
        assert all(query in own for query in queries)
        assert sum(query in strange for query in queries) < len(queries) / 4  # short ones such as "Good."


@torch.no_grad()
def test_goodness_is_the_share_of_good_in_the_likelihood_of_both():
    model = tiny_t5()
    model.tokenizer = Spelling()
    texts = ["a bb ccc", "dddd", "ee fff gggg hhhhh", "i j"] * 20  # more than one batch
    expected = []
    for text in texts[:4]:
        likelihoods = []
        for answer in ([8, 9, 1], [10, 1]):
            batch = Batch(*pad([[*Spelling().encode(text), 1]]), *pad([answer]))
            logs = model(batch).double().log_softmax(-1)[0]
            likelihoods.append(float(sum(logs[place, token] for place, token in enumerate(answer)).exp()))
        expected.append(likelihoods[0] / sum(likelihoods))
    assert goodness(model, texts) == pytest.approx(expected * 20, abs=1e-4)
    assert max(expected) - min(expected) > 0.01


def test_graded_texts_are_two_sentences_that_follow_each_other(monkeypatch):
    documents = [split_sentences(f"D{i} a. D{i} b. D{i} c. D{i} d.") for i in range(200)]
    monkeypatch.setattr(
        "minipeft.transfer.pseudo_labels.goodness", lambda model, texts: [n % 5 / 4 for n in range(len(texts))]
    )
    examples = graded_texts(None, documents, 1000, random.Random(0))
    assert len(examples) == 200
    for example in examples:
        (number,) = {word for word in example.source.split() if word.startswith("D")}
        assert example.source in " ".join(documents[int(number[1:])])
        words = ("terrible", "bad", "maybe", "good", "great")
        assert example.target == words[int(number[1:]) % 5]
