"""Slices have scores of their own, and the answers of a whole run are kept in one character each."""

from dataclasses import replace

import pytest

from minipeft.racing.table import summarise
from minipeft.tasks.answers import marked, slice_scores
from minipeft.tasks.jsonl import read_jsonl, to_jsonl
from minipeft.tasks.multi_task import mixture
from minipeft.tasks.registry import load_task
from minipeft.tasks.task import Example, Task
from minipeft.training.evaluating import evaluate


def task_of(examples, metric="accuracy", labels=("warm", "cold", "mild")):
    return Task("t", "", metric, labels, examples, examples, examples)


def test_a_slice_is_scored_alone_and_what_has_none_counts_in_none():
    examples = [Example("a", "x", slice="plain"), Example("b", "x", slice="negation"), Example("c", "x"),
                Example("d", "y", slice="plain"), Example("e", "y", slice="plain")]  # fmt: skip
    predictions = ["x", "y", "y", "y", "x"]
    assert slice_scores("accuracy", examples, predictions) == {"negation": 0.0, "plain": pytest.approx(200 / 3)}
    assert slice_scores("accuracy", [Example("a", "x")], ["x"]) == {}


def test_a_mark_is_right_or_the_place_of_the_answer_that_was_chosen():
    own = Example("c", "q", ("r", "q", "s"))
    examples = (Example("a", "cold"), Example("b", "warm"), own, own, Example("d", "warm"))
    assert marked(task_of(examples), examples, ["cold", "mild", "s", "r", "cold"]) == ".2201"
    many = tuple(f"label {n}" for n in range(63))
    task = task_of((Example("a", "label 0"),) * 4, labels=many)
    assert marked(task, task.test, [many[n] for n in (9, 10, 61, 62)]) == "9aZ?"


def test_a_mark_of_a_written_answer_tells_how_much_of_it_is_right():
    example = Example("a", "person: Anna; place: garden")
    answers = ["person: Anna;  place: garden", "place: garden; person: Anna", "person: Anna", "person: Tom"]
    # F1 of one entity of two: 2 * 1 / (1 + 2) = 0.67
    assert marked(task_of((example,), "tagging_f1", ()), [example] * 4, answers) == "..60"
    short = Example("a", "so")
    assert marked(task_of((short,), "exact_match", ()), [short] * 2, [" so ", "no"]) == ".0"


def test_evaluating_gives_the_score_of_each_slice(tiny_t5, tiny_task):
    half = len(tiny_task.test) // 2
    named = tuple(replace(e, slice="first" if n < half else "rest") for n, e in enumerate(tiny_task.test))
    found = evaluate(tiny_t5, replace(tiny_task, test=named), "test")
    alone = evaluate(tiny_t5, tiny_task, "test", limit=half)["score"]
    assert found["slices"]["first"] == alone and set(found["slices"]) == {"first", "rest"}
    assert "slices" not in evaluate(tiny_t5, tiny_task, "test")


def test_a_slice_survives_a_file_and_white_space_in_it_is_folded(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text(to_jsonl([Example("a", "b", slice="not \n so"), Example("c", "d")]), encoding="utf-8")
    assert [example.slice for example in read_jsonl(file)] == ["not so", ""]
    assert '"slice"' not in file.read_text(encoding="utf-8").splitlines()[1]


def test_in_a_mixture_every_task_is_a_slice_and_letters_keep_theirs():
    first, second = (load_task(name) for name in ("sentiment", "topic"))
    first = replace(first, test=tuple(replace(example, slice="plain") for example in first.test))
    second = replace(second, test=tuple(replace(example, slice="") for example in second.test))
    assert [example.slice for example in mixture([first, second]).test[:4]] == ["sentiment: plain", "topic"] * 2
    lettered, plain = load_task("sentiment:lettered").test, load_task("sentiment").test
    assert [example.slice for example in lettered] == [example.slice for example in plain]


def test_a_row_keeps_its_runs_and_the_mean_of_each_slice():
    def result(seed, score, **more):
        spec = {"method": "lora", "seed": seed}
        return {
            "spec": spec,
            "test": score,
            "trained_parameters": 5,
            "total_parameters": 10,
            "adapter_bytes": 1,
            **more,
        }

    found = {"slices": {"plain": 90.0, "negation": 30.0}, "predictions": "..0"}
    (row,) = summarise([result(0, 60.0, **found), result(1, 70.0, slices={"plain": 80.0, "negation": 60.0})])
    assert row["slices"] == {"plain": 85.0, "negation": 45.0}
    assert row["runs"][0] == {"seed": 0, "word_draw": 0, "score": 60.0, **found}
    (older,) = summarise([result(0, 60.0), result(1, 70.0)])
    assert older["slices"] == {} and [run["predictions"] for run in older["runs"]] == ["", ""]
