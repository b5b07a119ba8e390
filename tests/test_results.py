"""The committed races tell the methods apart: what the bundled tasks are for, held to the numbers themselves."""

import json

import pytest
import torch

from minipeft.methods.registry import METHODS
from minipeft.paths import DATA

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


def race(name):
    """Rows by method, of a committed race."""
    report = json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return {row["method"]: row for row in report["rows"]}


PAGE = (DATA / "results" / "README.md").read_text(encoding="utf-8")
INPUT_PROMPTS = ("prompt_tuning", "spot", "ppt", "p_tuning", "prompt_ensemble", "embedding_prefix")


@pytest.mark.parametrize("name", ("sentiment-prompts", "topic-prompts"))
def test_what_is_said_of_prompts_and_selection(name):
    mean = {method: row["mean"] for method, row in race(name).items()}
    assert all(mean["full"] - 2 <= mean[method] for method in ("ia3", "norm_tuning"))
    assert all(13 <= round(mean["full"] - mean[method]) <= 26 for method in INPUT_PROMPTS)
    assert round(mean["prefix_tuning"] - mean["embedding_prefix"]) == 19
    assert mean["infix_tuning"] < mean["embedding_prefix"]
    assert min(mean[method] for method in INPUT_PROMPTS) > mean["hard_prompt"] > mean["random_base"]


@pytest.mark.parametrize("task", ("sentiment", "topic"))
def test_a_vote_is_above_the_average_member_and_not_above_the_best(task):
    report = json.loads((DATA / "results" / f"{task}-ensemble.json").read_text(encoding="utf-8"))
    prompts = race(f"{task}-prompts")
    assert report["ensemble"]["scores"] == prompts["prompt_ensemble"]["scores"], "the same prompts were raced"
    assert 1.5 <= report["ensemble"]["mean"] - report["average"]["mean"] <= 3
    assert report["ensemble"]["mean"] < report["best"]["mean"] < prompts["prompt_tuning"]["mean"]


def test_what_is_said_of_p_tuning_v2():
    for name, apart in (("sentiment-prompts", 15), ("topic-prompts", 7)):
        rows = race(name)
        assert round(max(rows["p_tuning_v2"]["scores"]) - min(rows["p_tuning_v2"]["scores"])) == apart


def test_bitfit_is_as_good_as_full_tuning_on_gpt2():
    rows = race("sentiment-gpt-1.7m")
    assert rows["bitfit"]["mean"] >= rows["full"]["mean"]


@pytest.mark.parametrize("name", ("sentiment-few_shot", "sentiment_food-few_shot"))
def test_with_few_examples_a_prompt_from_a_related_task_decides(name):
    rows = race(name)
    assert all(row["mean"] < 63 for method, row in rows.items() if method != "spot")
    task = name.partition("-")[0]
    sources = json.loads((DATA / "results" / "source_prompts.json").read_text(encoding="utf-8"))["tasks"]
    assert abs(sources[task]["score"] - rows["spot"]["mean"]) < 2.5, "as it is, it has as much"
    assert f"{sources[task]['score']:.1f} on `{task}`" in " ".join(PAGE.split())


def test_what_is_said_of_prompts_from_unlabelled_text():
    kinds = ("ppt-pair", "ppt-choice", "ppt-unified")
    made = [torch.load(DATA / "prompts" / f"{kind}.pt", weights_only=True)["provenance"]["dev"] for kind in kinds]
    assert [f"{dev:.1f}" for dev in made] == ["34.8", "19.3", "18.7"]
    assert made[0] - 100 / 3 < 2 and made[1] - 100 / 6 < 3, "near a guess among three labels, and among six options"
    starts = {"spot", "ppt", "hybrid", "prompt_tuning", "hard_prompt", "full", "untuned"}
    for name in ("sentiment-few_shot", "sentiment_food-few_shot"):
        assert set(race(name)) == starts
        command = json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf-8"))["command"]
        assert "pretrained=ppt-single" in command, "the prompt raced is the one from graded reviews"


def moved_by(row):
    """The parameters that training moves: one gradient of four bytes each."""
    return row["memory"]["gradients"] / 4


