"""How much the wording matters: the spread by hand, and the command that measures it."""

import json
from statistics import stdev

import pytest
import torch
from helpers.command_line import refusal

from minipeft.__main__ import main
from minipeft.errors import UserError
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.racing.entries import parse_hyperparameters
from minipeft.racing.prompt_variation import score_prompts, table, variation
from minipeft.tasks.hand_written import hand_written
from minipeft.training.adapter_files import read_adapter
from minipeft.training.evaluating import evaluate

SCORES = {("a", "1"): (50.0, 60.0), ("a", "2"): (90.0, 70.0), ("b", "1"): (55.0, 45.0), ("b", "2"): (80.0, 81.0)}
ROWS = [
    {"template": template, "verbalizer": verbalizer, "draw": draw, "score": score}
    for (template, verbalizer), scores in SCORES.items()
    for draw, score in enumerate(scores)
]


def test_the_spread_over_one_factor_holds_the_others_fixed():
    found = variation(ROWS)
    assert (found["mean"], found["lowest"], found["highest"]) == (66.375, 45.0, 90.0)
    # Two values differ by their standard deviation times the root of 2.
    differences = {"template": (5, 15, 10, 11), "verbalizer": (40, 10, 25, 36), "draw": (10, 20, 10, 1)}
    for factor, values in differences.items():
        assert found["deviation_over"][factor] == pytest.approx(sum(values) / 4 / 2**0.5)
    alone = variation([row for row in ROWS if row["verbalizer"] == "1" and row["draw"] == 0])
    assert alone["deviation_over"] == {"template": stdev([50, 55]), "verbalizer": None, "draw": None}


def test_the_table_has_the_mean_over_draws_and_its_deviation():
    lines = table(ROWS).splitlines()
    assert lines[0] == "| template | 1 | 2 |"
    assert lines[2] == "| a | 55.0 ± 7.1 | 80.0 ± 14.1 |" and lines[3] == "| b | 50.0 ± 7.1 | 80.5 ± 0.7 |"
    assert table(ROWS[:1]).splitlines()[2] == "| a | 50.0 |"


def test_every_prompt_is_scored_as_if_it_were_attached_alone(tiny_t5, tiny_task):
    before = {name: weight.clone() for name, weight in tiny_t5.state_dict().items()}
    texts = ("{source}", "a {source}", "{source} and the ant is")
    rows = score_prompts(tiny_t5, tiny_task, [({"template": text}, HardPrompt(text)) for text in texts], "test")
    expected = []
    for text in texts:
        method = HardPrompt(text)
        method.attach(tiny_t5)
        expected.append({"template": text, "score": evaluate(tiny_t5, tiny_task, "test")["score"]})
        method.detach()
    assert rows == expected
    assert all(torch.equal(weight, before[name]) for name, weight in tiny_t5.state_dict().items())


def test_the_command_scores_every_prompt_and_saves_the_best(capsys, base_folder, tmp_path):  # noqa: F811
    out = tmp_path / "prompts"
    flags = ["--model", base_folder, "--task", "sentiment"]
    limited = ["--shots", "2", "--draws", "2", "--limit", "12", "--out", str(out)]
    assert main(["prompts", *flags, *limited]) == 0
    printed, report = capsys.readouterr().out, json.loads((out / "result.json").read_text(encoding="utf-8"))
    words = hand_written("sentiment")
    assert len(report["rows"]) == len(words.templates) * len(words.verbalizers) * 2
    assert all(text in printed for text in words.templates) and "standard deviation: over templates" in printed
    assert report["split"] == "dev" and report["provenance"]["torch"] == torch.__version__
    assert [len(report["demonstrations"][seed]) for seed in ("0", "1")] == [2, 2]
    assert report["best"]["score"] == max(row["score"] for row in report["rows"]) == report["highest"]
    told = read_adapter(out / "adapter.pt")["hyperparameters"]
    assert told["template"] == report["best"]["template"]
    assert told["verbalizer"] == report["verbalizers"][report["best"]["verbalizer"]]
    assert [list(pair) for pair in told["demonstrations"]] == report["demonstrations"][str(report["best"]["draw"])]
    assert main(["evaluate", *flags, "--adapter", str(out / "adapter.pt"), "--split", "dev"]) == 0
    assert (
        main(["generate", "The plot was dull.", *flags, "--adapter", str(out / "adapter.pt"), "--max-length", "2"]) == 0
    )


def test_the_command_takes_prompts_for_own_data(capsys, base_folder, own_data, tmp_path):  # noqa: F811
    flags = ["prompts", "--model", base_folder, "--data", own_data, "--out", str(tmp_path)]
    words = ["--verbalizer", '{"yes": ["Yes."], "no": ["No."]}', "--verbalizer", '{"yes": ["true"], "no": ["false"]}']
    assert main([*flags, "--template", "{source} Is it?", "--template", "{source} So:", *words]) == 0
    report = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert len(report["rows"]) == 4 and report["shots"] == 0
    assert main([*flags[:-1], str(tmp_path / "other"), "--template", "{source} Is it?"]) == 0
    assert json.loads((tmp_path / "other" / "result.json").read_text(encoding="utf-8"))["verbalizers"] == {"1": {}}
    assert "the answers themselves" in capsys.readouterr().out


def test_bad_prompts_are_one_sentence(capsys, base_folder, own_data, tmp_path):  # noqa: F811
    flags = ["prompts", "--model", base_folder, "--data", own_data, "--out", str(tmp_path)]
    ask = [*flags, "--template", "{source} Is it?"]
    assert "--template" in refusal(capsys, *flags)
    assert "A template needs" in refusal(capsys, *flags, "--template", "no source")
    assert "JSON" in refusal(capsys, *ask, "--verbalizer", "yes")
    assert "by label" in refusal(capsys, *ask, "--verbalizer", '["yes"]')
    assert "no words for 'no'" in refusal(capsys, *ask, "--verbalizer", '{"yes": ["Yes."]}')
    assert "'-2' is not a whole number of at least 0" in refusal(capsys, *ask, "--shots", "-2")
    assert "from 1 to 1000" in refusal(capsys, *ask, "--shots", "2", "--draws", "0")
    assert "--shots" in refusal(capsys, *ask, "--shots", "two")


def test_fields_that_hold_several_things_take_json_on_the_command_line():
    told = parse_hyperparameters(
        "hard_prompt", ['verbalizer={"good": ["Good."]}', 'demonstrations=[["a film", "good"]]', "template=[{source}]"]
    )
    assert told == {"verbalizer": {"good": ["Good."]}, "demonstrations": [["a film", "good"]], "template": "[{source}]"}
    assert parse_hyperparameters("lora", ["targets=query,value"]) == {"targets": ("query", "value")}
    with pytest.raises(UserError, match="is not a value"):
        parse_hyperparameters("hard_prompt", ['verbalizer={"good"'])
    with pytest.raises(UserError, match="is not a value"):
        parse_hyperparameters("hard_prompt", ["verbalizer=good"])
