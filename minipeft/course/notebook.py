"""A chapter as a notebook of Jupyter: its prose, its own code as cells that run, its figures inside the one file.

The format is nbformat 4.5, which is JSON: https://nbformat.readthedocs.io. Code that is quoted from a file stays prose,
as it would not run alone; the output that stands below a block of code becomes the output of its cell.
"""

import base64
import json
import os
import re
from pathlib import Path

from minipeft.course.chapters import Chapter
from minipeft.course.pages import FENCE

IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<file>[^)\s]+)\)")
LINK = re.compile(r"(?<!!)\]\((?P<to>[^)#\s]+)(?P<part>#[^)\s]*)?\)")


def notebook(chapter: Chapter, folder: Path) -> dict:
    """The notebook of a chapter, to be written into `folder`: relative links are made to lead from there."""
    cells, prose, end = [], "", 0
    text = chapter.text
    for match in FENCE.finditer(text):
        prose += text[end : match.start()]
        end = match.end()
        runs = match["info"] == "python" and match["file"] is None
        if runs:
            cells += prose_cell(prose, chapter, folder)
            cells.append(code_cell(match["body"]))
            prose = ""
        elif match["info"] == "text" and not prose.strip() and cells and cells[-1]["cell_type"] == "code":
            cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": lines(match["body"])}]
        elif match["info"] == "math":
            prose += f"$$\n{match['body']}$$"
        else:
            prose += f"```{match['info']}\n{match['body']}```"
    cells += prose_cell(prose + text[end:], chapter, folder)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


def code_cell(body: str) -> dict:
    source = lines(body.rstrip("\n"))
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "source": source, "outputs": []}


def prose_cell(prose: str, chapter: Chapter, folder: Path) -> list[dict]:
    """One cell of markdown, or none where there is only white space."""
    prose = re.sub(r"<!--.*?-->|^\[//\]: # [^\n]*\n?", "", prose, flags=re.S | re.M)
    if not prose.strip():
        return []
    attachments = {}
    for image in IMAGE.finditer(prose):
        file = chapter.folder / image["file"]
        content = base64.b64encode(file.read_bytes()).decode("ascii")
        attachments[file.name] = {"image/png": content}
    prose = IMAGE.sub(lambda image: f"![{image['alt']}](attachment:{Path(image['file']).name})", prose)
    prose = LINK.sub(lambda link: f"]({moved(link['to'], chapter.folder, folder)}{link['part'] or ''})", prose)
    cell = {"cell_type": "markdown", "metadata": {}, "source": lines(prose.strip("\n"))}
    return [cell | ({"attachments": attachments} if attachments else {})]


def moved(link: str, home: Path, folder: Path) -> str:
    """A relative link of a file in `home`, as it leads from `folder`."""
    if "://" in link or link.startswith("attachment:"):
        return link
    target = os.path.join(os.path.abspath(home), link)
    try:
        return os.path.relpath(target, os.path.abspath(folder)).replace(os.sep, "/")
    except ValueError:  # another drive, under Windows
        return Path(target).resolve().as_uri()


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def as_json(content: dict) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
