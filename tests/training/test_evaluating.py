"""Evaluation against scores computed one example and one candidate at a time."""

from dataclasses import replace

import pytest
import torch
from helpers.choices import CHOICES, log_likelihood
from helpers.word_models import make_tiny_task

from minipeft.errors import UserError
from minipeft.methods.selective.full import Full
from minipeft.tasks.task import Example, Task
from minipeft.training.batches import encode_examples
from minipeft.training.evaluating import evaluate, predict


@torch.no_grad()
def test_ranking_takes_the_likeliest_answer_of_each_example_whatever_the_batch(tiny_model):
    expected = [max(e.candidates, key=lambda text, e=e: log_likelihood(tiny_model, e.source, text)) for e in CHOICES]
    for batch_size in (1, 2, 8):
        assert predict(tiny_model, CHOICES, batch_size=batch_size) == expected


@torch.no_grad()
def test_accuracy_of_a_label_task_equals_one_by_one_ranking(tiny_model, tiny_task):
    right = 0
    for example in tiny_task.dev:
        scores = {label: log_likelihood(tiny_model, example.source, label) for label in tiny_task.labels}
        right += max(scores, key=scores.get) == example.target
    result = evaluate(tiny_model, tiny_task, "dev", batch_size=5)
    assert result == {"score": pytest.approx(100 * right / 18), "metric": "accuracy", "n": 18}


def test_a_task_measured_by_macro_f1_is_answered_by_choosing_too(tiny_t5, tiny_task):
    chosen = evaluate(tiny_t5, tiny_task, predictions=True)["predictions"]
    assert evaluate(tiny_t5, replace(tiny_task, metric="macro_f1"), predictions=True)["predictions"] == chosen


def test_written_answers_come_back_in_the_order_of_the_examples(tiny_model):
    task = make_tiny_task("exact_match")
    texts = evaluate(tiny_model, task, "test", batch_size=4, limit=7, predictions=True)["predictions"]
    alone = [predict(tiny_model, [example], metric="exact_match")[0] for example in task.test[:7]]
    assert texts == alone and len(texts) == 7


def test_evaluation_leaves_the_training_mode_as_it_was(tiny_model, tiny_task):
    tiny_model.train()
    evaluate(tiny_model, tiny_task, limit=2)
    assert tiny_model.training


def test_bad_requests_get_one_sentence(tiny_gpt, tiny_task):
    with pytest.raises(UserError, match="train, dev, test"):
        evaluate(tiny_gpt, tiny_task, "validation")
    empty = Task("empty", "", "accuracy", ("warm", "cold"), (), (), ())
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate(tiny_gpt, empty, "dev")
    with pytest.raises(UserError, match="at least two"):
        predict(tiny_gpt, [Example("the fox", "warm")])
    with pytest.raises(UserError, match="example 1"):
        predict(tiny_gpt, [Example(" ".join(["the"] * 47), "warm", ("warm", "cold"))])


@torch.no_grad()
def test_where_several_answers_stand_for_a_label_its_score_is_their_mean(tiny_model, tiny_task):
    words = {"warm": ["a", "owl"], "cold": ["seen"]}  # as many answers as it pleases

    class Verbalized(Full):
        def answer_ids(self, text):
            return [self.model.tokenizer.encode(word) for word in words[text]]

    def mean(source, label):
        scores = [log_likelihood(tiny_model, source, word) for word in words[label]]
        return sum(scores) / len(scores)

    expected = [max(words, key=lambda label, e=e: mean(e.source, label)) for e in tiny_task.dev]
    assert len(set(expected)) == 2
    Verbalized().attach(tiny_model)
    assert predict(tiny_model, tiny_task.dev, tiny_task.labels) == expected
    (encoded,) = encode_examples(tiny_model, [Example("the fox is red", "warm")])
    assert encoded.target == [*tiny_model.tokenizer.encode("a"), 1]  # training writes the first
