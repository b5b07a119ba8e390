"""The command that makes the committed tables: where its results go, and how it says it was called."""

import json
import shlex
import sys

import pytest

from minipeft.course.chapters import LESSONS, load_answers

acceptance = load_answers(LESSONS / "21_which_method" / "experiment.py")


@pytest.fixture
def raced(tmp_path, monkeypatch):
    """Calls of `compare` instead of races; each gives back a small report, as the real one does."""
    calls = []

    def compare(base, methods, seeds, workers, tune):
        calls.append((base, methods, seeds, tune))
        report = {"learning_rates": {"lora": 0.01 * len(calls), "untuned": None}, "rows": [], "title": base.task}
        report["sweep"] = {"lora": {"0.01": 50.0}}
        return report

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(acceptance, "compare", compare)
    monkeypatch.setattr(acceptance, "picture", lambda report, path: True)
    monkeypatch.setattr(acceptance, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(acceptance, "TUNED", tmp_path / "results" / "learning_rates.json")
    return calls


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["acceptance", *arguments])
    acceptance.main()


def test_every_task_gets_a_file_that_names_the_call_which_makes_it_again(raced, tmp_path, monkeypatch):
    hybrid = "hybrid=prompt_tuning:template={source} Verdict:"
    call(monkeypatch, "--tasks", "sentiment,topic", "--methods", f"lora,{hybrid}", "--name", "prompts", "--seeds", "2")
    assert [base.task for base, *_ in raced] == ["sentiment", "topic"]
    assert [rest for _, *rest in raced] == [[["lora", hybrid], 2, True]] * 2
    report = json.loads((tmp_path / "results" / "topic-prompts.json").read_text(encoding="utf-8"))
    words = shlex.split(report["command"])
    assert words[:2] == ["python", "lessons/21_which_method/experiment.py"]
    assert words[words.index("--tasks") + 1] == "topic"
    assert words[words.index("--methods") + 1] == f"lora,{hybrid}"
    assert report["sweep"] == {"lora": {"0.01": 50.0}}
    rates = json.loads((tmp_path / "results" / "learning_rates.json").read_text(encoding="utf-8"))
    assert "embeddings" in rates.pop("unit of prompts")
    assert rates == {"t5-0.8m": {"sentiment": {"lora": 0.01}, "topic": {"lora": 0.02}}}


def test_few_shot_races_stand_apart_and_leave_the_rates_of_whole_tasks_alone(raced, tmp_path, monkeypatch):
    call(monkeypatch, "--tasks", "topic", "--shots", "32", "--name", "few", "--methods", "lora")
    ((base, *_),) = raced
    assert base.shots == 32 and base.folder.endswith("topic-32shots")
    assert (tmp_path / "results" / "topic-few.json").exists()
    assert not (tmp_path / "results" / "learning_rates.json").exists()
