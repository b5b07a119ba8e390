"""Reads the prose that comes with the interpreter, once, into `data/prose/prose.jsonl` and `comments.jsonl`.

Sources of the first: the language-reference topics (`pydoc_data.topics`) and the docstrings of the standard library's
Python files, found by parsing those files, so that nothing is imported and nothing runs; bases are pretrained on it. Of
the second: the comments of the same files, which no base ever reads, so that a task can be made of them. The text is
under the PSF licence, which is kept beside it. The bundled files were made with the Python of `EXTRACTED_FROM`; another
version gives other text.
"""

import ast
import inspect
import json
import re
import sys
import sysconfig
from pathlib import Path

EXTRACTED_FROM = "3.11.7"
SHORTEST, LONGEST = 15, 90  # words in a paragraph
SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "__phello__",
    "pydoc_data",
    "turtledemo",
    "ensurepip",
}
CODE_MARKS = (">>>", "...  ", " | ", "+--", "===", "---", " = ", "::=", "http", ".. ", "@", "\n- ", "\n* ")
COMMENT = re.compile(r"\s*#+ ?(.*)$")
LEGAL = re.compile("[Cc]opyright|[Ll]icen[cs]e")
SENTENCE_START = re.compile(r"[A-Z\"'(_a-z]")


def extract() -> list[dict]:
    """Paragraphs as {"module", "name", "kind", "text"}; kind is "topic", "module", "class" or "function"."""
    from pydoc_data.topics import topics

    found = [("", name, "topic", text) for name, text in sorted(topics.items())] + list(_docstrings())
    rows, seen = [], set()
    for module, name, kind, text in found:
        for paragraph in paragraphs(text):
            if paragraph not in seen:
                seen.add(paragraph)
                rows.append({"module": module, "name": name, "kind": kind, "text": paragraph})
    return rows


def paragraphs(text: str) -> list[str]:
    """Passages of 15 to 90 words from a documentation text, without code, tables, lists or doctest blocks.

    A short paragraph (often the summary line) is joined with the next; a long one is parted between sentences.
    """
    kept, words = [], []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        folded = " ".join(block.split()).replace("``", "`").replace("**", "").removesuffix("::").rstrip()
        if not _is_prose(block, folded):
            continue
        for sentence in re.split(r"(?<=[.!?:]) (?=[A-Z])", folded):
            if len(words) + len(sentence.split()) > LONGEST:
                kept.append(words)
                words = []
            words = words + sentence.split()
        if len(words) >= SHORTEST:
            kept.append(words)
            words = []
    kept.append(words)
    return [" ".join(words) for words in kept if SHORTEST <= len(words) <= LONGEST]


def _is_prose(block: str, folded: str) -> bool:
    words = folded.split()
    if not words or not folded.isascii() or not SENTENCE_START.match(folded) or folded[-1] not in ".:!?)'\"":
        return False
    if any(mark in block for mark in CODE_MARKS):
        return False
    plain = sum(re.fullmatch(r"[\"'(`]*[A-Za-z][A-Za-z'-]*[\"'`).,;:!?]*", word) is not None for word in words)
    return plain >= 0.7 * len(words)


def comments(read: set[str]) -> list[dict]:
    """Paragraphs as {"module", "text"}: whole lines of comment that follow each other; none that stands in `read`.

    They are few, so the files of Python's own tests count too.
    """
    rows, seen = [], set(read)
    for module, source in _library(skipped={"site-packages"}):
        for block in _comment_blocks(source):
            for paragraph in paragraphs(block):
                if paragraph not in seen and not LEGAL.search(paragraph):
                    seen.add(paragraph)
                    rows.append({"module": module, "text": paragraph})
    return rows


def _comment_blocks(source: str) -> list[str]:
    """The texts of the comments of a file, without their marks; lines that follow each other are one text."""
    blocks, last = [], None
    for number, line in enumerate(source.splitlines()):
        if found := COMMENT.match(line):
            if last != number - 1:
                blocks.append([])
            blocks[-1].append(found[1])
            last = number
    return ["\n".join(lines) for lines in blocks]


def _library(skipped: set[str]):
    """(module, source) of the Python files of the standard library in UTF-8, in the order of their paths."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if skipped.isdisjoint(parts):
            try:
                yield ".".join(part for part in parts if part != "__init__"), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def _docstrings():
    """(module, qualified name, kind, docstring) of every documented definition, in the order of the files."""
    for module, source in _library(skipped=SKIPPED):
        first = module.partition(".")[0]
        if first in sys.stdlib_module_names and not first.startswith("_"):
            yield from _definitions(ast.parse(source), module, "")


def _definitions(node, module: str, prefix: str):
    kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
    if text := ast.get_docstring(node):
        yield module, prefix or module, kind, text
    for child in node.body:
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _definitions(child, module, f"{prefix}.{child.name}".lstrip("."))


def to_jsonl(rows: list[dict]) -> str:
    """The text of `prose.jsonl` or `comments.jsonl`: one paragraph a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def version_matches() -> bool:
    """Whether this interpreter is the one whose documentation is bundled."""
    return sys.version.split()[0] == EXTRACTED_FROM
