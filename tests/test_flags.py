"""How a command that is a file of its own ends: one sentence and status 2 for what cannot be done, in every one."""

import ast
import os
import subprocess
import sys

import pytest
from helpers.paths import ROOT

from minipeft.errors import UserError
from minipeft.flags import ended

BY_ITSELF = "minipeft/__main__.py"
NAMING_NOTHING = {"minipeft/tasks/making/build.py", "minipeft/tasks/making/stories.py"}  # they read no file of a user's
COMMANDS = sorted(
    file
    for folder in ("minipeft", "lessons")
    for file in (ROOT / folder).rglob("*.py")
    if 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")
)


def raising(error):
    def command():
        raise error

    return command


def test_what_cannot_be_done_is_one_sentence_and_status_2(capsys):
    assert ended(raising(UserError("There is no such thing."))) == 2
    assert capsys.readouterr() == ("", "minipeft: There is no such thing.\n")
    assert ended(raising(OSError("No space left"))) == 2
    assert "A file cannot be read or written (No space left)" in capsys.readouterr().err


def test_a_command_that_went_well_or_was_stopped_and_a_fault_of_ours():
    assert (ended(lambda: None), ended(lambda: 1), ended(raising(KeyboardInterrupt()))) == (0, 1, 130)
    with pytest.raises(KeyError):  # whose traceback is wanted
        ended(raising(KeyError("settings")))


@pytest.mark.skipif(os.name == "nt", reason="Windows tells of a closed pipe in another way")
def test_a_reader_that_has_gone_is_no_error():
    """The table is longer than what a pipe holds while nobody reads."""
    code = "import sys; from minipeft.flags import ended; sys.exit(ended(lambda: print('x' * 1_000_000)))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    child.stdout.close()
    assert child.stderr.read() == b"" and child.wait() == 1
    child.stderr.close()


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_file_that_is_a_command_ends_so(file):
    """Not by calling `main` alone: a refusal would be a traceback."""
    (guard,) = [node for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    calls = {node.func.id for node in ast.walk(guard) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
    assert "ended" in calls or file.relative_to(ROOT).as_posix() in {BY_ITSELF, *NAMING_NOTHING}
