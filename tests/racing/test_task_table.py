"""The tasks' table: what it asks of a task, and that the page shows the file."""

import json
from types import SimpleNamespace

import pytest

from minipeft.flags import ended
from minipeft.paths import DATA
from minipeft.racing import tables, task_table
from minipeft.racing.runs import RunSpec, get_task, task_of, with_seed
from minipeft.tasks.making.drawn import drawn_task


def row(lora=(80.0,), rule=55.0, random_base=(51.0,), slices=None, chance=50.0):
    rows = {name: {"scores": [90.0], "slices": {}} for name in task_table.CONTENDERS}
    rows["lora"] = {"scores": list(lora), "slices": slices or {}}
    rows["random_base"]["scores"] = list(random_base)
    return {"metric": "accuracy", "chance": chance, "rule": "counting", "rule_score": rule, "rows": rows}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lora": (59.0,), "rule": 45.0}, "LoRA is near a blind guess"),
        ({"lora": (64.0,)}, "LoRA is near a rule that does not read"),  # 55 + 20% of 50 is 65
        ({"random_base": (58.5,)}, "a network without pretraining is above the rule"),
        ({"lora": (99.0,), "slices": {"plain": 99.0, "negation": 98.0}}, "LoRA has nothing left to gain"),
    ],
)
def test_a_task_that_teaches_nothing_is_told_why(wrong, words):
    assert task_table.shortcomings(row(**wrong)) == [words]


def test_a_task_with_room_is_not_faulted():
    assert task_table.shortcomings(row()) == []
    assert task_table.shortcomings(row(lora=(99.0,), slices={"plain": 99.5, "negation": 91.0})) == []


def test_the_table_shows_means_and_slices():
    text = task_table.markdown({"tasks": {"moods": row(lora=(80.0, 90.0), slices={"plain": 91.4})}})
    assert text.splitlines()[2] == "| `moods` | 50.0 | 55.0, counting | 51.0 | 85.0 | 90.0 | 90.0 | plain 91 |"


def result(contender, score, seed=0, task="topic", slices=None, commit="c0"):
    told = {"method": contender, "task": task, "seed": seed}
    return {"spec": told, "test": score, "slices": slices or {}, "provenance": {"commit": commit}}


def test_the_row_of_a_task_has_the_best_rule_over_all_draws_and_the_scores_of_every_seed(monkeypatch):
    """By the mean over the draws "letters" (40, 60) is above "length" (55, 30), which draw 0 alone would name."""
    rules = {0: {"length": 55.0, "letters": 40.0, "never": 1.0}, 1: {"length": 30.0, "letters": 60.0, "never": 2.0}}
    monkeypatch.setattr(task_table, "drawn_task", lambda name, draw: SimpleNamespace(draw=draw, metric="m", chance=9.0))
    monkeypatch.setattr(task_table, "rule_scores", lambda task: rules[task.draw])
    results = [
        result(name, 10.0 * place + seed, seed, slices={"easy": 80.0 + seed, "hard": 3.0}, commit=f"c{1 - seed}")
        for seed in (0, 1)
        for place, name in enumerate(task_table.CONTENDERS, 1)
    ]
    found = task_table.task_row("topic", 2, results)
    assert (found["rule"], found["rule_score"], found["metric"], found["chance"]) == ("letters", 50.0, "m", 9.0)
    assert {name: told["scores"] for name, told in found["rows"].items()} == {
        "random_base": [10.0, 11.0], "lora": [20.0, 21.0], "full": [30.0, 31.0], "prompt_tuning": [40.0, 41.0],
    }  # fmt: skip
    assert found["rows"]["lora"]["slices"] == {"easy": 80.5, "hard": 3.0} and found["commits"] == ["c0", "c1"]


def test_every_task_is_run_with_every_contender_and_seed_at_the_suggested_rate(monkeypatch, tmp_path):
    asked = []

    def run_all(specs, workers, description, done):
        asked.extend(specs)
        return [result(spec.method, 1.0, spec.seed, spec.task) for spec in specs]

    def task_row(name, seeds, results):
        rows[name] = (seeds, results)
        return name

    rows = {}
    monkeypatch.setattr(task_table, "run_all", run_all)
    monkeypatch.setattr(task_table, "task_row", task_row)
    told = task_table.measure(["topic", "sentiment"], "t5-0.8m", 70, 2, tmp_path, 1)
    assert told == {"topic": "topic", "sentiment": "sentiment"}
    wanted = {(task, name, seed, seed) for task in told for name in task_table.CONTENDERS for seed in (0, 1)}
    assert {(spec.task, spec.method, spec.seed, spec.word_draw) for spec in asked} == wanted and len(asked) == 16
    assert {(spec.model, spec.steps, spec.learning_rate, spec.split) for spec in asked} == {
        ("t5-0.8m", 70, None, "test")
    }
    assert len({spec.folder for spec in asked}) == 16
    for name, (seeds, results) in rows.items():
        assert seeds == 2 and [found["spec"]["task"] for found in results] == [name] * 8


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--tasks", "bogus"], "bogus"), (["--tasks", "topic,sentimant"], "did you mean 'sentiment'"),
        (["--steps", "0"], "'0' is not a whole number of at least 1"), (["--base", "nosuch"], "nosuch"),
        (["--seeds", "0"], "'0' is not a whole number from 1"), (["--seeds", "-1"], "'-1' is not a whole number"),
        (["--workers", "0"], "'0' is not a whole number"), (["--tasks", " "], "is empty"),
        (["--tasks", ","], "names no task"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_told_in_a_sentence_before_the_work(flags, words, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(task_table, "run_all", lambda *_: pytest.fail("work was begun"))
    places = ["--folder", str(tmp_path), "--out", str(tmp_path / "out.json")]
    assert ended(lambda: task_table.main([*places, *flags])) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1 and not list(tmp_path.iterdir())


def test_every_seed_draws_its_own_words_and_your_own_data_stay_as_they_are(tmp_path):
    spec = RunSpec(str(tmp_path), "m", "topic", "lora")
    assert get_task(spec) == drawn_task("topic", 0)
    assert get_task(with_seed(spec, 5)) == drawn_task("topic", 5) != drawn_task("topic", 0)
    assert with_seed(RunSpec("", "m", "", "lora", data="mine.jsonl"), 5).word_draw == 0


def test_a_run_tells_the_words_it_was_made_on_and_an_older_one_had_the_bundled(tmp_path):
    for spec, draw in (({"word_draw": 5}, 5), ({}, 0)):
        told = {"folder": "f", "model": "m", "task": "topic", "method": "lora", "seed": 5, **spec}
        (tmp_path / "result.json").write_text(json.dumps({"spec": told}), encoding="utf-8")
        assert task_of(tmp_path) == drawn_task("topic", draw)


@pytest.mark.skipif(not task_table.OUT.exists(), reason="the table was not measured yet")
def test_the_page_of_the_data_shows_the_file_and_at_least_ten_tasks_teach_something():
    page = (DATA / "README.md").read_text(encoding="utf-8")
    assert page == tables.fill(page)
    report = json.loads(task_table.OUT.read_text(encoding="utf-8"))
    assert sum(not task_table.shortcomings(row) for row in report["tasks"].values()) >= 10
