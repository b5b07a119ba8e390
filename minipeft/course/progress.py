"""How far the course is done, found out by running its tests: nothing that was written down is believed."""

from types import ModuleType

from minipeft.course.chapters import Chapter
from minipeft.course.exercise_linter import plain
from minipeft.course.library_use import answered_by_library, stub_of
from minipeft.course.loading import DoesNotLoad, load_exercise
from minipeft.course.verdicts import DONE, TO_DO, WRONG, verdict

WITH_LIBRARY = "done with the library"


def judge(chapter: Chapter, answers: ModuleType) -> dict[str, tuple[str, str]]:
    """For every test of the chapter: done, wrong or to do; the first wrong one of an exercise has its message."""
    all_tests, outcomes = chapter.tests(), {}
    for exercise in chapter.exercises:
        tests = {name: test for name, test in all_tests.items() if chapter.exercise_of(name) == exercise}
        judged = verdict(chapter, exercise, answers, tests)
        message = judged.message
        for name, state in judged.tests.items():
            outcomes[name] = state, message if state == WRONG else ""
            message = "" if state == WRONG else message
    return outcomes


def states(chapter: Chapter, outcomes: dict[str, str]) -> dict[str, str]:
    """The state of each exercise that had a test: wrong before to do before done."""
    found: dict[str, set[str]] = {}
    for test, outcome in outcomes.items():
        found.setdefault(chapter.exercise_of(test), set()).add(outcome)
    order = [name for name in chapter.exercises if name in found]
    return {name: next(state for state in (WRONG, TO_DO, DONE) if state in found[name]) for name in order}


def mark_library(chapter: Chapter, found: dict[str, str], answers: ModuleType) -> dict[str, str]:
    """`found` with "done with the library" where an answer calls what the library has."""
    borrowed = answered_by_library(answers.__source__, stub_of(chapter.folder))
    return {name: WITH_LIBRARY if state == DONE and plain(name) in borrowed else state for name, state in found.items()}


def exercise_states(chapter: Chapter) -> dict[str, str]:
    """The state of every exercise of the chapter, from its tests. Raises DoesNotLoad where exercise.py does not."""
    answers = load_exercise(chapter.folder / "exercise.py")
    outcomes = {test: outcome for test, (outcome, _) in judge(chapter, answers).items()}
    return mark_library(chapter, states(chapter, outcomes), answers)


def states_or_sentence(chapter: Chapter) -> tuple[dict[str, str], str]:
    """The states of the exercises and ""; all wrong, with the one sentence, where exercise.py does not load."""
    try:
        return exercise_states(chapter), ""
    except DoesNotLoad as error:
        return dict.fromkeys(chapter.exercises, WRONG), str(error)


def chapter_line(chapter: Chapter, exercises: dict[str, str]) -> str:
    """One line: the chapter, its state, and its exercises by state."""
    whole = next((state for state in (WRONG, TO_DO) if state in exercises.values()), DONE)
    parts = []
    for state in (DONE, WITH_LIBRARY, WRONG, TO_DO):
        names = [name for name, own in exercises.items() if own == state]
        if names:
            parts.append(f"{state} {len(names)}" + (f" ({', '.join(names)})" if state != DONE else ""))
    missing = len(chapter.exercises) - len(exercises)
    parts += [f"not run {missing}"] if missing else []
    return f"{chapter.folder.name:20} {whole:6} {', '.join(parts)}"
