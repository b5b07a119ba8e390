"""The committed races tell the methods apart: what the bundled tasks are for, held to the numbers themselves."""

import json

import pytest

from minipeft.tasks.task import DATA

TASKS = ("sentiment", "sentiment_food", "topic", "category")


def scores(task):
    """The mean test score of each row, in percent, and that of a blind guess."""
    report = json.loads((DATA / "results" / f"{task}.json").read_text(encoding="utf-8"))
    assert report["seeds"] >= 5 and report["metric"] == "accuracy"
    return {row["method"]: row["mean"] for row in report["rows"]}, report["chance"]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_tells_the_methods_apart(task):
    mean, chance = scores(task)
    assert abs(mean["untuned"] - chance) < 5, "the untuned base is near a blind guess"
    assert mean["full"] - mean["random_base"] >= 15, "pretraining is what is adapted"
    tuned = {method: score for method, score in mean.items() if method not in ("untuned", "random_base")}
    assert len(tuned) >= 6
    assert max(tuned.values()) - min(tuned.values()) >= 10 and max(tuned.values()) < 100
    assert abs(mean["lora"] - mean["full"]) <= 3
    assert chance + 10 < mean["prompt_tuning"] < mean["lora"]
