"""The one error that is the user's to mend, and the sentences for what the machine refuses."""

import re
from collections.abc import Mapping

NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "Invalid buffer size", "multiplication overflow")
NO_MEMORY += ("Storage size calculation overflowed",)
NOT_WRITTEN = ("PytorchStreamWriter failed", "file write failed", "unexpected pos")  # torch.save on a full disk


class UserError(ValueError):
    """Raised for bad input; the command line prints its sentence alone and exits with status 2."""


class TrainingFailed(UserError):
    """The loss is no number any more: the learning rate was too high."""


def one_line(error: Exception) -> str:
    """What any error says, on one line of a length that can be read: it may quote all of somebody's file."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]} ..."


def excerpt(text: str, most: int = 60) -> str:
    """A user's text as a sentence can quote it: its beginning, on one line, without what cannot be printed."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}..."


def require_text(value, what: str):
    """`value`, if each text in it is whole: a string, a list of such values, or a mapping, whose keys count too.

    Half a character is valid in JSON ("\\ud83d") and comes from the command line where a byte is no UTF-8; no tokenizer
    and no file can hold it. Raises UserError, which begins with `what`.
    """
    if isinstance(value, str):
        if half := re.search("[\ud800-\udfff]", value):
            code = f"U+{ord(half[0]):04X} at character {half.start() + 1}"
            raise UserError(f"{what} holds half a character, as of an emoji cut in two ({code}): take it out.")
    elif isinstance(value, Mapping):
        for key, words in value.items():
            require_text(key, what)
            require_text(words, what)
    elif isinstance(value, list | tuple):
        for part in value:
            require_text(part, what)
    return value


def quoted(value: object) -> str:
    """A value as Python writes it, cut to a length that can be read."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) < 80 else f"{text[:76]} ..."


def refusal_of_the_machine(error: BaseException) -> str:
    """A sentence for a file that cannot be read or written and for memory that is not there; "" for a fault of ours."""
    said = one_line(error)
    if isinstance(error, MemoryError) or isinstance(error, RuntimeError) and any(words in said for words in NO_MEMORY):
        return f"This machine has not enough memory ({said}): take a smaller batch, model or method."
    if isinstance(error, OSError):
        return f"A file cannot be read or written ({said}): mend that, or name another place."
    if isinstance(error, RuntimeError) and any(words in said for words in NOT_WRITTEN):
        return f"A file cannot be written, perhaps because the disk is full ({said}): make room or name another place."
    return ""
