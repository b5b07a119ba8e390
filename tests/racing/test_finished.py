"""A finished run is read again where it is the run that is asked for, and never written over."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from minipeft.__main__ import main
from minipeft.errors import UserError
from minipeft.files import locked
from minipeft.racing import runs
from minipeft.racing.finished import check_report, finished
from minipeft.racing.runs import RunSpec, run
from minipeft.training.adapter_files import read_adapter
from minipeft.transformer import tensor_files

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
DONE = {"test": 3.0, "trained_parameters": 5}


@pytest.fixture
def spec(tmp_path):
    return RunSpec(
        str(tmp_path / "run"), model="m", task="t", method="lora", steps=5, hyperparameters={"targets": ("a",)}
    )


def leave(asked, /, **content):
    asked.result_file.parent.mkdir(exist_ok=True)
    asked.result_file.write_text(json.dumps(content), encoding="utf-8")


def test_the_very_run_is_read_again_wherever_its_folder_stands_now(spec, tmp_path):
    assert finished(spec) is None
    leave(spec, spec=asdict(spec), **DONE)
    assert finished(spec)["test"] == 3.0
    (tmp_path / "run").rename(tmp_path / "moved")
    assert finished(replace(spec, folder=str(tmp_path / "moved")))["test"] == 3.0


def test_a_result_written_before_there_were_labels_and_shots_still_counts(spec):
    older = {name: value for name, value in asdict(spec).items() if name not in ("label", "shots")}
    leave(spec, spec=older, **DONE)
    assert finished(spec)["test"] == 3.0
    with pytest.raises(UserError, match="shots None, not 32"):
        finished(replace(spec, shots=32))


def test_a_result_from_before_rates_fell_was_made_at_a_constant_one(spec):
    leave(spec, spec={name: value for name, value in asdict(spec).items() if name != "schedule"}, **DONE)
    assert finished(replace(spec, schedule="constant"))["test"] == 3.0
    with pytest.raises(UserError, match="schedule 'constant', not 'linear'"):
        finished(spec)


OTHER = {"steps": 6, "method": "full", "seed": 1, "learning_rate": 0.5, "hyperparameters": {"rank": 3}, "model": "n"}


@pytest.mark.parametrize("name", OTHER)
def test_a_finished_run_with_other_settings_is_one_sentence_and_stays(spec, name):
    leave(spec, spec=asdict(spec), **DONE)
    with pytest.raises(UserError, match=f"holds a finished run with {name} .*, not .*: name another folder"):
        run(replace(spec, **{name: OTHER[name]}))
    assert finished(spec)["test"] == 3.0 and [entry.name for entry in spec.result_file.parent.iterdir()] == [
        "result.json"
    ]


ODD = ["", "{", "[]", "null", "{}", '{"spec": 3}', '{"spec": {}}', '{"spec": null}', "[" * 100_000,
       "9" * 6000, '{"rows": []}',
       '{"spec": {"folder": "", "model": "m", "task": "t", "method": "lora", "future": 1}}']  # fmt: skip


@pytest.mark.parametrize("content", ODD, ids=range(len(ODD)))
def test_a_result_file_with_other_content_is_one_sentence(spec, content):
    spec.result_file.parent.mkdir()
    spec.result_file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="result.json .*: name another folder with --out, or delete this one") as raised:
        finished(spec)
    assert len(str(raised.value)) < 700 and "\n" not in str(raised.value)


def test_a_result_without_its_score_is_none(spec):
    for content in ({}, {"test": 3.0}, {"test": None, "trained_parameters": 5}, {"test": "3", "trained_parameters": 5}):
        leave(spec, spec=asdict(spec), **content)
        with pytest.raises(UserError, match="is not the result of such a run"):
            finished(spec)


def test_data_that_changed_since_is_another_run(spec, tmp_path):
    data = tmp_path / "mine.jsonl"
    data.write_text("one", encoding="utf-8")
    spec = replace(spec, data=str(data))
    leave(
        spec, spec=asdict(spec), data_sha256="7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", **DONE
    )
    assert finished(spec)["test"] == 3.0  # sha256sum of "one"
    data.write_text("two", encoding="utf-8")
    with pytest.raises(UserError, match="a run on other content of .*mine.jsonl"):
        finished(spec)
    data.unlink()
    with pytest.raises(UserError, match="a run on other content of .*mine.jsonl"):
        finished(spec)


def test_train_redoes_nothing_says_what_is_missing_and_overwrites_nothing(base_folder, own_data, tmp_path, capsys):
    out = tmp_path / "run"
    train = ["train", "--model", base_folder, "--data", own_data, "--set", "rank=2", "--out", str(out)]
    assert main([*train, "--steps", "2"]) == 0
    files = {entry.name: entry.read_bytes() for entry in out.iterdir()}
    assert set(files) == {"result.json", "adapter.pt"}

    def refused(*flags):
        capsys.readouterr()
        assert main([*train, *flags]) == 2
        return capsys.readouterr().err

    assert main([*train, "--steps", "2"]) == 0 and "This run is finished" in capsys.readouterr().out
    assert "steps 2, not 3: name another folder with --out" in refused("--steps", "3")
    assert {entry.name: entry.read_bytes() for entry in out.iterdir()} == files
    lines = Path(own_data).read_text(encoding="utf-8").splitlines()
    Path(own_data).write_text("\n".join([*lines, lines[0]]) + "\n", encoding="utf-8")
    assert "other content of" in refused("--steps", "2")
    assert {entry.name: entry.read_bytes() for entry in out.iterdir()} == files


@pytest.mark.parametrize("broken", [None, b"", b"PK half of", "other base"])
def test_a_finished_run_whose_adapter_is_gone_or_broken_says_so(base_folder, own_data, tmp_path, capsys, broken):
    out = tmp_path / "run"
    train = ["train", "--model", base_folder, "--data", own_data, "--set", "rank=2", "--steps", "1", "--out", str(out)]
    assert main(train) == 0
    if broken == "other base":
        content = runs_adapter(out)
        tensor_files.write(out / "adapter.pt", {**content, "base": "0" * 64})
    elif broken is None:
        (out / "adapter.pt").unlink()
    else:
        (out / "adapter.pt").write_bytes(broken)
    capsys.readouterr()
    assert main(train) == 2
    said = capsys.readouterr().err
    assert "adapter.pt" in said and "To train again, delete" in said and said.count("\n") == 1
    (out / "result.json").unlink()
    assert main(train) == 0 and read_adapter(out / "adapter.pt")["method"] == "lora"


def runs_adapter(out):
    return {name: value for name, value in read_adapter(out / "adapter.pt").items() if name != "checksum"}


def test_a_run_that_another_process_has_is_one_sentence(spec, tmp_path, monkeypatch):
    """The lock is the folder's: whoever has it, a second run of the same process may ask, another one may not."""
    made = []
    monkeypatch.setattr(runs, "make", lambda spec, progress: made.append(os.listdir(spec.folder)) or {})
    run(spec)
    with locked(spec.folder):
        run(spec)
    assert made == [[".lock"], [".lock"]]


def test_a_report_of_another_race_and_what_is_no_report_are_not_written_over(tmp_path):
    file, settings = tmp_path / "result.json", asdict(RunSpec("", "m", "t", "", steps=5))
    check_report(file, settings)
    file.write_text(json.dumps({"settings": {**settings, "from_the_past": 1}, "rows": []}), encoding="utf-8")
    check_report(file, settings)
    with pytest.raises(UserError, match="was made with steps 5, not 6: name another folder"):
        check_report(file, {**settings, "steps": 6})
    for content in ("{}", "[]", '{"spec": {}}', '{"settings": 3}', "{"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="name another folder"):
            check_report(file, settings)


def test_the_first_process_is_the_one_that_speaks(monkeypatch):
    for told, first in (({}, True), ({"RANK": "3"}, True), ({"WORLD_SIZE": "2", "RANK": "1"}, True),
                        (TORCHRUN | {"RANK": "0"}, True), (TORCHRUN, False)):  # fmt: skip
        for name in TORCHRUN:
            monkeypatch.delenv(name, raising=False)
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        assert runs.is_first_process() == first
