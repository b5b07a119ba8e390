"""`pytest lessons/13_lora` tests your exercise.py; with `--solutions`, the solution.py beside it.

A stub that nobody has touched is "to do": neither passed nor failed, but not done either, so pytest's exit status is 1.
A wrong answer fails with four lines. At the end each chapter has a line of its own.
"""

import pytest

from minipeft.course.chapters import Chapter, load_answers
from minipeft.course.checks import ToDo, WrongResult
from minipeft.course.progress import DONE, TO_DO, WRONG, chapter_line, states


def pytest_addoption(parser):
    parser.addoption("--solutions", action="store_true", help="test the reference solutions, not your answers")


def pytest_configure(config):
    config.stash[LOADED], config.stash[OUTCOMES] = {}, {}


LOADED = pytest.StashKey[dict]()  # answers by file: each is loaded once
OUTCOMES = pytest.StashKey[dict]()  # what each test of each chapter came to


@pytest.fixture
def answers(request):
    """The module with the answers beside the test."""
    file = request.path.parent / ("solution.py" if request.config.getoption("--solutions") else "exercise.py")
    loaded = request.config.stash[LOADED]
    if file not in loaded:
        try:
            loaded[file] = load_answers(file)
        except Exception as error:
            loaded[file] = error
    if isinstance(loaded[file], Exception):
        pytest.fail(f"{file.name} does not load. {type(loaded[file]).__name__}: {loaded[file]}", pytrace=False)
    return loaded[file]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    error = call.excinfo and call.excinfo.value
    report.to_do = isinstance(error, ToDo)
    if isinstance(error, WrongResult | ToDo):
        report.longrepr = str(error)
    if report.when == "call" or report.failed:
        state = TO_DO if report.to_do else WRONG if report.failed else DONE
        chapter = item.config.stash[OUTCOMES].setdefault(item.path.parent, {})
        chapter[item.name] = WRONG if chapter.get(item.name) == WRONG else state


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    if getattr(report, "to_do", False):
        return TO_DO, "-", ("TO DO", {"yellow": True})


def pytest_terminal_summary(terminalreporter, config):
    for folder, outcomes in config.stash[OUTCOMES].items():
        chapter = Chapter(folder)
        terminalreporter.write_line(chapter_line(chapter, states(chapter, outcomes)))
