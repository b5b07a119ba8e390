"""The rooms of the house: imports run one way, and the core stands on torch, numpy, tokenizers and tqdm alone."""

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest

import minipeft
from minipeft.methods.registry import METHODS

PACKAGE = Path(minipeft.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
GROUND = {
    "minipeft.child_processes",
    "minipeft.errors",
    "minipeft.files",
    "minipeft.flags",
    "minipeft.paths",
    "minipeft.provenance",
    "minipeft.ranges",
}
# What each room may import from inside the package, besides itself and the ground.
ALLOWED = {
    "transformer": (),
    "tasks": (),
    "quantization": ("minipeft.transformer", "minipeft.tasks"),
    "methods": ("minipeft.transformer", "minipeft.quantization"),
    "serving": ("minipeft.transformer", "minipeft.methods"),
    "training": (
        "minipeft.transformer",
        "minipeft.tasks",
        "minipeft.methods.method",
        "minipeft.methods.hyperparameter_types",
    ),
    "peft_files": ("minipeft.transformer", "minipeft.methods", "minipeft.training.adapter_files"),
    "memory": ("minipeft.transformer", "minipeft.tasks", "minipeft.methods", "minipeft.training"),
    "pretraining": (
        *("minipeft.transformer", "minipeft.tasks", "minipeft.training.optimizers"),
        "minipeft.models",
    ),
    "racing": (
        *("minipeft.transformer", "minipeft.tasks", "minipeft.methods", "minipeft.training", "minipeft.memory"),
        *("minipeft.models", "minipeft.pretraining.batches"),  # what a base forgets, and what it can no more:
        *("minipeft.pretraining.held_out", "minipeft.pretraining.skills"),
    ),
    "transfer": (
        *("minipeft.transformer", "minipeft.tasks", "minipeft.methods", "minipeft.training", "minipeft.racing"),
        "minipeft.models",
    ),
}
MAKING = "minipeft.tasks.making"  # the generators of texts and tasks
READS_THE_CORPUS = {"pretraining", "transfer"}  # bases and prompts are trained on what `making/corpus.py` writes
DRAWN = f"{MAKING}.drawn"  # a race draws the words of a task anew for every seed
OUTSIDE = {"torch", "numpy", "tokenizers", "tqdm"} | set(sys.stdlib_module_names)
EXTRAS = {"matplotlib", "PIL", "safetensors"}  # imported inside functions only; PIL comes with matplotlib


def imports(tree: ast.AST) -> set[str]:
    """The modules that a piece of code imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_it_may(room):
    for file in (PACKAGE / room).rglob("*.py"):
        inside = {
            name for name in imports(ast.parse(file.read_text(encoding="utf-8"))) if name.startswith("minipeft")
        } - GROUND
        allowed = (f"minipeft.{room}", *ALLOWED[room])
        strangers = {name for name in inside if not any(f"{name}.".startswith(f"{start}.") for start in allowed)}
        assert not strangers, f"{file.relative_to(PACKAGE)} may not import {strangers}"


def test_only_what_trains_on_the_corpus_imports_the_generators():
    """A task is read from its files: whoever loads one runs none of the programs that made it."""
    for file in FILES:
        rooms = file.relative_to(PACKAGE).parts
        if rooms[:2] != ("tasks", "making") and rooms[0] not in READS_THE_CORPUS:
            makers = {
                name
                for name in imports(ast.parse(file.read_text(encoding="utf-8")))
                if f"{name}.".startswith(f"{MAKING}.") and (rooms[0], name) != ("racing", DRAWN)
            }
            assert not makers, f"{file.relative_to(PACKAGE)} may not import {makers}"


def test_only_the_command_line_imports_the_course():
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] not in ("course", "commands"):
            assert not any(
                f"{name}.".startswith("minipeft.course.")
                for name in imports(ast.parse(file.read_text(encoding="utf-8")))
            )


def test_only_the_front_door_imports_a_command():
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] not in ("commands", "__main__.py"):
            assert not any(
                f"{name}.".startswith("minipeft.commands.")
                for name in imports(ast.parse(file.read_text(encoding="utf-8")))
            )


def test_the_configuration_of_the_lessons_needs_pytest_alone():
    conftest = PACKAGE.parent / "lessons" / "conftest.py"
    assert {name.split(".")[0] for name in imports(ast.parse(conftest.read_text(encoding="utf-8")))} == {
        "pytest",
        "minipeft",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_nothing_but_the_four_packages_is_needed_to_import(file):
    top = ast.Module(
        [
            node
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ],
        [],
    )
    outside = {name.split(".")[0] for name in imports(top)} - {"minipeft"}
    assert outside <= OUTSIDE, f"{file.name} needs {outside - OUTSIDE}"
    everywhere = {name.split(".")[0] for name in imports(ast.parse(file.read_text(encoding="utf-8")))} - {"minipeft"}
    assert everywhere <= OUTSIDE | EXTRAS


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_argument_hides_a_module(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not arguments & (modules | {"random"})


def test_a_tensor_is_called_by_one_name():
    """torch.Tensor, so that a class pastes into a file that starts with `import torch`."""
    named = {file for file in FILES if re.search(r"from torch import .*\bTensor\b", file.read_text(encoding="utf-8"))}
    assert not named


def test_a_method_is_told_in_at_most_150_lines():
    files = (PACKAGE / "methods").glob("*/*.py")
    longer = {file.name for file in files if len(file.read_text(encoding="utf-8").splitlines()) > 150}
    assert not longer


@pytest.mark.parametrize("name", METHODS)
def test_the_header_of_a_method_has_its_equation_start_count_source_lesson_and_test(name):
    header = inspect.getmodule(METHODS[name]).__doc__
    idea, empty, first, *_ = header.splitlines()
    assert idea.endswith(".") and not empty and first.startswith("    "), "the idea in a line, then an equation"
    for part in ("\nStart: ", "\nTrainable", "\n(Paper|Source): "):
        assert re.search(part, header), part
    (lesson,) = re.findall(r"\nLesson: lessons/(\w+)\. Test: ", header)
    chapters = (PACKAGE.parent / "lessons" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| \[?{lesson}\b", chapters, re.MULTILINE)


def tells_of_a_method(file: Path) -> bool:
    inside = file.parent.parent.name == "methods" or file.parent.name in ("serving", "transfer")
    return inside and file.name != "__init__.py"


@pytest.mark.parametrize("file", list(filter(tells_of_a_method, FILES)), ids=lambda file: file.stem)
def test_the_header_of_a_file_of_methods_names_the_file_of_its_tests(file):
    header = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    (named,) = re.findall(r"\bTest: (tests/\S+\.py)\.$", header)
    tests = (PACKAGE.parent / named).read_text(encoding="utf-8")
    assert "assert" in tests
    if named.endswith(f"/test_{file.name}"):
        assert file.stem in tests, "its tests import it"
