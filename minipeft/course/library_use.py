"""Which exercises were answered by calling what the library has: they are done, and marked.

What the stub imports from `minipeft` is meant to be used. Whatever else an answer imports from there does the exercise
for it.
"""

import ast
from pathlib import Path

from minipeft.course.exercise_linter import plain


def answered_by_library(source: str, allowed: str) -> set[str]:
    """Plain names of what `source` defines with imports from minipeft that `allowed`, another text, does not have."""
    tree = ast.parse(source)
    strangers = imports(tree) - imports(ast.parse(allowed))
    borrowed = {name for name, _ in strangers}
    uses = {}
    for node in tree.body:
        names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else [
            target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]  # fmt: skip
        read = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        within = {name for name, _ in imports(node) & strangers}
        uses |= {name: read | within for name in names}
    while more := {name for name, read in uses.items() if name not in borrowed and read & borrowed}:
        borrowed |= more
    return {plain(name) for name in borrowed & set(uses)}


def imports(tree: ast.AST) -> set[tuple[str, str]]:
    """(name here, what it is) of everything that is imported from minipeft, at any depth."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minipeft":
            found |= {(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {((alias.asname or alias.name).split(".")[0], alias.name) for alias in node.names
                      if alias.name.split(".")[0] == "minipeft"}  # fmt: skip
    return found


def stub_of(folder: Path) -> str:
    """What an answer may import from minipeft: that of the reference answer."""
    return (folder / "solution.py").read_text(encoding="utf-8")
