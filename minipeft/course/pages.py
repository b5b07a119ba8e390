"""Chapters as text: code that is quoted or run, tables and numbers that come from results.json.

`python -m minipeft.course.pages` fills the tables of all chapters (or of those named) from their results.
"""

import ast
import contextlib
import io
import math
import operator
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from minipeft.course.chapters import LESSONS, ROOT, chapters, find_chapter
from minipeft.course.formulas import INLINE
from minipeft.files import write_text
from minipeft.flags import ended

FENCE = re.compile(
    r"(?:^\[//\]: # \(excerpt of (?P<file>[^)]+)\)\n)?^```(?P<info>\w*)[ \t]*\n(?P<body>.*?)^```[ \t]*$", re.M | re.S
)
TABLE = re.compile(r"(\[//\]: # \(table (\w+)\)\n\n)((?:\|.*(?:\n|\Z))*)\n?")
# A number, its sign, a percent sign, and the mark right behind it. No numbers: T5, v1.1, GPT-3, t5-0.8m.
NUMBER = re.compile(
    r"(?P<number>(?<![\w.,])(?<![A-Za-z]-)(?<![A-Za-z]\d-)[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?)"
    r"(?P<percent>\s?(?:%|percent))?(?:<!-- (?P<mark>[^>]*?) -->)?"
)
ARXIV = re.compile(r"\d{4}\.\d{4,5}")
YEAR = re.compile(r"(19|20)\d\d")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
             ast.FloorDiv: operator.floordiv, ast.Pow: operator.pow, ast.Mod: operator.mod}  # fmt: skip
FUNCTIONS = {"sqrt": math.sqrt, "log": math.log, "log2": math.log2, "exp": math.exp, "round": round}


@dataclass(frozen=True)
class Fence:
    """A fenced block: its info string, its text, and the file that it is an excerpt of."""

    info: str
    body: str
    file: str | None
    follows: bool  # whether only white space stands between it and the fence before


def fences(text: str) -> list[Fence]:
    found, end = [], 0
    for match in FENCE.finditer(text):
        found.append(Fence(match["info"], match["body"], match["file"], not text[end : match.start()].strip()))
        end = match.end()
    return found


def is_excerpt(body: str, source: str) -> bool:
    """Whether `body` is consecutive lines of `source`, dedented as a whole; a line `...` stands for lines left out."""
    lines = source.splitlines()
    indents = {len(line) - len(line.lstrip()) for line in lines}
    return any(matches(body.splitlines(), lines, " " * indent) for indent in sorted(indents))


def matches(body: list[str], lines: list[str], indent: str) -> bool:
    """Whether the stretches of `body` between its `...` stand in `lines`, in their order, indented by `indent`."""
    stretches: list[list[str]] = [[]]
    for line in body:
        if line.strip() == "...":
            stretches.append([])
        else:
            stretches[-1].append(indent + line if line.strip() else "")
    start = 0
    for stretch in filter(None, stretches):
        size = len(stretch)
        places = (n for n in range(start, len(lines) - size + 1) if lines[n : n + size] == stretch)
        place = next(places, None)
        if place is None:
            return False
        start = place + size
    return True


def code_problems(text: str) -> list[str]:
    """Runs every python fence that is no excerpt, in order, in one namespace; compares what they print."""
    problems, names, printed = [], {"__name__": "chapter"}, None
    for number, fence in enumerate(fences(text), start=1):
        if fence.info == "python" and fence.file is None:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                try:
                    exec(compile(fence.body, f"block {number} of the chapter", "exec"), names)
                except Exception as error:
                    problems.append(f"the code of block {number} stops with {type(error).__name__}: {error}")
            printed = out.getvalue()
        elif fence.info == "text" and printed is not None and fence.follows:
            if printed != fence.body:
                problems.append(f"block {number} should be the output above it:\n{printed}")
            printed = None
        elif fence.info == "python" and not is_excerpt(fence.body, (ROOT / fence.file).read_text(encoding="utf-8")):
            problems.append(f"block {number} is no excerpt of {fence.file}:\n{fence.body}")
    return problems


def table(content: dict) -> str:
    """Markdown of {"columns": [...], "rows": [[...], ...]}: the first column to the left, the others to the right."""
    rows = [[str(cell) for cell in row] for row in (content["columns"], *content["rows"])]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ) + " |"
        for row in rows
    ]  # fmt: skip
    rule = "|".join("-" * (width + 1) + ":" if column else "-" * (width + 2) for column, width in enumerate(widths))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"


def fill(text: str, results: dict) -> str:
    """`text` with the table under every mark made from the results, and a blank line, which ends a table, below it."""
    return TABLE.sub(lambda match: f"{match[1]}{table(results['tables'][match[2]])}\n", text)


def prose(text: str) -> str:
    """The text without code, formulas, tables of results, and addresses of links; comments only behind numbers."""
    text = TABLE.sub("", FENCE.sub("", text))
    text = INLINE.sub("`formula`", re.sub(r"`[^`\n]*`", "`code`", text))
    text = re.sub(r"\]\([^)]*\)|^\[//\]: # .*$|</?\w+>", "", text, flags=re.M)
    return re.sub(r"(?<![\d%])<!--.*?-->", "", text, flags=re.S)


def number_problems(text: str, results: dict) -> list[str]:
    """Numbers without a mark that need one, and marks that say another number than the one shown."""
    problems = []
    for match in NUMBER.finditer(prose(text)):
        shown, mark = match["number"], match["mark"]
        digits = sum(character.isdigit() for character in shown)
        if mark is None:
            counted = "." in shown or match["percent"] or "e" in shown or digits > 2
            if counted and not YEAR.fullmatch(shown) and not ARXIV.fullmatch(shown):
                problems.append(f"{shown} has no mark that says where it comes from")
            continue
        try:
            value = mark_value(mark, results)
        except (KeyError, ValueError, SyntaxError, TypeError) as error:
            problems.append(f"{shown}: the mark {mark!r} has no value ({type(error).__name__}: {error})")
            continue
        if value is not None and rounded(value, shown) != shown.replace(",", "").replace("−", "-"):
            problems.append(f"{shown} should be {rounded(value, shown)}, says the mark {mark!r}")
    return problems


def mark_value(mark: str, results: dict) -> float | None:
    """What a mark says: arithmetic (`= 8 * 48`), a number of the results, or None for a paper's, which has no check."""
    if mark.startswith("paper: "):
        if not YEAR.search(mark):
            raise ValueError("a paper has a year")
        return None
    return evaluate(ast.parse(mark[1:].strip(), mode="eval").body) if mark[0] == "=" else results["numbers"][mark]


def evaluate(node: ast.AST) -> float:
    """Arithmetic on literals, and on nothing else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](evaluate(node.left), evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -evaluate(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return FUNCTIONS[node.func.id](*map(evaluate, node.args))
    raise ValueError(f"{ast.unparse(node)} is no arithmetic on numbers")


def rounded(value: float, shown: str) -> str:
    """`value` with as many digits as `shown` has."""
    mantissa, exponent, _ = shown.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if not exponent:
        return f"{value:.{decimals}f}"
    digits, _, power = f"{value:.{decimals}e}".partition("e")
    return f"{digits}e{int(power)}"


def main(names: list[str]) -> None:
    wanted = [find_chapter(name) for name in names] if names else chapters(LESSONS)
    for chapter in wanted:
        file: Path = chapter.folder / "README.md"
        write_text(file, fill(chapter.text, chapter.results))


if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
