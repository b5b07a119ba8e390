"""The tasks' table: what it asks of a task, and that the page shows the file."""

import json

import pytest

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
