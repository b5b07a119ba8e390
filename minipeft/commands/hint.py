"""`python -m minipeft hint 13 [exercise]`: the next hint for an exercise that is not done."""

from pathlib import Path

from minipeft.commands.arguments import words
from minipeft.commands.progress import add_lessons
from minipeft.course.chapters import LESSONS, find_chapter
from minipeft.course.hints import choose, next_hint

HELP = "The next hint for the first exercise of a chapter that is not done."


def add_arguments(parser) -> None:
    parser.add_argument("chapter", type=words, help="as 13 or lora")
    parser.add_argument("exercise", nargs="?", type=words, help="a hint for this exercise")
    add_lessons(parser)


def run(args) -> None:
    """Print one hint, and remember that it was given."""
    lessons = Path(args.lessons or LESSONS)
    chapter = find_chapter(args.chapter, lessons)
    exercise = choose(chapter, args.exercise)
    if exercise is None:
        print(f"All exercises of {chapter.folder.name} are done: nothing is left to hint at.")
        return
    number, hint = next_hint(chapter, exercise, lessons.resolve().parent / "runs" / "lessons" / "hints.json")
    print(f"{chapter.folder.name}, {exercise}, hint {number} of {len(chapter.hints[exercise])}: {hint}")
    if number == len(chapter.hints[exercise]):
        print(f"That was the last one. The answer stands in lessons/{chapter.folder.name}/solution.py.")
