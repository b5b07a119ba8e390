"""`python -m minipeft progress [chapter]`: how far the course is done, found out by running its tests."""

from pathlib import Path

from minipeft.course.chapters import LESSONS, chapters, find_chapter
from minipeft.course.progress import WITH_LIBRARY, chapter_line, states_or_sentence
from minipeft.course.verdicts import DONE
from minipeft.flags import words

HELP = "How far the course is done, found out by running its tests."


def add_arguments(parser) -> None:
    parser.add_argument("chapter", nargs="?", type=words, help="one chapter only, as 13 or lora")
    add_lessons(parser)


def add_lessons(parser) -> None:
    parser.add_argument("--lessons", type=words, help="the folder of the course (default: lessons/ of this project)")


def run(args) -> None:
    """Print a line for each chapter."""
    lessons = Path(args.lessons or LESSONS)
    wanted = [find_chapter(args.chapter, lessons)] if args.chapter else chapters(lessons)
    done = total = 0
    for chapter in wanted:
        found, sentence = states_or_sentence(chapter)
        done += sum(state in (DONE, WITH_LIBRARY) for state in found.values())
        total += len(found)
        print(chapter_line(chapter, found), flush=True)
        if sentence:
            print(f"    {sentence}", flush=True)
    print(f"\n{done} of {total} exercises done, in {len(wanted)} chapter(s). A hint: python -m minipeft hint <chapter>")
