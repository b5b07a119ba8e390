"""The one error that is the user's to mend: a sentence that says what is wrong and what to do."""


class UserError(ValueError):
    """Raised for bad input; the command line prints its sentence alone and exits with status 2."""
