"""Every bad flag is one sentence and status 2, found before the work; what was there stays as it was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import refusal

from minipeft.__main__ import COMMANDS, main
from minipeft.errors import UserError, refusal_of_the_machine
from minipeft.racing import rehearsal, runs
from minipeft.racing.runs import RunSpec, folder_name, is_first_process

LONG = "x" * 5000
NO_COUNTS = ("0", "-1", "1.5", "many", "nan", "1" * 6000)
NO_RATES = ("0", "-1", "nan", "inf", "fast")
FLAGS = {
    "train": {
        "--steps": NO_COUNTS,
        "--batch-size": NO_COUNTS,
        "--patience": NO_COUNTS,
        "--max-source-length": NO_COUNTS,
        "--learning-rate": NO_RATES,
        "--seed": ("-1", str(2**64), str(2**32)),
    },
    "compare": {"--seeds": NO_COUNTS, "--shots": NO_COUNTS, "--workers": NO_COUNTS, "--steps": NO_COUNTS},
    "prompts": {"--limit": NO_COUNTS, "--draws": NO_COUNTS, "--shots": ("-1", "few")},
    "transfer": {"--k": NO_COUNTS, "--prompt-length": NO_COUNTS, "--learning-rate": NO_RATES, "--workers": NO_COUNTS},
    "pretrain-prompt": {"--documents": NO_COUNTS, "--steps": NO_COUNTS},
    "memory": {"--batch": NO_COUNTS, "--length": NO_COUNTS, "--gigabytes": (*NO_RATES, "1e300")},
    "pretrain": {
        "--tokens": NO_RATES,
        "--decay": (*NO_RATES, "2"),
        "--workers": ("-1",),
        "--threads": NO_COUNTS,
        "--batch-size": NO_COUNTS,
        "--learning-rate": NO_RATES,
        "--keep-at": ("-1", "a,b", "1,,2"),
    },
}


@pytest.mark.parametrize("command, flag", [(command, flag) for command in FLAGS for flag in FLAGS[command]])
def test_a_flag_takes_no_number_that_makes_no_sense(command, flag, capsys):
    for value in FLAGS[command][flag]:
        sentence = refusal(capsys, command, flag, value)
        assert f"argument {flag}" in sentence.lower() and len(sentence) < 300


@pytest.mark.parametrize("value", ["nan", "-1", "inf", "warm"])
def test_a_temperature_is_a_number_of_at_least_0(value, capsys):
    assert "--temperature" in refusal(capsys, "generate", "a text", "--temperature", value)


@pytest.mark.parametrize("flag", ["--data", "--adapter", "--model", "--task"])
def test_an_empty_name_is_not_taken_for_a_flag_that_was_left_out(flag, capsys):
    assert "is empty" in refusal(capsys, "evaluate", flag, "")
    assert "is empty" in refusal(capsys, "train", "--out", " ")


@pytest.mark.parametrize("device", ["mps0", "xpu", "tpu", "cuda:99", "banana", "meta", ""])
@pytest.mark.parametrize("command", ["train", "generate", "compare", "pretrain"])
def test_an_absent_device_is_named(command, device, capsys):
    text = ["a text"] if command == "generate" else []
    assert "--device" in refusal(capsys, command, *text, "--device", device)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_nothing_to_read(text, base_folder, capsys):
    assert "nothing to read" in refusal(capsys, "generate", text, "--model", base_folder)


def test_names_of_thousands_of_letters_are_cut_in_the_sentence(base_folder, capsys, tmp_path):
    for command in (["evaluate", "--model", LONG], ["train", "--method", LONG], ["train", "--task", LONG]):
        assert len(refusal(capsys, *command)) < 1500
    assert len(refusal(capsys, "evaluate", "--model", base_folder, "--adapter", LONG)) < 1500
    assert len(refusal(capsys, "train", "--model", base_folder, "--out", str(tmp_path / LONG), "--steps", "1")) < 1500


SIZES = {
    "lora": "rank",
    "prompt_tuning": "prompt_length",
    "prefix_tuning": "prefix_length",
    "houlsby": "bottleneck",
    "adalora": "rank",
    "pissa": "rank",
    "prompt_ensemble": "members",
}


@pytest.mark.parametrize("method", SIZES)
def test_what_no_memory_holds_is_refused_before_it_is_asked_for(method, base_folder, capsys):
    setting = f"{SIZES[method]}=1000000000000"
    sentence = refusal(capsys, "train", "--model", base_folder, "--method", method, "--set", setting)
    assert f"{SIZES[method]} is 1000000000000, larger than any model can take" in sentence
    sentence = refusal(capsys, "memory", "--method", method, "--set", setting)
    assert "larger than any model can take" in sentence


def test_a_rehearsal_counts_weights_gradients_and_optimizer(monkeypatch, tmp_path):
    """LoRA of rank 8 on t5-0.4m: its base, its own weights twice (with gradients), and 8 bytes each for AdamW."""
    spec = RunSpec(str(tmp_path), "t5-0.4m", "sentiment", "lora")
    base = sum(parameter.numel() for parameter in rehearsal.load("t5-0.4m").parameters())
    own = sum(8 * (a + b) for a, b in 36 * [(56, 56)] + 18 * [(56, 64)])  # three layers in either stack
    needed = 4 * base + 4 * own + 4 * own + 8 * own
    monkeypatch.setattr(rehearsal, "machine_memory", lambda: needed)
    rehearsal.rehearse([spec])
    monkeypatch.setattr(rehearsal, "machine_memory", lambda: needed - 1)
    with pytest.raises(UserError, match="this machine has"):
        rehearsal.rehearse([spec])


def test_one_bad_entry_is_told_by_name_before_any_run(base_folder, own_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minipeft.racing.race.run_all", lambda *_: pytest.fail("a run was started"))
    flags = ["compare", "--model", base_folder, "--data", own_data, "--out", str(tmp_path / "race")]
    assert "other" in refusal(capsys, *flags, "--methods", "lora,other=bitfit")
    assert "wide" in refusal(capsys, *flags, "--methods", "lora,wide=lora:rank=1000000000")
    assert "adapter_fusion" in refusal(capsys, *flags, "--methods", "full,adapter_fusion")
    assert not (tmp_path / "race").exists()


@pytest.mark.parametrize(
    "value", ["rank=abc", "alpha=nan", "alpha=inf", "targets=", "rank=", "rank=2.5", "dropout=half"]
)
def test_a_value_of_another_type_is_refused(value, base_folder, capsys):
    assert value.partition("=")[0].rstrip("s") in refusal(capsys, "train", "--model", base_folder, "--set", value)


@pytest.mark.parametrize("control", ["untuned", "random_base"])
def test_a_control_is_raced_and_not_trained(control, base_folder, capsys):
    assert f"no method '{control}'" in refusal(capsys, "train", "--model", base_folder, "--method", control)


def test_rows_of_other_names_have_other_folders_on_every_file_system():
    rows = ["a b", "a_b", "A_b", "a:b", "é", "ẽ", "e", LONG, LONG + "x", "low", "Low", "lora:rank=1", "a+b", "con"]
    folders = [folder_name(row) for row in rows]
    assert len({folder.lower() for folder in folders}) == len(rows)
    assert all(len(folder) < 120 and not set(folder) & set('<>:"/\\|?*') for folder in folders)
    assert [folder_name(row) for row in ("low", "a+b", "a_b")] == ["low", "a+b", "a_b"], "plain names stay"


def test_two_rows_whose_names_look_alike_make_two_rows(base_folder, own_data, tmp_path):
    flags = ["--model", base_folder, "--data", own_data, "--steps", "1", "--seeds", "1", "--workers", "1"]
    out = str(tmp_path / "race")
    assert main(["compare", "--methods", "a b=lora:rank=1,a_b=lora:rank=2", *flags, "--out", out]) == 0
    rows = json.loads((tmp_path / "race" / "result.json").read_text(encoding="utf-8"))["rows"]
    assert {row["method"]: row["stored"] for row in rows} == {
        "a b": 312,
        "a_b": 624,
    }  # 12 x (8 + 8) + 6 x (8 + 12), and twice


def test_a_source_named_like_the_default_target_stays_with_data_of_ones_own(
    base_folder, own_data, tmp_path, monkeypatch
):
    asked = []

    def pretend(specs, workers, description):
        asked.extend(specs)
        raise UserError("enough seen")

    monkeypatch.setattr("minipeft.commands.transfer.run_all", pretend)
    flags = ["--model", base_folder, "--data", own_data, "--sources", "sentiment,topic", "--out", str(tmp_path)]
    assert main(["transfer", *flags, "--steps", "2"]) == 2
    assert {spec.task for spec in asked if spec.data is None} == {"sentiment", "topic"}
    assert len({spec.folder for spec in asked}) == len(asked) == 4


@pytest.mark.parametrize("command", [c.__name__.rpartition(".")[2] for c in COMMANDS if c.__name__[-5:] != "train"])
def test_what_is_the_work_of_one_process_says_so_once_in_a_group(command, capsys, monkeypatch):
    group = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    flags = {"generate": ["a"], "hint": ["13"], "notebook": ["13"], "pretrain": ["--folder", "x"]}.get(command, [])
    assert "without torchrun" in refusal(capsys, command.replace("_", "-"), *flags)
    monkeypatch.setenv("RANK", "1")
    assert main([command.replace("_", "-"), *flags]) == 2
    assert capsys.readouterr().err == ""


def test_a_rank_without_a_group_is_the_first_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "1")
    assert is_first_process()
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert not is_first_process()


def test_a_place_that_takes_no_files_is_refused_before_the_work(base_folder, own_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "fine_tune", lambda *_, **__: pytest.fail("trained first"))
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    flags = ["--model", base_folder, "--data", own_data]
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "file" in refusal(capsys, "train", *flags, "--out", str(out))
        assert "file" in refusal(capsys, "compare", *flags, "--methods", "lora", "--out", str(out))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_what_the_machine_refuses_is_a_sentence_and_a_fault_of_ours_is_none():
    refused = [
        PermissionError(13, "Permission denied", "here"),
        OSError(28, "No space left on device"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 TB"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at inline_container.cc:603] . PytorchStreamWriter failed writing file data/0"),
    ]
    assert all(refusal_of_the_machine(error) for error in refused)
    faults = (KeyError("x"), RuntimeError("mat1 and mat2 shapes cannot be multiplied"), TypeError(), IndexError())
    assert not any(refusal_of_the_machine(error) for error in faults)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("minipeft.commands.tasks.task_names", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["tasks"])
    monkeypatch.setattr(
        "minipeft.commands.tasks.task_names", lambda: open(Path("nowhere") / "at" / "all", encoding="utf-8")
    )
    assert main(["tasks"]) == 2


def test_a_longer_source_can_be_allowed_by_a_flag(base_folder, tmp_path, capsys):
    data = tmp_path / "long.jsonl"
    lines = [{"source": "word " * (300 + n), "target": ("good", "bad")[n % 2]} for n in range(12)]
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    flags = ["--model", base_folder, "--data", str(data)]
    train = ["train", *flags, "--steps", "1", "--batch-size", "2", "--out", str(tmp_path / "run")]
    assert "--max-source-length" in refusal(capsys, *train)
    assert main([*train, "--max-source-length", "2000"]) == 0
    capsys.readouterr()
    assert "--max-source-length" in refusal(capsys, "evaluate", *flags)
    assert main(["evaluate", *flags, "--max-source-length", "2000"]) == 0
    capsys.readouterr()
    assert "--max-source-length" in refusal(capsys, "generate", "word " * 300, *flags)
    assert main(["generate", "word " * 300, *flags, "--max-source-length", "2000", "--max-length", "1"]) == 0


def test_a_reader_that_goes_away_ends_the_command_quietly():
    command = [sys.executable, "-m", "minipeft", "tasks"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    process.stdout.close()  # long before anything is printed
    assert process.stderr.read() == b"" and process.wait() == 1


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("minipeft.commands.tasks.run", interrupted)
    assert main(["tasks"]) == 130
    assert capsys.readouterr().err.count("\n") == 2


def test_ctrl_c_during_the_imports_is_one_line_too():
    """The handler that `python -m minipeft` sets before its long imports, tried without them."""
    file = Path(runs.__file__).parents[1] / "interrupts.py"
    as_in_a_terminal = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # tests may run in the background
    code = f"import signal, sys; sys.argv = ['-m']; {as_in_a_terminal}; exec(open({str(file)!r}).read())"
    code += "; signal.raise_signal(signal.SIGINT)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert process.returncode == 130 and process.stderr.split() == [b"Stopped."]


def test_a_report_of_hard_prompts_or_of_a_transfer_with_other_flags_is_not_written_over(
    base_folder, own_data, tmp_path, capsys, monkeypatch
):
    flags, report = ["--model", base_folder, "--data", own_data, "--out", str(tmp_path)], tmp_path / "result.json"
    prompts = ["prompts", *flags, "--template", "{source} So:", "--limit", "2"]
    assert main(prompts) == 0
    before = report.read_bytes()
    assert main(prompts) == 0
    capsys.readouterr()
    assert "was made with limit 2, not 3" in refusal(capsys, *prompts, "--limit", "3")
    monkeypatch.setattr("minipeft.commands.transfer.run_all", lambda *_: pytest.fail("trained first"))
    assert "was made with" in refusal(capsys, "transfer", *flags, "--sources", "topic")
    report.write_text('{"mine": 1}', encoding="utf-8")
    assert "not the report" in refusal(capsys, "transfer", *flags, "--sources", "topic")
    report.write_bytes(before)


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_closed_streams_stop_nothing(closed, base_folder, own_data, tmp_path, monkeypatch):
    for name in closed:
        monkeypatch.setattr(sys, name, None)  # as Python has it after `>&-`
    flags = ["--model", base_folder, "--data", own_data, "--steps", "2", "--out", str(tmp_path / "run")]
    assert main(["train", *flags]) == 0
    assert (tmp_path / "run" / "adapter.pt").exists()


def test_letters_that_the_terminal_has_not_are_shown_as_escapes(base_folder, capfd, monkeypatch):
    monkeypatch.setattr("minipeft.commands.generate.decode_written", lambda model, ids: "d\u00e9j\u00e0")
    with open(1, "w", encoding="ascii", closefd=False) as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert main(["generate", "a", "--model", base_folder, "--max-length", "1"]) == 0
    assert capfd.readouterr().out == "d\\xe9j\\xe0\n"


FULL = Path(os.devnull).with_name("full")  # a disk that is always full


@pytest.mark.skipif(not FULL.exists(), reason="Linux alone has a disk that is always full")
def test_an_output_that_takes_nothing_is_one_sentence():
    with open(FULL, "wb") as full:
        ended = subprocess.run([sys.executable, "-m", "minipeft", "tasks"], stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 2 and ended.stderr.startswith(b"minipeft: ") and ended.stderr.count(b"\n") == 1