TASKS_OF_METHODS = pytest.mark.parametrize("task", ("sentiment", "topic"))
CONTROLS = ("random_base", "untuned")


@TASKS_OF_METHODS
def test_what_is_said_of_adapters(task):
    rows = race(f"{task}-adapters")
    assert 2 <= rows["mam"]["percent"] < 2.5
    assert round(100 * moved_by(rows["mam"]) / moved_by(rows["full"])) == 69
    if task == "sentiment":
        report = json.loads((DATA / "results" / "sentiment-adapters.json").read_text(encoding="utf-8"))
        rates = [float(rate) for rate in report["sweep"]["pfeiffer"]]
        assert report["learning_rates"]["pfeiffer"] == max(rates)
        assert sorted(rows["pfeiffer"]["scores"])[0] < 52 < 75 < sorted(rows["pfeiffer"]["scores"])[1]
        first = race("sentiment-adapters-first_grids")["pfeiffer"]
        assert f"{first['mean']:.1f} ± {first['interval']:.1f}" == "96.8 ± 2.3"
        assert round(rows["full"]["mean"] - rows["adapter_drop"]["mean"]) in range(40, 43)


@TASKS_OF_METHODS
def test_what_is_said_of_low_rank(task):
    rows = {method: row for method, row in race(f"{task}-low_rank").items() if method not in CONTROLS}
    full = rows.pop("full")["mean"]
    means = [row["mean"] for row in rows.values()]
    assert all(abs(mean - full) < 2 for mean in means) and max(means) - min(means) < 2.5
    assert (rows["vera"]["trained"], rows["oft"]["trained"], rows["lora"]["trained"]) == (5344, 9856, 46848)


def test_what_is_said_of_where_an_adapter_stands():
    rows = race("topic-unified")
    means = {name: row["mean"] for name, row in rows.items()}
    best, sequential = rows["large parallel ffn"], rows["large sequential ffn"]
    assert best["mean"] == max(means.values()) and f"{best['mean'] - sequential['mean']:.1f}" == "1.6"
    assert means["large parallel attention"] < means["large sequential attention"]
    kinds = {name.split(" ", 1)[1] for name in rows}
    losses = [means[f"large {kind}"] - means[f"small {kind}"] for kind in kinds]
    assert len(kinds) == 5 and (f"{min(losses):.1f}", f"{max(losses):.1f}") == ("0.2", "3.3")
    assert means["small heads"] < means["small sequential attention"]
    small, large = (
        [row["trained"] for name, row in rows.items() if name.startswith(size)] for size in ("small", "large")
    )
    assert all(3400 < count < 4000 for count in small) and all(27_000 < count < 29_000 for count in large)


def test_what_is_said_of_adapter_fusion():
    rows = race("sentiment-fusion")
    fusion, food, own = (rows[name] for name in ("fusion", "sentiment_food adapter", "own adapter"))
    assert f"alone has {food['mean']:.1f}, the fusion with it {fusion['mean']:.1f} ± {fusion['interval']:.1f}" in PAGE
    assert max(rows, key=lambda name: rows[name]["mean"]) == "sentiment_food adapter"
    assert food["mean"] >= race("sentiment-prompts")["full"]["mean"]
    assert own["mean"] < fusion["mean"] < food["mean"] - fusion["interval"]
    assert sum(score > 70 for score in fusion["scores"]) == 2


def test_what_is_said_of_adapter_drop():
    curve = json.loads((DATA / "results" / "topic-drop_curve.json").read_text(encoding="utf-8"))
    kinds = ("specialised", "robust")
    specialised, robust = ([sum(scores) / 5 for scores in curve[kind].values()] for kind in kinds)
    rows = race("topic-adapter_drop")
    assert [rows[f"drop{n}"]["scores"] for n in range(4)] == list(curve["specialised"].values())
    assert rows["robust"]["scores"] == curve["robust"]["0"]
    assert round(specialised[0] - specialised[1]) == 19
    assert all(own > shared for own, shared in zip(specialised, robust, strict=True))


