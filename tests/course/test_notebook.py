"""Chapters as notebooks, and the line that leads from one chapter to the next."""

import base64
import json

import pytest
from helpers.command_line import refusal

from minipeft.__main__ import main
from minipeft.course.chapters import Chapter, chapters
from minipeft.course.navigation import LINE, navigation, navigation_problems, with_navigation
from minipeft.course.notebook import notebook
from minipeft.course.pages import fences

CHAPTERS = chapters()
PAGE = """# 07. Sample: twice as much

Some 98.6<!-- score --> words, and [a file](../../code.py#part), [the web](https://example.org/x).

[//]: # (excerpt of code.py)
```python
quoted = 1
```

```python
x = 2
print(x)
```

```text
2
```

```math
y = 2 x
```

![alt text](figures/drawn.png)

```python
print(x + 1)
```
"""


@pytest.fixture
def lessons(tmp_path):
    """A chapter of the page above, with its figure."""
    folder = tmp_path / "course" / "lessons" / "07_sample"
    (folder / "figures").mkdir(parents=True)
    (folder / "README.md").write_text(PAGE, encoding="utf-8")
    (folder / "figures" / "drawn.png").write_bytes(b"\x89PNG...")
    return folder.parent


def test_a_notebook_has_the_prose_the_chapters_own_code_and_its_output(lessons, tmp_path):
    cells = notebook(Chapter(lessons / "07_sample"), tmp_path / "mine")["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "markdown", "code"]
    first, code, second, last = ("".join(cell["source"]) for cell in cells)
    assert "98.6 words" in first and "score" not in first and "```python\nquoted = 1\n```" in first
    assert "](../course/code.py#part)" in first and "](https://example.org/x)" in first and "[//]" not in first
    assert code == "x = 2\nprint(x)" and last == "print(x + 1)"
    assert cells[1]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": ["2\n"]}]
    assert cells[3]["outputs"] == [] and "$$\ny = 2 x\n$$" in second
    assert "![alt text](attachment:drawn.png)" in second
    assert base64.b64decode(cells[2]["attachments"]["drawn.png"]["image/png"]) == b"\x89PNG..."


def test_the_command_writes_one_file_that_is_never_written_over(lessons, tmp_path, capsys):
    asked = ("notebook", "7", "--lessons", str(lessons), "--out", str(tmp_path / "mine"))
    assert main(list(asked)) == 0
    file = tmp_path / "mine" / "07_sample.ipynb"
    content = json.loads(file.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert [path.name for path in file.parent.iterdir()] == ["07_sample.ipynb"]
    capsys.readouterr()
    file.write_text("my work", encoding="utf-8")
    assert "move it, or name another --out" in refusal(capsys, *asked)
    assert file.read_text(encoding="utf-8") == "my work"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.folder.name)
def test_the_notebook_of_a_chapter_runs_all_of_its_own_code(chapter, tmp_path):
    content = notebook(chapter, tmp_path)
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    own = [fence.body.rstrip("\n") for fence in fences(chapter.text) if fence.info == "python" and fence.file is None]
    assert ["".join(cell["source"]) for cell in cells] == own
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids) and json.dumps(content)
    shown = {name for cell in content["cells"] for name in cell.get("attachments", {})}
    assert shown == {file.name for file in (chapter.folder / "figures").iterdir()}


def test_a_notebook_is_what_the_format_asks_for(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    for chapter in CHAPTERS:
        nbformat.validate(notebook(chapter, tmp_path))


def test_the_line_of_navigation_leads_to_the_neighbours_and_back(lessons):
    for name, title in (("05_before", "# 05. Before: it\n\nText.\n"), ("09_after", "# 09. After: it\n\nText.\n")):
        (lessons / name).mkdir()
        (lessons / name / "README.md").write_text(title, encoding="utf-8")
    written = chapters(lessons)
    assert navigation(written[1], written) == (
        "[previous: 05. Before](../05_before/README.md) | [next: 09. After](../09_after/README.md) | "
        "[all chapters](../README.md) | [exercise](exercise.py) | hints: `python -m minipeft hint 07`"
    )
    assert "previous" not in navigation(written[0], written) and "next" not in navigation(written[2], written)
    once = with_navigation(written[0], written)
    assert once.startswith("# 05. Before: it\n\n[//]: # (navigation)\n\n[next: 07. Sample]") and once.endswith(
        "Text.\n"
    )
    (written[0].folder / "README.md").write_text(once, encoding="utf-8")
    assert with_navigation(written[0], written) == once and navigation_problems(written[0], written) == []
    assert navigation_problems(written[0], written[:1]) == [
        "the line of navigation is old: python -m minipeft.course.navigation"
    ]
    assert "there is no line" in navigation_problems(written[1], written)[0]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.folder.name)
def test_the_line_of_a_chapter_leads_to_files_that_exist(chapter):
    text = with_navigation(chapter, CHAPTERS)
    (line,) = LINE.findall(text)
    links = [part.partition("](")[2].partition(")")[0] for part in line.split(" | ") if "](" in part]
    assert len(links) >= 3 and all((chapter.folder / link).exists() for link in links)
