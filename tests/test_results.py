"""The numbers in the prose of data/results/README.md and README.md are those of the result files that they name.

A number's mark is a comment behind it: `12.3<!-- topic: lora -->` is the mean of LoRA's row in data/results/topic.json,
`topic: lora, reads` that of one slice, or another field of the row; `topic: lora - full` the mean difference, seed by
seed, with `, low` and `, high` the ends of its 95% interval.
"""

import json
from statistics import mean

import pytest

from minipeft.course.pages import number_problems
from minipeft.methods.registry import METHODS
from minipeft.paths import DATA
from minipeft.racing.addresses import numbers_at
from minipeft.racing.differences import difference
from minipeft.racing.front import OUT, RACES, front, races_in
from minipeft.racing.runs import CONTROLS
from minipeft.racing.tables import MARK, PAGE

ENDS = ("low", "high")


def race(name):
    """Rows by method, of a committed race."""
    report = json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return {row["method"]: row for row in report["rows"]}


def scores(file, row):
    return numbers_at(f"data/results/{file}.json: {row}")


class Measured(dict):
    """The number that a mark stands for, looked up when it is asked for."""

    def __missing__(self, mark):
        file, _, told = mark.partition(": ")
        row, _, field = told.partition(", ")
        first, _, second = row.partition(" - ")
        if second:
            found = difference(first, scores(file, first), second, scores(file, second), paired=True)
            return getattr(found, field) if field in ENDS else found.difference
        if field:
            values = race(file)[row]
            return values["slices"][field] if field in values.get("slices", {}) else values[field]
        return mean(scores(file, row))


def problems_of(text):
    return number_problems(MARK.sub("", text), {"numbers": Measured()})


def test_every_number_of_the_page_of_results_is_that_of_a_file():
    assert problems_of(PAGE.read_text(encoding="utf-8").partition("## Time and memory")[0]) == []


def test_a_wrong_number_and_one_without_a_mark_are_told():
    lora = mean(scores("topic", "lora"))
    ahead = mean(scores("topic", "lora")) - mean(scores("topic", "hard_prompt"))
    assert (
        problems_of(f"LoRA has {lora:.1f}<!-- topic: lora -->, {ahead:.1f}<!-- topic: lora - hard_prompt --> more")
        == []
    )
    assert "should be" in problems_of(f"LoRA has {lora + 1:.1f}<!-- topic: lora -->")[0]
    assert "no mark" in problems_of(f"LoRA has {lora:.1f}")[0]
    assert "no value" in problems_of("LoRA has 70.0<!-- topic: loraa -->")[0]


def test_the_front_table_is_the_mean_of_the_four_races_beside_it():
    committed = json.loads(OUT.read_text(encoding="utf-8"))
    again = front(races_in([str(DATA / "results" / f"{name}.json") for name in RACES]))
    for ours, theirs in zip(committed["rows"], again["rows"], strict=True):
        assert ours.pop("interval") == pytest.approx(theirs.pop("interval")), "the last digits are those of a machine"
    assert {name: committed[name] for name in again} == again, "run: python -m minipeft.racing.front"
    assert committed["command"] == "python -m minipeft.racing.front"


@pytest.mark.parametrize("task", ("sentiment-all", "topic", "category", "opinion_now"))
def test_a_task_tells_the_methods_apart(task):
    rows = race(task)
    means = {method: row["mean"] for method, row in rows.items()}
    chance = json.loads((DATA / "results" / f"{task}.json").read_text(encoding="utf-8"))["chance"]
    assert means["random_base"] < chance + 15 and means["untuned"] < chance + 15, "without base or tuning: a guess"
    tuned = [score for method, score in means.items() if method not in CONTROLS]
    assert max(tuned) - min(tuned) >= 10 and max(tuned) < 98, "neither level nor at the top"


def test_the_whole_race_has_every_method_that_can_act_on_its_base():
    assert race("sentiment-all").keys() == {*METHODS, *CONTROLS} - {"bitfit", "adapter_fusion"}
