"""The one error that is the user's to mend: a sentence that says what is wrong and what to do."""

import re
from collections.abc import Mapping


class UserError(ValueError):
    """Raised for bad input; the command line prints its sentence alone and exits with status 2."""


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
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."
