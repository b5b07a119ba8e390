"""The one error that is the user's to mend: a sentence that says what is wrong and what to do."""


class UserError(ValueError):
    """Raised for bad input; the command line prints its sentence alone and exits with status 2."""


def one_line(error: Exception) -> str:
    """What any error says, on one line of a length that can be read: it may quote all of somebody's file."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]} ..."
