"""Real prose: paragraphs of the Python documentation, for pretraining and for two tasks on docstrings.

`docstring_module` asks which module a docstring comes from, with every name that would give it away masked as `_` and
few training examples, so that surface words do not suffice. `docstring_name` asks whether a docstring belongs to a
function name; every name stands once with its own docstring and once with another of the same module, so neither part
alone tells anything. Splits share no function.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from minipeft.paths import DATA
from minipeft.tasks.task import Example

MODULES = (
    *("tkinter", "distutils", "asyncio", "email", "logging", "importlib", "xml"),
    *("turtle", "unittest", "http", "ipaddress", "inspect", "threading", "typing"),
)
ALWAYS_MASKED = re.compile(rf"\b(({'|'.join(MODULES)})\w*|tk|tcl|tcp)\b", re.IGNORECASE)
PER_MODULE = {"train": 30, "dev": 12, "test": 30}  # at most
SHARES = {"train": (0.0, 0.5), "dev": (0.5, 0.65), "test": (0.65, 1.0)}  # of the functions of one module
LONGEST = 250  # characters of a docstring in a task
NAME_MODULE_LIMIT = 24  # functions of one module in one split of docstring_name


@cache
def rows() -> tuple[dict, ...]:
    """The bundled paragraphs: {"module", "name", "kind", "text"} each."""
    lines = (DATA / "prose" / "prose.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line) for line in lines)


@cache
def passages() -> list[str]:
    """The texts of all paragraphs, for pretraining."""
    return [row["text"] for row in rows()]


def passage(generator: random.Random) -> str:
    """One paragraph, drawn at random."""
    return generator.choice(passages())


def _module_examples(split: str) -> list[Example]:
    return [
        Example(f"which module: {masked(row)}", module)
        for module in MODULES
        for row in _functions(module, split)[: PER_MODULE[split]]
    ]


def _name_examples(split: str) -> list[Example]:
    found = []
    for module in sorted({row["module"].split(".")[0] for row in rows()} - {""}):
        chosen = [row for row in _functions(module, split) if " " in short_name(row)][:NAME_MODULE_LIMIT]
        if len(chosen) < 2:
            continue
        for own, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):  # each name once right and once wrong
            for row, answer in ((own, "yes"), (other, "no")):
                found.append(Example(f"name: {short_name(row)} docstring: {own['text']}", answer))
    return found


def _functions(module: str, split: str) -> list[dict]:
    """First paragraphs of the module's functions and classes that fall into `split`, one for each name."""
    found = _shuffled_functions(module)
    start, end = (round(share * len(found)) for share in SHARES[split])
    return found[start:end]


@cache
def _shuffled_functions(module: str) -> list[dict]:
    first, texts = {}, set()
    for row in rows():
        mine = row["module"].split(".")[0] == module and row["kind"] in ("function", "class")
        if mine and len(row["text"]) <= LONGEST and (text := masked(row)) not in texts:  # some differ in names only
            first.setdefault(short_name(row), row)
            texts.add(text)
    names = sorted(first)
    random.Random(f"minipeft docstrings {module}").shuffle(names)
    return [first[name] for name in names]


def short_name(row: dict) -> str:
    """The words of the name without its class: "CookieJar.add_header" -> "add header"."""
    return " ".join(name_parts(row["name"].split(".")[-1]))


def name_parts(name: str) -> list[str]:
    """The words of an identifier, lower case: "HTTPServer.get_request" -> http, server, get, request."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def masked(row: dict) -> str:
    """The row's text with `_` for the module's the function's names, their parts, and all that looks like code.

    A part of four letters or more also hides the words that begin with it: "thread" hides "threads" and "threading".
    """
    parts = {*name_parts(row["module"]), *name_parts(row["name"]), *re.split(r"\W+", row["module"].lower())} - {""}
    endings = "|".join(part + (r"\w*" if len(part) >= 4 else "") for part in sorted(parts))
    text = re.sub(r"\w*[a-z][A-Z]\w*|\w*_\w*|\w+(\.\w+)+|\w+\(\)", "_", row["text"])
    text = re.sub(rf"\b({endings})\b", "_", ALWAYS_MASKED.sub("_", text), flags=re.IGNORECASE)
    return re.sub(r"_([ .()]*_)+", "_", text)


@dataclass(frozen=True)
class DocumentTask:
    """A task made from documents: what `Task` says about it, and `draw(split)`, all examples of a split."""

    name: str
    description: str
    labels: tuple[str, ...]
    draw: Callable[[str], list[Example]]
    metric: str = "accuracy"
    held_out: str = "Train, dev and test are docstrings of different functions."

    def examples(self, split: str) -> list[Example]:
        """The examples of "train", "dev" or "test", shuffled the same way every time."""
        found = self.draw(split)
        random.Random(f"minipeft {self.name} {split}").shuffle(found)
        return found


TASKS = {
    task.name: task
    for task in (
        DocumentTask(
            "docstring_module",
            "From which module of Python's library does this docstring come? Names are masked.",
            MODULES,
            _module_examples,
        ),
        DocumentTask(
            "docstring_name",
            "Does this docstring belong to a function of this name?",
            ("yes", "no"),
            _name_examples,
        ),
    )
}
