"""Answers that stand in their own chapter: lines of the solution in its code, predicted numbers in its text.

Code counts as the same where only the names of its variables differ. What is folded away (<details>) may be told.
"""

import ast
import re
from collections.abc import Iterator
from copy import deepcopy

from minipeft.course.chapters import Chapter
from minipeft.course.exercise_linter import TO_REPAIR, kinds_of, plain
from minipeft.course.pages import fences

TELLING = 9  # nodes of an expression from which on it is an answer and no commonplace
HARMLESS = ("float", "double", "long", "detach", "contiguous")  # methods that change nothing of what a line says
FOLD = re.compile(r"<details>.*?</details>", re.S)


def given_away(chapter: Chapter) -> list[str]:
    """Sentences, one for each exercise whose answer can be copied from its chapter."""
    source = {file: (chapter.folder / f"{file}.py").read_text(encoding="utf-8") for file in ("exercise", "solution")}
    answers, stubs = definitions(source["solution"]), definitions(source["exercise"])
    text = FOLD.sub("", chapter.text)
    told, numbers = expressions_of_text(text), numbers_of_text(chapter.text)
    found = []
    for name, (kind, _) in kinds_of(source["exercise"]).items():
        if name not in map(plain, chapter.exercises) or name not in answers:
            continue
        if kind == "Predict":
            value = next(value for key, value in vars(chapter.answers("solution.py")).items() if plain(key) == name)
            shown = sorted({number for number in flat_numbers(value) if number in numbers})
            found += [f"{name}: {number:g} stands in the chapter" for number in shown]
            continue
        if kind == "Prove":
            continue
        own = {dump(node): node for node in telling(answers[name])}
        if kind == "Repair":
            stub = {dump(node): node for node in telling(stubs[name])}
            own = {key: node for key, node in (own | stub).items() if (key in own) != (key in stub)}
        else:
            own = {key: node for key, node in own.items() if key not in map(dump, telling(stubs[name]))}
        found += [f"{name}: `{ast.unparse(node)}` stands in the chapter" for key, node in own.items() if key in told]
    return found


def definitions(source: str) -> dict[str, ast.AST]:
    """Plain name -> what is defined under it."""
    found = {}
    for node in ast.parse(source.replace(TO_REPAIR, "pass")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[plain(node.name)] = node
        elif isinstance(node, ast.Assign):
            found |= {plain(target.id): node for target in node.targets if isinstance(target, ast.Name)}
    return found


def telling(tree: ast.AST) -> Iterator[ast.expr]:
    """The values that the statements of an answer assign or return, where they say something."""
    for node in ast.walk(tree):
        value = getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AugAssign | ast.Return) else None
        if isinstance(node, ast.If | ast.While):
            value = node.test
        if value is not None and size(value) >= TELLING:
            yield value


def expressions_of_text(text: str) -> set[str]:
    """Every telling expression, as `dump` writes it, in the blocks of code and in the prose of a chapter."""
    found = set()
    pieces = [fence.body for fence in fences(text) if fence.info == "python"]
    lines = [line for piece in pieces for line in logical_lines(piece)]
    for line in lines + re.findall(r"`([^`\n]+)`", text):
        try:
            tree = ast.parse(line)
        except (SyntaxError, ValueError):
            continue
        found |= {dump(node) for node in ast.walk(tree) if isinstance(node, ast.expr) and size(node) >= TELLING}
    return found


def logical_lines(code: str) -> Iterator[str]:
    """Statements of a piece that may begin in the middle of a function: lines, joined while a bracket is open."""
    line = ""
    for part in code.splitlines():
        part = re.sub(r"\s+#.*$", "", part).strip()
        line = f"{line} {part}" if line else part
        if sum(map(line.count, "([{")) <= sum(map(line.count, ")]}")):
            yield f"{line} pass" if line.endswith(":") and not line.startswith(("else", "elif", "except")) else line
            line = ""


def dump(node: ast.expr) -> str:
    """An expression without the names of its variables: they are numbered in the order in which they come."""
    names: dict[str, str] = {}
    return ast.dump(Plainly(names).visit(deepcopy(node)))


class Plainly(ast.NodeTransformer):
    """Numbers the variables, takes self.x for x, and leaves harmless methods out."""

    def __init__(self, names: dict[str, str]):
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.names.setdefault(node.id, f"v{len(self.names)}"), ast.Load())

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self.visit_Name(ast.Name(node.attr, ast.Load()))
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Attribute) and node.func.attr in HARMLESS and not node.args:
            return self.visit(node.func.value)
        if isinstance(node.func, ast.Name):
            node.args = [self.visit(part) for part in node.args]
            return node  # the name of a function is no variable
        return self.generic_visit(node)


def size(node: ast.AST) -> int:
    """How many nodes an expression has, without what only says how a name is used."""
    return sum(
        not isinstance(part, ast.expr_context | ast.operator | ast.cmpop | ast.unaryop) for part in ast.walk(node)
    )


def flat_numbers(value: object) -> Iterator[float]:
    """Numbers of a prediction, of two digits or more, or broken: smaller ones stand everywhere."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    for part in parts:
        if isinstance(part, dict | list | tuple):
            yield from flat_numbers(part)
        elif isinstance(part, int | float) and (abs(part) >= 10 or part != round(part)):
            yield part


def numbers_of_text(text: str) -> set[float]:
    """All numbers in a text, its tables and comments included, and what the arithmetic in its comments comes to."""
    shown = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text)
    return {float(number.replace(",", "")) for number in shown if number.strip(",")}
