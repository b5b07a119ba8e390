"""Files are there whole or not at all, belong to one process at a time, and are read with doubt."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minipeft import files
from minipeft.errors import UserError
from minipeft.files import beside, locked, read_json, write_json, write_text
from minipeft.transformer import tensor_files
from minipeft.transformer.tensor_files import read_state, write, write_state

WRITERS = {
    "text": lambda path: write_text(path, "new"),
    "json": lambda path: write_json(path, {"new": 1}),
    "tensors": lambda path: write(path, {"new": torch.ones(3)}),
}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["adapter", ".hidden", "a.b", "a."])
def test_a_file_may_have_any_name(writer, name, tmp_path):
    WRITERS[writer](tmp_path / name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(writer, error, tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file.x"
    write_text(path, "old")

    def fail(*_):
        raise error

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises((UserError, KeyboardInterrupt)) as raised:
        WRITERS[writer](path)
    if isinstance(error, OSError):
        assert raised.type is UserError and str(raised.value).count("\n") == 0
        assert f"{path} cannot be written (No space left on device)" in str(raised.value)
    assert path.read_text(encoding="utf-8") == "old" and names(path.parent) == ["file.x"]


def test_what_torch_cannot_write_is_one_sentence(tmp_path, monkeypatch):
    def full(content, part):
        Path(part).write_bytes(b"PK half of")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")

    monkeypatch.setattr(tensor_files.torch, "save", full)
    with pytest.raises(UserError, match="x.pt cannot be written .no room"):
        write(tmp_path / "x.pt", {})
    assert names(tmp_path) == []


def test_two_writers_of_one_file_have_a_half_file_each(tmp_path):
    with beside(tmp_path / "picture.png") as first, beside(tmp_path / "picture.png") as second:
        assert first != second and first.suffix == second.suffix == ".png"  # by which pictures choose their format
        first.write_text("first", encoding="utf-8")
        second.write_text("second", encoding="utf-8")
    assert names(tmp_path) == ["picture.png"] and (tmp_path / "picture.png").read_text(encoding="utf-8") == "first"


@pytest.mark.parametrize("place", ["file/inside", "n" * 5000, "zero\0byte/x"])
def test_a_place_where_nothing_can_be_written_is_one_sentence(place, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError) as raised:
        write_text(tmp_path / place / "x", "text")
    assert "cannot be written" in str(raised.value) and len(str(raised.value)) < 500
    with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / place):
        pass
    assert names(tmp_path) == ["file"]


def test_json_is_strict_whatever_the_numbers_and_letters(tmp_path):
    write_json(tmp_path / "x.json", {"a": [1.5, math.nan, (math.inf, -2)], "b": {"c": -math.inf}, "d": "\udc80 ø"})
    text = (tmp_path / "x.json").read_bytes().decode("utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [1.5, None, [None, -2]],
        "b": {"c": None},
        "d": "\udc80 ø",
    }
    assert "ø" in text


ODD = {
    "deep": ("[" * 100_000, "is not valid JSON"),
    "a long number": ('{"a": ' + "9" * 6000 + "}", "is not valid JSON"),
    "half": ('{"a": ', "is not valid JSON"),
    "nothing": ("", "is not valid JSON"),
    "bytes": (b"\xff\xfe{}", "is not valid JSON"),
    "a list": ("[1]", "holds a list"),
    "null": ("null", "holds a NoneType"),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_json_is_one_sentence_that_says_what_to_do(odd, tmp_path):
    content, words = ODD[odd]
    (tmp_path / "x.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=words) as raised:
        read_json(tmp_path / "x.json", "delete it")
    assert str(raised.value).endswith(": delete it.") and "\n" not in str(raised.value)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    (tmp_path / "folder").mkdir()
    places = ["folder", "nothing"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        places.append("pipe")
    for place in places:
        with pytest.raises(UserError, match="is not a file|does not exist"):
            read_json(tmp_path / place)
        with pytest.raises(UserError, match="delete it"):
            read_state(tmp_path / place)
        with pytest.raises(UserError, match="is not a prompt"):
            tensor_files.read(tmp_path / place, "a prompt")


HOLD = """
import sys
from minipeft.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_belongs_to_one_process_until_that_ends_however_it_ends(tmp_path):
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="Another process is at work in .*run: wait for it, or name another folder"):
            with locked(folder):
                pass
    finally:
        holder.kill()
        holder.communicate()
    with (
        locked(folder),
        locked(tmp_path / "run" / ".." / "run"),
    ):  # taken over; the same process may ask again
        write_text(folder / "x", "mine")
    assert names(folder) == ["x"]


def test_a_lock_leaves_no_folder_that_it_made_for_nothing(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "new"):
        raise KeyError
    (tmp_path / "old").mkdir()
    with locked(tmp_path / "old"):
        assert names(tmp_path / "old") == [".lock"]
    assert names(tmp_path) == ["old"] and names(tmp_path / "old") == []


def test_half_files_of_a_killed_process_go_with_the_next_lock(tmp_path):
    (tmp_path / ".part-123-abc.pt").write_text("half", encoding="utf-8")
    (tmp_path / "kept.pt").write_text("whole", encoding="utf-8")
    with locked(tmp_path):
        pass
    assert names(tmp_path) == ["kept.pt"]


def test_a_lock_that_was_removed_since_it_was_opened_is_no_lock(tmp_path, monkeypatch):
    taken = []

    def take(file):
        taken.append(file)
        if len(taken) == 1:  # its owner lets go at this very moment
            os.unlink(file.name)
        return True

    if files.fcntl:  # Windows lets no one remove an open file
        monkeypatch.setattr(files, "take", take)
        with locked(tmp_path):
            assert len(taken) == 2 and names(tmp_path) == [".lock"]


def test_every_bit_of_a_state_counts(tmp_path):
    """A state holds what an optimizer has: names that are numbers, whole numbers, truths, infinities."""
    state = {"step": 3, "best": -math.inf, "mean": torch.randn(4, 3), "alive": torch.tensor([True, False])}
    state = {"state": {0: state, 1: {"step": torch.tensor(7)}}, "losses": [1.5, 2.5], "pairs": [(1, 50.0)]}
    path = tmp_path / "resume.pt"
    write_state(path, state)
    found = read_state(path)
    assert torch.equal(found["state"][0].pop("mean"), state["state"][0].pop("mean"))
    assert found["state"][0].pop("alive").tolist() == [True, False]
    assert state["state"][0].pop("alive") is not None and found == state
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            again = read_state(path)
        except UserError as error:
            assert "delete it to start anew" in str(error)
            refused += 1
        else:  # a bit of the archive that nothing reads
            assert repr(again) == repr(read_state_of(whole, tmp_path))
    assert refused > 20
    path.write_bytes(whole[:-9])
    with pytest.raises(UserError, match="delete it to start anew"):
        read_state(path)


def read_state_of(whole: bytes, folder: Path) -> dict:
    (folder / "whole.pt").write_bytes(whole)
    return read_state(folder / "whole.pt")


def test_a_state_without_its_checksum_is_not_believed(tmp_path):
    torch.save({"step": 3}, tmp_path / "resume.pt")
    with pytest.raises(UserError, match="checksum"):
        read_state(tmp_path / "resume.pt")
    torch.save([3], tmp_path / "resume.pt")
    with pytest.raises(UserError, match="delete it"):
        read_state(tmp_path / "resume.pt")
