"""Flags of every command: the types that check them, how a bad one is refused, and how a command ends.

`python -m minipeft` and the commands that are files of their own, as `python -m minipeft.racing.front`, end alike: 0
where all went well, 2 with one sentence where something cannot be done, 130 where somebody stopped it.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable

from minipeft.errors import UserError, excerpt, refusal_of_the_machine

LARGEST = 10**12


def ended(command: Callable[[], int | None]) -> int:
    """The exit status of a command that is a file of its own: what cannot be done is told in one sentence."""
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has gone, as `head` does: nobody is left to tell
        drop_unwritten()
        return 1
    except Exception as error:
        sentence = str(error) if isinstance(error, UserError) else refusal_of_the_machine(error)
        if not sentence:  # a fault of this program, which needs its traceback
            raise
        print(f"minipeft: {sentence}", file=sys.stderr)
        drop_unwritten()
        return 2


def drop_unwritten() -> None:
    """What standard output does not take, as a full disk, would be a second error when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class OneSentenceParser(argparse.ArgumentParser):
    """Bad flags get one sentence and exit status 2, like every other bad input."""

    def error(self, message: str):
        raise UserError(f"{message[0].upper()}{message[1:]}. See: {self.prog} --help")


def whole(least: int = 1, most: int = LARGEST) -> Callable[[str], int]:
    """The type of a flag that takes a whole number from `least` to `most`."""

    bounds = f"of at least {least}" if most == LARGEST else f"from {least} to {most}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{short(text)} is not a whole number {bounds}")
        return value

    return parse


def positive(most: float = math.inf) -> Callable[[str], float]:
    """The type of a flag that takes a finite number above 0, and up to `most`."""
    bound = "" if most == math.inf else f" and up to {most:g}"

    def parse(text: str) -> float:
        value = number(text)
        if not 0 < value <= most or value == math.inf:
            raise argparse.ArgumentTypeError(f"{short(text)} is not a number above 0{bound}")
        return value

    return parse


def not_negative(text: str) -> float:
    """The type of a flag that takes a finite number of at least 0."""
    value = number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{short(text)} is not a number of at least 0")
    return value


def number(text: str) -> float:
    """The number that a text is; nan, which no bound lets pass, where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def words(text: str) -> str:
    """The type of a flag that takes a name, a path or a sentence: an empty one would be taken for a flag not given."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty: leave the flag out, or say what it should be")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        expected = sys.getfilesystemencoding().upper()
        advice = "" if expected == "UTF-8" else ": set PYTHONUTF8=1"
        raise argparse.ArgumentTypeError(f"{short(text)} is not valid {expected}{advice}") from None
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"{short(text)} holds a character that no name can hold")
    return text


def short(text: str) -> str:
    """What was typed, in quotes and of a length that can be read."""
    return f"'{excerpt(text)}'"
