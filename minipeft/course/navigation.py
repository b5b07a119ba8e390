"""The line below the title of every chapter: previous | next | exercise | hints.

`python -m minipeft.course.navigation` writes it into all chapters (or into those named), where it is missing or old.
"""

import re
import sys

from minipeft.course.chapters import LESSONS, Chapter, chapters, find_chapter
from minipeft.files import write_text
from minipeft.flags import ended

MARK = "[//]: # (navigation)"
LINE = re.compile(rf"^{re.escape(MARK)}\n\n(.*)\n", re.M)


def navigation(chapter: Chapter, written: list[Chapter]) -> str:
    """The line of a chapter among all that are written."""
    place = [other.folder.name for other in written].index(chapter.folder.name)
    parts = []
    for word, other in (("previous", place - 1), ("next", place + 1)):
        if 0 <= other < len(written):
            folder = written[other].folder.name
            parts.append(f"[{word}: {title(written[other])}](../{folder}/README.md)")
    parts += ["[all chapters](../README.md)", "[exercise](exercise.py)"]
    return " | ".join([*parts, f"hints: `python -m minipeft hint {chapter.folder.name[:2]}`"])


def title(chapter: Chapter) -> str:
    """`13. LoRA` of `# 13. LoRA: a thin update`."""
    return chapter.text.partition("\n")[0].removeprefix("# ").partition(":")[0]


def with_navigation(chapter: Chapter, written: list[Chapter]) -> str:
    """The text of the chapter with its line, which is put below the title where there is none."""
    line, text = navigation(chapter, written), chapter.text
    if LINE.search(text):
        return LINE.sub(lambda _: f"{MARK}\n\n{line}\n", text, count=1)
    heading, rest = text.split("\n", 1)
    return f"{heading}\n\n{MARK}\n\n{line}\n{rest}"


def navigation_problems(chapter: Chapter, written: list[Chapter]) -> list[str]:
    """Whether there is such a line, and leads where it should."""
    if not LINE.search(chapter.text):
        return ["there is no line of navigation: python -m minipeft.course.navigation"]
    same = with_navigation(chapter, written) == chapter.text
    return [] if same else ["the line of navigation is old: python -m minipeft.course.navigation"]


def main(names: list[str]) -> None:
    written = chapters(LESSONS)
    for chapter in [find_chapter(name) for name in names] if names else written:
        write_text(chapter.folder / "README.md", with_navigation(chapter, written))


if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
