"""Which family a method, or a row of a table, belongs to: the room of `methods/` in which its file stands."""

from minipeft.methods.registry import METHODS
from minipeft.racing.runs import CONTROLS


def family_of(method: str) -> str:
    """The family of a method or control by name."""
    return METHODS[method].__module__.split(".")[-2] if method in METHODS else "controls"


def family(row: dict) -> str:
    """That of a row. Older files do not name it, and a row's name mostly begins with its method's; "" where not."""
    if "family" in row:
        return row["family"]
    beginnings = [name for name in (*METHODS, *CONTROLS) if row["method"].startswith(name)]
    return family_of(max(beginnings, key=len)) if beginnings else ""
