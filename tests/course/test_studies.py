"""The studies of planned chapters, from end to end with two steps a run: rows, tuning effort, what they are made of."""

import json
from pathlib import Path

import pytest
import torch

from minipeft.commands.compare import compare
from minipeft.course.chapters import LESSONS, load_answers
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.paths import DATA
from minipeft.racing.runs import RunSpec
from minipeft.tasks.making.drawn import drawn_task
from minipeft.training.adapter_files import load_adapter
from minipeft.training.evaluating import evaluate

pytestmark = pytest.mark.slow
adapters = load_answers(LESSONS / "10_adapter_fusion" / "experiment.py")
ensembles = load_answers(LESSONS / "08_prompt_transfer" / "ensembles.py")
sources = load_answers(LESSONS / "08_prompt_transfer" / "sources.py")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results go here and not into the project; runs are made in this process."""

    monkeypatch.setattr(adapters, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(adapters, "default_workers", lambda device: 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def test_a_fusion_is_raced_against_its_own_adapters(results):
    flags = ["--model", "t5-0.4m", "--sources", "topic", "--shots", "4", "--steps", "2", "--source-steps", "2"]
    adapters.main(["fusion", *flags, "--seeds", "2"])
    report = json.loads((results / "sentiment-fusion.json").read_text(encoding="utf-8"))
    rows = {row["method"]: row for row in report["rows"]}
    assert set(rows) == {"own adapter", "topic adapter", "fusion"}
    assert {len(scores) for scores in report["sweep"].values()} == {4}
    rate, own_rate = (f"{report['learning_rates'][row]:g}" for row in ("fusion", "own adapter"))
    for seed in (0, 1):
        fused = torch.load(
            Path("runs/fusion/sentiment") / f"fusion-{rate}-seed{seed}" / "adapter.pt", weights_only=True
        )
        own, source = fused["hyperparameters"]["adapters"]
        assert own.endswith(f"own_adapter-{own_rate}-seed{seed}/adapter.pt") and "source-topic" in source
        trained = torch.load(own, weights_only=True)["weights"]
        name = "decoder.blocks.0.feed_forward.adapter.up.weight"
        inside = fused["weights"][name.replace(".adapter.", ".adapters.0.")]
        assert torch.equal(inside, trained[name]), "the frozen adapter of this seed, as it was trained"
    model = load("t5-0.4m")
    load_adapter(source, model, METHODS)
    again = [evaluate(model, drawn_task("sentiment", seed), "test")["score"] for seed in (0, 1)]
    assert rows["topic adapter"]["scores"] == again, "one adapter, never trained again, on the words of each seed"


def test_the_curve_reads_one_robust_adapter_at_every_number_of_layers(results):
    entries = [f"drop{n}=adapter_drop:dropped={n}" for n in (0, 1)]
    base = RunSpec(folder="race", model="t5-0.4m", task="sentiment", method="", steps=2)
    compare(base, [*entries, "robust=adapter_drop:robust=true:dropped=1"], seeds=2, workers=1)
    report = adapters.curves(Path("race"))
    assert list(report["robust"]) == list(report["specialised"]) == [0, 1]
    assert all(len(scores) == 2 for kind in ("robust", "specialised") for scores in report[kind].values())
    assert report["trained"][0] > report["trained"][1]
    race = {row["method"]: row for row in json.loads(Path("race/result.json").read_text("utf-8"))["rows"]}
    assert report["robust"][0] == race["robust"]["scores"], "with all adapters it is what the race has seen"


def test_an_ensemble_of_a_race_is_scored_member_by_member(results):
    base = RunSpec(folder="race", model="t5-0.4m", task="sentiment", method="", steps=2)
    compare(base, ["prompt_ensemble=prompt_ensemble:members=2:prompt_length=3"], seeds=1, workers=1)
    report = ensembles.study(Path("race"))
    (row,) = json.loads(Path("race/result.json").read_text("utf-8"))["rows"]
    assert report["ensemble"]["scores"] == row["scores"]
    (members,) = report["members"]
    assert len(members) == 2 and report["average"]["mean"] == sum(members) / 2 and report["best"]["mean"] in members


def test_a_source_prompt_is_scored_as_it_is():
    report = json.loads((DATA / "results" / "source_prompts.json").read_text(encoding="utf-8"))["tasks"]
    assert {task: found["source"] for task, found in report.items()} == sources.SOURCES
    score = sources.untuned_score("sentiment", "sentiment_food")
    assert score == pytest.approx(report["sentiment"]["score"], abs=1), "another machine may round otherwise"
