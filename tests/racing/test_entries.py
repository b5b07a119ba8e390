"""Races of variants and of few examples: how entries are read, named and kept apart, and what older files still say."""

import json
from dataclasses import replace

import pytest
import torch

from minipeft.__main__ import main
from minipeft.commands.prompts import parse_verbalizer
from minipeft.errors import UserError
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.racing.entries import parse_entry, parse_hyperparameters, split_entries
from minipeft.racing.race import make_specs
from minipeft.racing.runs import RunSpec, get_task, new_method, run
from minipeft.racing.sweep import entry_specs
from minipeft.tasks.registry import load_task
from minipeft.transformer.checkpoints import save_checkpoint
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

KNOWN = ("full", "lora", "prompt_tuning", "untuned")
BASE = RunSpec(folder="here", model="m", task="sentiment", method="")


def test_an_entry_is_a_name_a_method_and_hyper_parameters():
    entry = parse_entry("hybrid=prompt_tuning:template={source}: it, was:prompt_length=5")
    assert (entry.label, entry.method) == ("hybrid", "prompt_tuning")
    assert entry.hyperparameters == {"template": "{source}: it, was", "prompt_length": 5}
    assert parse_entry("lora").label == parse_entry("lora").method == "lora"
    assert parse_entry("lora:rank=2").label == "lora:rank=2"


def test_commas_part_entries_but_not_the_words_of_a_value():
    text = "full,small=lora:rank=1:targets=query,value,lora:targets=key,prompt_tuning:template={source} well, it was"
    assert split_entries(text, KNOWN) == [
        "full",
        "small=lora:rank=1:targets=query,value",
        "lora:targets=key",
        "prompt_tuning:template={source} well, it was",
    ]
    assert split_entries("lora,bitfti,full", KNOWN) == ["lora", "bitfti", "full"]  # misspelt, and said so later


def test_variants_of_a_method_have_runs_of_their_own():
    specs = make_specs(BASE, ["lora", "low=lora:rank=1", "untuned"], 2, {"lora": 0.5, "low": 0.25})
    assert [(spec.row, spec.method, spec.seed, spec.learning_rate) for spec in specs] == [
        ("lora", "lora", 0, 0.5), ("low", "lora", 0, 0.25), ("untuned", "untuned", 0, None),
        ("lora", "lora", 1, 0.5), ("low", "lora", 1, 0.25), ("untuned", "untuned", 1, None),
    ]  # fmt: skip
    assert [spec.word_draw for spec in specs] == [0, 0, 0, 1, 1, 1]  # the untuned base, too, is asked other words
    own = make_specs(replace(BASE, data="mine.jsonl"), ["lora", "untuned"], 2, {})
    assert [(spec.row, spec.word_draw) for spec in own] == [("lora", 0), ("untuned", 0), ("lora", 0)]
    assert len({spec.folder for spec in specs}) == 6
    (spec,) = make_specs(BASE, ["low=lora:rank=1"], 1, {"lora": 0.5})
    assert spec.learning_rate == 0.5 and spec.hyperparameters == {"rank": 1}  # its method's rate
    with pytest.raises(UserError, match="Two rows would be called 'lora'"):
        entry_specs(BASE, ["lora", "lora"])


def test_labels_come_from_the_task_unless_they_are_given():
    task = load_task("sentiment")
    spec = RunSpec("", "m", "sentiment", "ppt", hyperparameters={"format": "unified"})
    assert new_method(spec, task).labels == ("good", "bad")
    spec = RunSpec("", "m", "sentiment", "prompt_tuning", hyperparameters={"init": "labels"})
    assert new_method(spec, task).labels == ("good", "bad")
    spec = RunSpec("", "m", "sentiment", "ppt", hyperparameters={"format": "unified", "labels": ("bad", "good")})
    assert new_method(spec, task).labels == ("bad", "good")
    assert new_method(RunSpec("", "m", "", "p_tuning_v2"), task).labels == ()  # there they ask for a head
    asked = RunSpec("", "m", "", "p_tuning_v2", hyperparameters=parse_entry("p_tuning_v2:labels=task").hyperparameters)
    assert new_method(asked, task).labels == ("good", "bad")
    assert new_method(RunSpec("", "m", "", "random_base"), task).name == "full"


def test_shots_are_drawn_by_the_seed_from_the_train_split():
    whole = load_task("sentiment")
    tasks = [get_task(RunSpec("", "m", "sentiment", "lora", seed=seed, shots=6)) for seed in (0, 0, 1)]
    assert tasks[0] == tasks[1] != tasks[2]
    for task in tasks:
        assert len(task.train) == len(task.dev) == 6 and task.test == whole.test
        assert {*task.train, *task.dev} <= set(whole.train) and not {*task.train} & {*task.dev}


def test_a_few_shot_race_of_variants_makes_one_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minipeft.racing.race.run_all", lambda specs, *_: [run(spec) for spec in specs])
    torch.manual_seed(0)
    sizes = {"heads": 2, "head_size": 4, "feed_forward_size": 12, "encoder_layers": 1, "decoder_layers": 1}
    save_checkpoint(
        tmp_path / "base", EncoderDecoder(EncoderDecoderConfig(Tokenizer.load().size, hidden_size=8, **sizes))
    )
    entries = "prompt_tuning,hybrid=prompt_tuning:template={source} It was,ppt:format=unified,untuned"
    flags = ["--model", str(tmp_path / "base"), "--steps", "2", "--seeds", "1", "--workers", "1", "--shots", "8"]
    assert main(["compare", "--methods", entries, *flags, "--out", str(tmp_path / "race")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert {line.split("|")[1].strip() for line in lines} == {
        "method", "prompt_tuning", "hybrid", "ppt:format=unified", "untuned",
    }  # fmt: skip
    report = json.loads((tmp_path / "race" / "result.json").read_text(encoding="utf-8"))
    assert "8 shots" in report["title"] and report["settings"]["shots"] == 8
    hybrid = json.loads((tmp_path / "race" / "runs" / "hybrid-seed0" / "result.json").read_text(encoding="utf-8"))[
        "spec"
    ]
    assert hybrid["label"] == "hybrid" and hybrid["hyperparameters"] == {"template": "{source} It was"}


@pytest.mark.parametrize("value", ["[" * 50_000, '{"good": ' * 50_000, "[NaN"])
def test_json_that_cannot_be_read_is_one_short_sentence(value):
    with pytest.raises(UserError, match="is not a value of type") as refused:
        parse_hyperparameters("hard_prompt", [f"verbalizer={value}" if value[0] == "{" else f"demonstrations={value}"])
    assert len(str(refused.value)) < 300
    with pytest.raises(UserError, match="takes JSON such as") as refused:
        parse_verbalizer(value)
    assert len(str(refused.value)) < 400
