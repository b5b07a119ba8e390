"""How far the course is done, found out by running its tests: nothing that was written down is believed."""

from types import ModuleType

from minipeft.course.chapters import Chapter
from minipeft.course.checks import ToDo
from minipeft.errors import one_line

DONE, WRONG, TO_DO = "done", "wrong", "to do"


def judge(chapter: Chapter, answers: ModuleType) -> dict[str, tuple[str, str]]:
    """For every test of the chapter: done, wrong or to do, and what a wrong one says."""
    outcomes = {}
    for name, test in chapter.tests().items():
        try:
            test(answers)
            outcomes[name] = DONE, ""
        except ToDo:
            outcomes[name] = TO_DO, ""
        except (Exception, SystemExit) as error:  # whatever a student's code may raise
            outcomes[name] = WRONG, str(error) if isinstance(error, AssertionError) else one_line(error)
    return outcomes


def states(chapter: Chapter, outcomes: dict[str, str]) -> dict[str, str]:
    """The state of each exercise that had a test: wrong before to do before done."""
    found: dict[str, set[str]] = {}
    for test, outcome in outcomes.items():
        found.setdefault(chapter.exercise_of(test), set()).add(outcome)
    order = [name for name in chapter.exercises if name in found]
    return {name: next(state for state in (WRONG, TO_DO, DONE) if state in found[name]) for name in order}


def exercise_states(chapter: Chapter) -> dict[str, str]:
    """The state of every exercise of the chapter, from its tests; all wrong where exercise.py does not even load."""
    try:
        answers = chapter.answers()
    except (Exception, SystemExit):
        return dict.fromkeys(chapter.exercises, WRONG)
    return states(chapter, {test: outcome for test, (outcome, _) in judge(chapter, answers).items()})


def chapter_line(chapter: Chapter, exercises: dict[str, str]) -> str:
    """One line: the chapter, its state, and its exercises by state."""
    whole = next((state for state in (WRONG, TO_DO) if state in exercises.values()), DONE)
    parts = []
    for state in (DONE, WRONG, TO_DO):
        names = [name for name, own in exercises.items() if own == state]
        if names:
            parts.append(f"{state} {len(names)}" + (f" ({', '.join(names)})" if state != DONE else ""))
    missing = len(chapter.exercises) - len(exercises)
    parts += [f"not run {missing}"] if missing else []
    return f"{chapter.folder.name:20} {whole:6} {', '.join(parts)}"
