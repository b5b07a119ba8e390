"""`python -m minipeft hint 13 [exercise] [--again | --all]`: the next hint for an exercise that is not done."""

from pathlib import Path

from minipeft.commands.progress import add_lessons
from minipeft.course.chapters import LESSONS, find_chapter
from minipeft.course.hints import choose, hints_given, next_hint, require_exercise
from minipeft.flags import words

HELP = "The next hint for the first exercise of a chapter that is not done."


def add_arguments(parser) -> None:
    parser.add_argument("chapter", type=words, help="as 13 or lora")
    parser.add_argument("exercise", nargs="?", type=words, help="a hint for this exercise")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--again", action="store_true", help="the last hint that was given, once more")
    again.add_argument("--all", action="store_true", help="all hints that were given for an exercise")
    add_lessons(parser)


def run(args) -> None:
    """Print one hint, and remember that it was given; or those that were given before."""
    lessons = Path(args.lessons or LESSONS)
    chapter = find_chapter(args.chapter, lessons)
    given = lessons.resolve().parent / "runs" / "lessons" / "hints.json"
    if args.again or args.all:
        require_exercise(chapter, args.exercise)
        exercise, hints = hints_given(chapter, args.exercise, given)
        first = len(hints) if args.again else 1
        for number, hint in enumerate(hints[first - 1 :], first):
            print(f"{chapter.folder.name}, {exercise}, hint {number} of {len(chapter.hints[exercise])}: {hint}")
        return
    exercise = choose(chapter, args.exercise)
    if exercise is None:
        print(f"All exercises of {chapter.folder.name} are done: nothing is left to hint at.")
        return
    number, hint = next_hint(chapter, exercise, given)
    print(f"{chapter.folder.name}, {exercise}, hint {number} of {len(chapter.hints[exercise])}: {hint}")
    if number == len(chapter.hints[exercise]):
        print(f"That was the last one. The answer stands in lessons/{chapter.folder.name}/solution.py.")