def test_what_is_said_of_shared_layers():
    file = DATA.parent / "tests" / "benchmarks" / "adapter_drop.json"
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    speed_up = {(row["shape"], row["tasks"], row["free_layers"]): row["speed_up"][1] for row in results}
    assert f"{speed_up['t5-8.9m', 8, 4]:.2f}" == "2.76" and f"{speed_up['t5-8.9m', 2, 4]:.2f}" == "1.57"
    assert all(0.9 < value < 1.1 for (_, _, free), value in speed_up.items() if not free), "nothing to share"


NEAR_FULL = ("lora", "rslora", "lora_plus", "dora", "pissa", "vera", "oft", "adalora", "qlora", "loftq", "qpissa",
             "mam", "houlsby", "compacter", "multi_head_parallel_adapter")  # fmt: skip
ONE_PLACE = ("pfeiffer", "parallel_adapter", "scaled_parallel_adapter")


def test_the_whole_race_holds_what_the_readme_says():
    rows, topic = race("sentiment-all"), race("topic-adapters")
    assert rows.keys() == {*METHODS, *CONTROLS} - {"bitfit", "adapter_fusion"}
    mean = {method: row["mean"] for method, row in rows.items()}
    assert all(abs(mean["full"] - mean[method]) <= 3 for method in NEAR_FULL)
    for method in ONE_PLACE:
        assert mean["full"] - mean[method] > 3 >= abs(topic["full"]["mean"] - topic[method]["mean"])
    assert mean["hard_prompt"] + 15 < mean["prompt_tuning"] < mean["ia3"] < mean["lora"]
    assert mean["prompt_tuning"] < mean["norm_tuning"] < mean["lora"]
    assert mean["random_base"] < 55 and mean["random_base"] + 20 < mean["prompt_tuning"]
    fastest = [row["seconds_per_step"] for method, row in rows.items() if method not in ("untuned", "hard_prompt")]
    assert 0.01 < min(fastest) and max(fastest) < 0.06, "no run was timed beside much other work"


def test_what_is_said_of_adapters_in_one_place():
    wide, attention = race("sentiment-parallel_places")["wide"], race("sentiment-parallel_places")["attention"]
    assert f"{wide['mean']:.1f} ± {wide['interval']:.1f}" == "94.1 ± 3.6"
    assert f"{attention['mean']:.1f} ± {attention['interval']:.1f}" == "91.6 ± 4.5"
    assert max(wide["mean"], attention["mean"]) < race("sentiment-all")["houlsby"]["mean"]


def test_what_is_said_of_four_bits():
    sentiment, ten = race("sentiment-quantized"), race("sentiment-quantized_10")
    assert f"{sentiment['lora']['mean'] - sentiment['qlora']['mean']:.1f}" == "1.8"
    assert f"{ten['lora']['mean'] - ten['qlora']['mean']:.1f}" == "0.5"
    topic = race("topic-quantized")
    for rows in (sentiment, topic):
        four = [rows[row] for row in ("qlora", "loftq", "qpissa", "int8")]
        assert all(abs(row["mean"] - rows["full"]["mean"]) < 2 for row in four)
    rows = race("sentiment-all")
    assert 3.5 < rows["qlora"]["memory"]["activations"] / rows["qlora"]["memory"]["weights"] < 4.5
    assert 1.25 < rows["qlora"]["seconds_per_step"] / rows["lora"]["seconds_per_step"] < 1.45


def test_what_is_said_of_a_step_beside_peft():
    report = json.loads((DATA.parent / "tests" / "benchmarks" / "step_time.json").read_text(encoding="utf-8"))
    prefix = [row for row in report["results"] if row["method"] == "prefix_tuning" and row["shape"].startswith("t5")]
    others = [row for row in report["results"] if row not in prefix]
    times = [row["time_ratio"][1] for row in others]
    assert (f"{min(times):.2f}", f"{max(times):.2f}") == ("0.58", "0.87")
    assert max(row["memory_ratio"] for row in others) < 0.76 and all(row["time_ratio"][1] > 1.2 for row in prefix)
    larger = [row["time_ratio"][1] for row in others if row["shape"] == "t5-8.9m" and row["method"] != "p_tuning"]
    assert 0.8 < min(larger)
    assert max(row["time_ratio"][1] for row in others if row["shape"].startswith("gpt")) < 0.8
