"""The command line: what it prints, what it keeps, and how it refuses."""

import json
import math
import subprocess
import sys

import pytest
import torch
from helpers.command_line import refusal

from minipeft.__main__ import main
from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.racing.entries import parse_hyperparameters
from minipeft.racing.every_method import fitting, with_bundled_starts
from minipeft.racing.runs import CONTROLS, RunSpec
from minipeft.racing.sweep import SWEEP_SEEDS, grid, sweep, sweep_specs
from minipeft.racing.table import interval, markdown, summarise


def test_a_misspelt_method_gets_the_nearest_name(capsys):
    assert "Did you mean 'lora'?" in refusal(capsys, "compare", "--methods", "full,lorra")


def test_a_misspelt_task_gets_the_nearest_name(capsys):
    assert "'sentiment'" in refusal(capsys, "train", "--task", "sentimnt")


def test_a_misspelt_model_is_refused(capsys):
    assert "t5-9m" in refusal(capsys, "evaluate", "--model", "t5-9m")


def test_an_unknown_flag_is_one_sentence(capsys):
    assert "--rank" in refusal(capsys, "train", "--rank", "8")


def test_no_command_is_one_sentence(capsys):
    assert "command" in refusal(capsys)


def test_a_missing_data_file_is_named(capsys, base_folder):
    assert "nowhere.jsonl" in refusal(capsys, "train", "--model", base_folder, "--data", "nowhere.jsonl")


def test_a_malformed_line_is_named_with_its_number(capsys, base_folder, tmp_path):
    file = tmp_path / "broken.jsonl"
    file.write_text('{"source": "a", "target": "b"}\n{"source": "a"}\n', encoding="utf-8")
    sentence = refusal(capsys, "train", "--model", base_folder, "--data", str(file))
    assert "2" in sentence and "target" in sentence


def test_an_unknown_hyper_parameter_gets_the_nearest_name(capsys, base_folder):
    sentence = refusal(capsys, "train", "--model", base_folder, "--method", "lora", "--set", "rnk=4")
    assert "Did you mean 'rank'?" in sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(capsys):
    assert "--device cpu" in refusal(capsys, "evaluate", "--device", "cuda")


def test_hyper_parameters_take_the_types_of_their_fields():
    values = parse_hyperparameters("lora", ["rank=4", "alpha=8", "targets=query,output", "dropout=0.25"])
    assert values == {"rank": 4, "alpha": 8.0, "targets": ("query", "output"), "dropout": 0.25}
    assert isinstance(values["alpha"], float)
    with pytest.raises(UserError, match="rank=four"):
        parse_hyperparameters("lora", ["rank=four"])


def test_train_evaluate_and_generate_work_on_own_data(capsys, base_folder, own_data, tmp_path):
    out = tmp_path / "run"
    flags = ["--model", base_folder, "--data", own_data]
    lora = ["--method", "lora", "--set", "rank=2", "--set", "targets=query,value"]
    train = ["train", *flags, *lora, "--steps", "3", "--out", str(out)]
    assert main(train) == 0
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    # Query and value of three attentions, each 8 x 8 with rank 2: 3 * 2 * 2 * (8 + 8) numbers.
    assert result["trained_parameters"] == 192
    right = 100 * result["predictions"].count(".") / len(result["predictions"])
    assert result["test"] == pytest.approx(right) and set(result["predictions"]) <= {".", "0", "1"}
    assert f"trained {192:,} parameters" in capsys.readouterr().out
    assert main(["evaluate", *flags, "--adapter", str(out / "adapter.pt")]) == 0
    assert f"{result['test']:.1f}%" in capsys.readouterr().out
    assert main(["generate", "the a met the h", *flags, "--adapter", str(out / "adapter.pt"), "--max-length", "3"]) == 0
    before = (out / "result.json").stat().st_mtime_ns
    assert main(train) == 0
    assert (out / "result.json").stat().st_mtime_ns == before, "a finished run was trained again"


