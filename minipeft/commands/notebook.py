"""`python -m minipeft notebook 13 [--out notebooks]`: a chapter as a notebook, in a folder of the reader's."""

from pathlib import Path

from minipeft.commands.progress import add_lessons
from minipeft.course.chapters import LESSONS, find_chapter
from minipeft.course.notebook import as_json, notebook
from minipeft.errors import UserError
from minipeft.files import write_text
from minipeft.flags import words

HELP = "Write a chapter as a notebook of Jupyter: prose, its own code, figures."


def add_arguments(parser) -> None:
    parser.add_argument("chapter", type=words, help="as 13 or lora")
    parser.add_argument("--out", type=words, default="notebooks", help="the folder for it (default: notebooks)")
    add_lessons(parser)


def run(args) -> None:
    """Write the notebook; one that is there already may hold somebody's work, so it stays."""
    chapter = find_chapter(args.chapter, Path(args.lessons or LESSONS))
    folder = Path(args.out)
    file = folder / f"{chapter.folder.name}.ipynb"
    if file.exists():
        raise UserError(f"There is {file} already, perhaps with your own work in it: move it, or name another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, as_json(notebook(chapter, folder)))
    print(f"Written: {file}")
