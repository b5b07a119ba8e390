"""`pytest lessons/13_lora` tests your exercise.py; with `--solutions`, the solution.py beside it.

A stub that nobody has touched is "to do": neither passed nor failed, but not done either, so pytest's exit status is 1.
A wrong exercise has one message of four lines, with its first test that fails. Where exercise.py does not load, that is
said once. At the end each chapter has a line of its own.
"""

import pytest

from minipeft.course.chapters import Chapter, load_answers
from minipeft.course.checks import ToDo, WrongResult
from minipeft.course.loading import DoesNotLoad, load_exercise
from minipeft.course.progress import chapter_line, mark_library, states
from minipeft.course.verdicts import DONE, TO_DO, WRONG, tests_of, verdict

LOADED = pytest.StashKey[dict]()  # answers by file: each is loaded once
OUTCOMES = pytest.StashKey[dict]()  # what each test of each chapter came to
TOLD = pytest.StashKey[set]()  # the exercises that have their message already
NOT_LOADED, WRONG_TOO = "not loaded", "wrong too"


def pytest_addoption(parser):
    parser.addoption("--solutions", action="store_true", help="test the reference solutions, not your answers")


def pytest_configure(config):
    config.stash[LOADED], config.stash[OUTCOMES], config.stash[TOLD] = {}, {}, set()


@pytest.fixture
def answers(request):
    """The module with the answers beside the test."""
    solutions = request.config.getoption("--solutions")
    file = request.path.parent / ("solution.py" if solutions else "exercise.py")
    loaded = request.config.stash[LOADED]
    if file not in loaded:
        try:
            loaded[file] = load_answers(file) if solutions else load_exercise(file)
        except DoesNotLoad as error:
            loaded[file] = error
    if isinstance(loaded[file], DoesNotLoad):
        raise loaded[file]
    return loaded[file]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    error, folder = call.excinfo and call.excinfo.value, item.path.parent
    report.course_state = None
    if isinstance(error, ToDo):
        report.longrepr, report.course_state = "", TO_DO
    elif isinstance(error, DoesNotLoad):
        report.longrepr, report.course_state = "", NOT_LOADED
    elif isinstance(error, WrongResult):
        report.longrepr = message(item, error)
        report.course_state = None if report.longrepr else WRONG_TOO
    if report.when == "call" or report.failed:
        state = TO_DO if report.course_state == TO_DO else WRONG if report.failed else DONE
        outcomes = item.config.stash[OUTCOMES].setdefault(folder, {})
        outcomes[item.name] = WRONG if outcomes.get(item.name) == WRONG else state


def message(item, error: WrongResult) -> str:
    """What the exercise of this test has to say; nothing where it has said it already."""
    chapter, told = Chapter(item.path.parent), item.config.stash[TOLD]
    exercise = chapter.exercise_of(item.name)
    if (chapter, exercise) in told:
        return ""
    told.add((chapter, exercise))
    whole = verdict(chapter, exercise, item.funcargs["answers"], tests_of(chapter, exercise))
    return whole.message or str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    state = getattr(report, "course_state", None)
    if state == TO_DO:
        return TO_DO, "-", ("TO DO", {"yellow": True})
    if state in (NOT_LOADED, WRONG_TOO):
        return state, "F", (state.upper(), {"red": True})


def pytest_terminal_summary(terminalreporter, config):
    loaded = config.stash[LOADED]
    for error in loaded.values():
        if isinstance(error, DoesNotLoad):
            terminalreporter.write_line(str(error))
    for folder, outcomes in config.stash[OUTCOMES].items():
        chapter = Chapter(folder)
        found = states(chapter, outcomes)
        answers = loaded.get(folder / "exercise.py", None)
        if hasattr(answers, "__source__"):
            found = mark_library(chapter, found, answers)
        terminalreporter.write_line(chapter_line(chapter, found))
