"""Several tasks at once: what a mixture is made of, its balance, its score, and the refusals."""

from collections import Counter
from dataclasses import replace

import pytest
from helpers.word_models import make_easy_task, make_tiny_task

from minipeft.errors import UserError
from minipeft.methods.selective.full import Full
from minipeft.tasks.jsonl import LocatedExample
from minipeft.tasks.multi_task import mixture, prefixed
from minipeft.tasks.own_data import load_jsonl
from minipeft.tasks.registry import few_shot, load_task
from minipeft.tasks.task import SPLITS, Example, Task
from minipeft.training.evaluating import evaluate
from minipeft.training.trainer import TrainingSettings, fine_tune


def small_task(name, sizes=(2, 2, 2), labels=("x", "y"), metric="accuracy", candidates=()):
    """Sources "<name> <split> <number>"."""
    splits = {
        split: tuple(Example(f"{name} {split} {i}", "x", candidates) for i in range(size))
        for split, size in zip(SPLITS, sizes, strict=True)
    }
    return Task(name, f"About {name}.", metric, labels, held_out=f"Of {name} nothing is shared.", **splits)


def sources(examples):
    return [example.source for example in examples]


def test_prefixed_puts_the_name_before_every_source_and_changes_nothing_else():
    task = small_task("a", sizes=(3, 1, 2))
    named = prefixed(task)
    for split in SPLITS:
        before, after = getattr(task, split), getattr(named, split)
        assert sources(after) == [f"a: {source}" for source in sources(before)]
        assert [(e.target, e.candidates) for e in after] == [(e.target, e.candidates) for e in before]
    assert (named.name, named.labels, named.metric) == ("a", ("x", "y"), "accuracy")


def test_every_example_of_a_mixture_carries_the_answers_of_its_own_task():
    both = mixture([small_task("a"), small_task("b", labels=(), candidates=("x", "z", "w"))])
    for split in SPLITS:
        for example in getattr(both, split):
            assert example.candidates == (("x", "y") if example.source.startswith("a: a ") else ("x", "z", "w"))
    assert both.labels == () and both.name == "a+b" and both.metric == "accuracy"
    assert both.description == "a: About a. b: About b." and "b: Of b nothing" in both.held_out


def test_train_repeats_the_smaller_tasks_and_dev_and_test_stop_at_the_smallest():
    both = mixture([small_task("a", (5, 4, 3)), small_task("b", (2, 1, 6))])
    assert sources(both.train) == [
        source
        for a, b in zip(range(5), (0, 1, 0, 1, 0), strict=True)
        for source in (f"a: a train {a}", f"b: b train {b}")
    ]
    assert sources(both.dev) == ["a: a dev 0", "b: b dev 0"]
    assert sources(both.test) == [f"{name}: {name} test {i}" for i in range(3) for name in "ab"]


def test_the_chance_of_a_mixture_is_the_mean_of_its_tasks():
    both = mixture([small_task("a"), small_task("b", labels=tuple("xyzuvwrstq"))])
    assert both.chance == pytest.approx((50.0 + 10.0) / 2)
    assert small_task("a").chance == 50.0 and small_task("a", labels=(), metric="overlap").chance == 0.0


def test_a_bundled_mixture_is_named_by_its_tasks_with_a_plus():
    both, parts = load_task("sentiment+topic"), [load_task("sentiment"), load_task("topic")]
    assert (len(both.train), len(both.dev), len(both.test)) == (3000, 600, 1200)
    assert Counter(example.candidates for example in both.dev) == {part.labels: 300 for part in parts}
    assert both == load_task(" sentiment + topic")
    assert isinstance(both.train[0], LocatedExample) and both.train[1].place.endswith("topic/train.jsonl, line 1")
    for part in parts:
        assert set(sources(prefixed(part).test)) <= set(sources(both.test))
    small = load_task("sentiment+topic", train_size=7)
    assert sources(small.train) == sources(both.train)[:14]
    assert len(few_shot(both, total=6).train) == 6


@pytest.mark.parametrize(
    "name, words",
    [
        ("sentiment+topc", "no task 'topc'; did you mean 'topic'"),
        ("sentiment+", "no task ''"),
        ("sentiment+sentiment", "two or more different tasks, got sentiment, sentiment"),
        ("sentiment+tagging", "sentiment by accuracy, tagging by tagging_f1"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused_with_a_sentence(name, words):
    with pytest.raises(UserError, match=words):
        load_task(name)


def test_an_empty_split_and_a_single_task_are_refused():
    with pytest.raises(UserError, match="The train split of b is empty"):
        mixture([small_task("a"), small_task("b", (0, 1, 1))])
    with pytest.raises(UserError, match="got a"):
        mixture([small_task("a")])


def test_own_data_can_be_mixed_with_a_bundled_task(tmp_path):
    lines = "".join(f'{{"source": "text {i}", "target": "{"no" if i % 2 else "yes"}"}}\n' for i in range(20))
    (tmp_path / "mine.jsonl").write_text(lines, encoding="utf-8")
    both = mixture([load_jsonl(tmp_path / "mine.jsonl"), load_task("topic", train_size=4)])
    assert both.name == "mine+topic" and both.train[0].candidates == ("no", "yes")


def test_one_model_learns_two_tasks_that_only_their_names_tell_apart(tiny_t5):
    """The same sources: in one task "red" is warm and the rest cold, in the other everything is cold."""
    warm = make_easy_task()
    other = {split: tuple(Example(e.source, "cold") for e in getattr(warm, split)) for split in SPLITS}
    tasks = [replace(warm, name="red"), replace(warm, name="blue", **other)]
    method = Full()
    encode = tiny_t5.tokenizer.encode  # it knows the names, which are words, and no colon
    tiny_t5.tokenizer.encode = lambda text: encode(text.replace(":", ""))
    method.attach(tiny_t5)
    both = mixture(tasks)
    settings = TrainingSettings(steps=100, batch_size=16, learning_rate=3e-3, evaluate_every=20, schedule="constant")
    fine_tune(tiny_t5, method, both, settings)
    scores = [evaluate(tiny_t5, prefixed(task), "test")["score"] for task in tasks]
    assert scores == [100.0, 100.0]
    assert evaluate(tiny_t5, tasks[0], "test")["score"] != evaluate(tiny_t5, tasks[1], "test")["score"]  # no names


def test_the_score_of_a_mixture_is_the_mean_of_its_tasks_scores(tiny_gpt):
    """An untrained model, which is right at one of these tasks more often than at the other."""
    warm = make_tiny_task()
    swap = {"warm": "cold", "cold": "warm"}
    other = {split: tuple(Example(e.source, swap[e.target]) for e in getattr(warm, split)) for split in SPLITS}
    tasks = [replace(warm, name="red"), replace(warm, name="blue", **other)]
    encode = tiny_gpt.tokenizer.encode
    tiny_gpt.tokenizer.encode = lambda text: encode(text.replace(":", ""))
    scores = [evaluate(tiny_gpt, prefixed(task), "test")["score"] for task in tasks]
    assert scores[0] != scores[1]
    assert evaluate(tiny_gpt, mixture(tasks), "test")["score"] == pytest.approx(sum(scores) / 2)
