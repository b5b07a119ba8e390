"""Evaluation against scores computed one example and one candidate at a time."""

from dataclasses import replace

import pytest
import torch
from helpers.choices import CHOICES, log_likelihood
from helpers.word_models import make_tiny_task

from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.methods.selective.full import Full
from minipeft.tasks.task import SPLITS, Example, Task
from minipeft.training.batches import encode_examples
from minipeft.training.evaluating import evaluate, predict
from minipeft.training.trainer import TrainingSettings, fine_tune


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


ODD = {  # what is done to the fourth example of a split, and what is said
    "no such label": (
        lambda e: replace(e, target="hot"),
        "has the answer 'hot', and the choice is among 'warm', 'cold'",
    ),
    "not a candidate": (lambda e: replace(e, target="a", candidates=("the", "is")), "among 'the', 'is'"),
    "one candidate": (lambda e: replace(e, target="a", candidates=("a",)), "nothing to tell apart"),
    "too long": (lambda e: replace(e, source="the " * 300), "tokens"),
}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("odd", ODD)
def test_training_finds_the_faults_of_every_split_before_its_first_step(make_tiny_model, tiny_task, odd, split):
    change, words = ODD[odd]
    examples = list(getattr(tiny_task, split))
    examples[3] = change(examples[3])
    model, method = make_tiny_model(), Full()
    method.attach(model)
    method.after_backward = lambda step, total: pytest.fail("a step was made")
    model.train()
    with pytest.raises(UserError, match=words) as raised:
        fine_tune(model, method, replace(tiny_task, **{split: tuple(examples)}), TrainingSettings(steps=2))
    assert f"{split} example 4" in str(raised.value) and not model.training


def test_one_class_or_an_empty_split_is_refused_before_the_first_step(tiny_t5, tiny_task):
    method = Full()
    method.attach(tiny_t5)
    method.after_backward = lambda step, total: pytest.fail("a step was made")
    one = {split: tuple(e for e in getattr(tiny_task, split) if e.target == "warm") for split in SPLITS}
    for task, words in (
        (replace(tiny_task, labels=("warm",), **one), "all targets are 'warm': there is nothing to tell apart"),
        (replace(tiny_task, dev=()), "the dev split of warmth is empty"),
        (replace(tiny_task, train=()), "the train split of warmth is empty"),
    ):
        with pytest.raises(UserError, match=words):
            fine_tune(tiny_t5, method, task, TrainingSettings(steps=2))
    method.after_backward = lambda step, total: None
    few = replace(
        tiny_task, dev=one["dev"][:1], test=()
    )  # one dev example of one class can be scored; no test is needed
    assert len(fine_tune(tiny_t5, method, few, TrainingSettings(steps=1, batch_size=2)).losses) == 1


def test_sizes_of_an_evaluation_are_at_least_one(tiny_t5, tiny_task):
    for told in ({"batch_size": 0}, {"batch_size": -1}, {"limit": 0}, {"limit": -3}, {"max_source_length": 0}):
        with pytest.raises(UserError, match=f"^{next(iter(told))} is .*at least 1"):
            evaluate(tiny_t5, tiny_task, **told)


PREFIXES = {  # what takes 5 positions of a GPT-2, and how many of them are counted besides the ids
    "prompt_tuning": ({"prompt_length": 5}, 5),
    "prompt_ensemble": ({"prompt_length": 5, "members": 2}, 5),
    "ppt": ({"prompt_length": 5, "template": "{source} <X>"}, 5),
    "spot": ({"prompt_length": 5}, 5),
    "prefix_tuning": ({"prefix_length": 5}, 5),
    "p_tuning_v2": ({"prefix_length": 5, "depth": 1}, 5),
    "mam": ({"prefix_length": 5}, 5),
    "embedding_prefix": ({"prefix_length": 5}, 5),
    "infix_tuning": ({"prefix_length": 5}, 0),
    "p_tuning": ({"template": "[V][V] {source} [V][V][V]"}, 0),
    "hard_prompt": ({"template": "the fox is red and {source}"}, 0),
}


@pytest.mark.parametrize("name", PREFIXES)
def test_the_longest_text_that_fits_beside_a_prompt_is_trained_on_and_answered(name, tiny_gpt):
    """48 positions: 5 of the method, 38 of the source, 4 of the answer and 1 that ends it. One word more is refused."""
    told, extra = PREFIXES[name]
    method = METHODS[name](**told)
    method.attach(tiny_gpt)
    assert method.extra_positions == extra
    fits, longer = (Example("the " * n, "a fox is seen", ("a fox is seen", "seen")) for n in (38, 39))
    short = Example(
        "the fox", "the " * 40, ("the " * 40, "seen")
    )  # a long answer is read in one batch with a long source
    for metric in ("accuracy", "exact_match"):
        task = Task("t", "", metric, (), (fits, short), (fits, short), (fits, short))
        if method.named_parameters():
            fine_tune(tiny_gpt, method, task, TrainingSettings(steps=2, evaluate_every=2, learning_rate=1e-3))
        answers = lambda task: evaluate(tiny_gpt, task, "dev", predictions=True)["predictions"]  # noqa: E731
        together, alone = answers(task), [answers(replace(task, dev=(e,)))[0] for e in task.dev]
        assert together[0] == alone[0] and (metric == "exact_match" or together == alone)
        for split in SPLITS if method.named_parameters() else SPLITS[1:]:
            with pytest.raises(UserError, match=f"{split} example 2 .*(shorten|the method)"):
                fine_tune(tiny_gpt, method, replace(task, **{split: (fits, longer)}), TrainingSettings(steps=1))


@torch.no_grad()
def test_a_written_answer_has_the_same_room_whatever_it_is_read_with(tiny_gpt):
    """A source of 44 leaves 4 of 48 positions; its neighbour of 2 still has all the room that it asks for."""
    long, short = Example("the " * 44, "seen"), Example("fox is", "the " * 20)
    tiny_gpt.head.weight[1] = -100.0  # end-of-sequence is never written
    texts = predict(tiny_gpt, [long, short], metric="exact_match")
    assert [len(text.split()) for text in texts] == [4, 29]  # 20, end-of-sequence and 8 more
    assert predict(tiny_gpt, [short, long, short], metric="exact_match") == [texts[1], texts[0], texts[1]]