@pytest.mark.slow
def test_torchrun_trains_one_adapter_with_two_processes(base_folder, own_data, tmp_path):
    flags = ["--model", base_folder, "--data", own_data, "--steps", "4", "--set", "rank=2"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "minipeft", "train"]
    together = subprocess.run(
        [*launcher, *flags, "--out", str(tmp_path / "two")], capture_output=True, text=True, encoding="utf-8"
    )
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("trained") == 1, "only the first process prints"
    assert main(["train", *flags, "--out", str(tmp_path / "one")]) == 0
    weights = [torch.load(tmp_path / name / "adapter.pt", weights_only=True)["weights"] for name in ("one", "two")]
    for name, expected in weights[0].items():
        torch.testing.assert_close(weights[1][name], expected, atol=1e-4, rtol=1e-3)


def test_compare_makes_a_table_and_keeps_finished_runs(capsys, base_folder, own_data, tmp_path):
    out = tmp_path / "race"
    flags = ["--model", base_folder, "--data", own_data, "--steps", "2", "--seeds", "2", "--out", str(out)]
    arguments = ["compare", "--methods", "full,lora,untuned", *flags]
    assert main([*arguments, "--workers", "2"]) == 0
    text = capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert sorted(rows) == ["full", "lora", "method", "untuned"]
    assert "4 runs, about" in text, "the untuned base takes no time"
    report = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert [len(row["scores"]) for row in report["rows"] if row["method"] == "lora"] == [2]
    assert report["provenance"]["torch"] == torch.__version__
    assert main([*arguments, "--workers", "1"]) == 0
    assert "5 of 5 runs are there already" in capsys.readouterr().out


def test_patience_ends_the_runs_of_train_and_compare_early(base_folder, own_data, tmp_path, monkeypatch):
    """At a rate of nearly zero the dev score never rises, so the second evaluation, at step 100, is the last."""
    flags = ["--model", base_folder, "--data", own_data, "--steps", "230", "--patience", "1"]
    assert (
        main(["train", *flags, "--learning-rate", "1e-12", "--batch-size", "2", "--out", str(tmp_path / "train")]) == 0
    )
    result = json.loads((tmp_path / "train" / "result.json").read_text(encoding="utf-8"))
    assert result["spec"]["patience"] == 1 and len(result["losses"]) == 50  # every second of 100
    asked = []
    monkeypatch.setattr("minipeft.commands.compare.compare", lambda spec, *rest: asked.append(spec))
    assert main(["compare", "--methods", "lora", *flags]) == 0
    assert asked[0].patience == 1


def test_a_mixture_trains_from_the_command_line(base_folder, tmp_path):
    flags = ["--model", base_folder, "--task", "sentiment+topic", "--steps", "2", "--out", str(tmp_path)]
    assert main(["train", *flags]) == 0
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (result["spec"]["task"], result["chance"]) == ("sentiment+topic", 30.0)


def test_tuning_takes_the_rate_that_is_best_on_dev(base_folder, own_data, tmp_path, monkeypatch):
    asked = []

    def pretend(specs, workers, description, done=None):
        """Dev scores that favour the third rate of every grid."""
        asked.extend(specs)
        return [{"dev": 50.0 + (spec.learning_rate == grid(spec.method)[2])} for spec in specs]

    monkeypatch.setattr("minipeft.racing.sweep.run_all", pretend)
    base = RunSpec(folder=str(tmp_path), model=base_folder, task="", method="", data=own_data)
    best, tried = sweep(base, ["untuned", "lora", "random_base"], workers=1)
    assert best == {"lora": grid("lora")[2], "random_base": grid("full")[2]}
    assert all(row["inside"] and len(row["dev"]) == 4 for row in tried.values())
    assert {spec.split for spec in asked} == {"dev"}, "tuning must not read the test split"
    assert len(asked) == 3 * len(grid("lora")) + 3 * len(grid("full"))
    assert {spec.seed for spec in asked} == set(SWEEP_SEEDS) and len({spec.folder for spec in asked}) == len(asked)


def test_the_rates_to_try_are_those_of_the_way_a_method_is_used():
    for name in ("prefix_tuning", "p_tuning_v2"):
        network, table = (grid(name, {"reparametrise": on}) for on in (True, False))
        assert max(network) < min(table), "keys and values themselves need larger steps than a network's weights"
        assert grid(name) == (table if name == "p_tuning_v2" else network)


