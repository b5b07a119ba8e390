"""What every chapter must be, checked: its parts, its length, its words for symbols, its links, its tests."""

import re

from minipeft.course.chapters import FILES, SECTIONS, Chapter, chapters
from minipeft.course.exercise_linter import exercise_problems, form_problems, judging_problems
from minipeft.course.formulas import inline, names
from minipeft.course.given_away import given_away
from minipeft.course.navigation import LINE, navigation_problems
from minipeft.course.pages import FENCE, TABLE, code_problems, fences, fill, number_problems

WORDS, CODE_LINES = range(1500, 2501), 15
FOLDER_BYTES, FIGURE_BYTES = 600_000, 100_000
# What may stand in a formula without a row in the table of symbols.
FUNCTIONS = set("softmax sigmoid sqrt log exp sum mean max min round sign abs norm tanh relu gelu silu var std diag "
                "concat argmin argmax rank_of for of each and if where else otherwise".split())  # fmt: skip


def problems(chapter: Chapter) -> list[str]:
    """Everything that is wrong with a chapter, one sentence each; running its code is part of it."""
    missing = [f"there is no {name}" for name in FILES if not (chapter.folder / name).exists()]
    if missing:
        return missing
    text = chapter.text
    return [
        *shape_problems(chapter, text),
        *symbol_problems(text),
        *link_problems(chapter, text),
        *table_problems(text, chapter.results),
        *number_problems(text, chapter.results),
        *code_problems(text),
        *exercise_problems(chapter),
        *form_problems(chapter),
        *judging_problems(chapter),
        *given_away(chapter),
        *navigation_problems(chapter, chapters(chapter.folder.parent)),
        *size_problems(chapter),
    ]


def shape_problems(chapter: Chapter, text: str) -> list[str]:
    """Title, sections, length, blocks of code, folded answers."""
    found = []
    plain = FENCE.sub("", text)
    if not re.match(rf"# {chapter.number:02}\. [^:\n]+: .+\n", text):
        found.append(f"the title is not '# {chapter.number:02}. Name: half a line'")
    headings = tuple(re.findall(r"^## (.+)$", plain, re.M))
    if headings != SECTIONS:
        found.append(f"the sections are {headings}, not {SECTIONS}")
    if word_count(text) not in WORDS:
        found.append(f"{word_count(text)} words are not from {WORDS[0]} to {WORDS[-1]}")
    for fence in fences(text):
        if fence.info not in ("python", "text", "math", "bash"):
            found.append(f"a block has the info string {fence.info!r}")
        if fence.info == "python" and len(fence.body.splitlines()) > CODE_LINES:
            found.append(f"a block of code has more than {CODE_LINES} lines: {fence.body.splitlines()[0]}")
    if "—" in text:
        found.append("there is a dash (—): use a full stop, a colon or brackets")
    if plain.partition("## Questions")[2].partition("\n## ")[0].count("<details>") < 3:
        found.append("fewer than three questions have their answers folded in <details>")
    return found


def word_count(text: str) -> int:
    """Words of prose: without code, tables, comments, and the addresses of links."""
    text = re.sub(r"<!--.*?-->", " ", FENCE.sub("", LINE.sub("", text)), flags=re.S)
    text = re.sub(r"^\|.*$|^\[//\]: # .*$|</?\w+>|\]\([^)]*\)", " ", text, flags=re.M)
    return len(re.findall(r"[\w'-]*[A-Za-z0-9][\w'-]*", text))


def symbol_problems(text: str) -> list[str]:
    """Symbols of formulas without a row in a table `| symbol | shape | meaning |`."""
    explained = set()
    for block in re.findall(r"^\| symbol \| shape \| meaning \|\n\|[-| :]+\|\n((?:\|.*\n)+)", text, re.M):
        for row in block.splitlines():
            symbol, shape, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:4])
            if not (symbol and shape and meaning):
                return [f"a row of the table of symbols has an empty cell: {row}"]
            if not inline(symbol):
                return [f"the symbol of a row is not written as mathematics, $...$: {row}"]
            explained |= {name for formula in inline(symbol) for name in names(formula)}
    used = [name for fence in fences(text) if fence.info == "math" for name in names(fence.body)]
    if not used:
        return ["there is no formula"]
    strangers = sorted(set(used) - explained - FUNCTIONS)
    return [f"these symbols of formulas are not explained: {', '.join(strangers)}"] if strangers else []


def link_problems(chapter: Chapter, text: str) -> list[str]:
    """Links and pictures that lead nowhere, pictures without words, pictures that nobody shows."""
    plain = FENCE.sub("", text)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", plain) if "://" not in link]
    found = [f"the link to {link} leads nowhere" for link in links if link and not (chapter.folder / link).exists()]
    for words, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", plain):
        if len(words.split()) < 5:
            found.append(f"the alt text of {picture} does not say what is seen")
    shown = {(chapter.folder / link).resolve() for link in links}
    drawn = chapter.folder.glob("figures/*")
    return found + [f"the figure {file.name} is not shown" for file in drawn if file.resolve() not in shown]


def table_problems(text: str, results: dict) -> list[str]:
    asked = [match[2] for match in TABLE.finditer(text)]
    unknown = [name for name in asked if name not in results.get("tables", {})]
    if unknown:
        return [f"results.json has no table {name!r}" for name in unknown]
    return (
        [] if fill(text, results) == text else ["a table is not that of results.json: python -m minipeft.course.pages"]
    )


def size_problems(chapter: Chapter) -> list[str]:
    sizes = {
        file: file.stat().st_size
        for file in chapter.folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    found = [
        f"{file.name} has {size} bytes" for file, size in sizes.items() if file.suffix == ".png" and size > FIGURE_BYTES
    ]
    return found + ([f"the folder has {sum(sizes.values())} bytes"] if sum(sizes.values()) > FOLDER_BYTES else [])
