"""The command line called from a test."""

from minipeft.__main__ import main


def refusal(capsys, *arguments):
    """The one sentence that a bad call prints."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("minipeft: ") and captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err