def test_what_a_method_takes_from_the_task_is_there_when_it_is_tuned():
    specs = sweep_specs(RunSpec("x", "t5-0.8m", "topic", ""), ["prompt_tuning:init=labels"])
    assert [spec.learning_rate for spec in specs] == [rate for rate in grid("prompt_tuning") for _ in SWEEP_SEEDS]


def test_the_memory_of_a_prefix_is_that_of_its_training_network(base_folder, own_data, tmp_path):
    flags = ["--model", base_folder, "--data", own_data, "--steps", "2", "--set", "inner=6", "--set", "prefix_length=3"]
    assert main(["train", *flags, "--method", "prefix_tuning", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    # Three attentions of one layer, each: 3 x 8 positions, 8 -> 6 with bias, 6 -> 2 * 8 with bias; stored are 3 x 16.
    assert result["memory"]["gradients"] == 4 * 3 * (3 * 8 + 8 * 6 + 6 + 6 * 16 + 16)
    assert result["moved_parameters"] == 3 * (3 * 8 + 8 * 6 + 6 + 6 * 16 + 16)
    assert result["trained_parameters"] == 3 * 3 * 16


def test_the_interval_is_students():
    # mean 2, standard deviation 1, n = 3: 4.303 / sqrt(3)
    assert interval([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / math.sqrt(3), rel=1e-3)
    assert interval([5.0, 7.0, 6.0, 8.0, 9.0]) == pytest.approx(2.776445 * math.sqrt(2.5) / math.sqrt(5), rel=1e-3)
    assert math.isnan(interval([4.0]))


def test_the_table_sorts_by_score_and_gives_shares_of_full_tuning():
    def result(method, score, trained, seconds):
        return {"spec": {"method": method}, "test": score, "trained_parameters": trained, "total_parameters": 1000,
                "adapter_bytes": 2_500_000, "memory": {}, "seconds_per_step": seconds}  # fmt: skip

    rows = summarise([result("lora", 60.0, 50, 0.5), result("full", 80.0, 1000, 0.4), result("lora", 70.0, 50, 0.3)])
    assert [row["seconds_per_step"] for row in rows] == [0.4, 0.3], "of the run that was disturbed least"
    assert [(row["method"], row["mean"], row["of_full"], row["percent"]) for row in rows] == [
        ("full", 80.0, 100.0, 100.0),
        ("lora", 65.0, 81.25, 5.0),
    ]
    lines = markdown(rows).splitlines()
    assert len({len(line) for line in lines}) == 1 and "2.50" in lines[2]


def test_what_cannot_act_on_a_model_is_left_out_with_its_reason(base_folder, capsys):
    left = ("bitfit", "adapter_fusion")
    assert fitting(["full", *left, "untuned"], base_folder) == ["full", "untuned"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(".")[0] for line in lines] == [f"Left out: {name}" for name in left]
    assert "norm_tuning" in lines[0] and "pfeiffer" in lines[1]


def test_in_the_whole_race_ppt_and_spot_start_from_another_tasks_prompt():
    assert with_bundled_starts(["full", "spot"], "sentiment") == ["full", "spot=spot:source=sentiment_food"]
    entries = with_bundled_starts(["ppt", "spot"], "topic")
    assert entries == ["ppt=ppt:pretrained=ppt-single", "spot=spot:source=sentiment"]
    assert fitting(entries, "t5-0.8m") == entries


def test_compare_races_every_method_that_fits_unless_told(base_folder, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("minipeft.commands.compare.compare", lambda spec, methods, *rest: asked.append(methods))
    for flags in ([], ["--methods", "all"]):
        assert main(["compare", "--model", str(base_folder), "--out", str(tmp_path), *flags]) == 0
    unfit = ("bitfit", "adapter_fusion", "ppt", "spot", "oft")  # the bundled prompts belong to another base, and
    # oft's blocks of 8 do not divide this base's 12 inner activations
    assert asked[0] == asked[1] == [name for name in (*METHODS, *CONTROLS) if name not in unfit]
