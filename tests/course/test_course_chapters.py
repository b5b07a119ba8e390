"""Every chapter that there is: well-made, true to code and results, and its exercises caught by their own mistakes."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from helpers.standing_mistakes import standing_answers

from minipeft.course.chapters import LESSONS, ROOT, chapters, load_answers
from minipeft.course.figures import draw_figures
from minipeft.course.linter import problems
from minipeft.course.loading import load_exercise
from minipeft.course.progress import judge
from minipeft.course.verdicts import findings_of, findings_of_mistake, first_wrong, verdict_on
from minipeft.course.wrong_answers import wrong_answers

CHAPTERS = chapters()
MAP = (LESSONS / "README.md").read_text(encoding="utf-8")
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.folder.name)
SAMPLE = "13_lora"  # hundreds of answers, a second a chapter: by default those of one, all of them by `pytest -m slow`
each_chapter_with_answers = pytest.mark.parametrize(
    "chapter",
    [pytest.param(chapter, marks=[pytest.mark.slow] * (chapter.folder.name != SAMPLE)) for chapter in CHAPTERS],
    ids=lambda chapter: chapter.folder.name,
)
MEASURED = [chapter for chapter in CHAPTERS if chapter.results]
each_measured_chapter = pytest.mark.parametrize("chapter", MEASURED, ids=lambda chapter: chapter.folder.name)


@each_chapter
def test_a_chapter_is_what_a_chapter_must_be(chapter):
    assert problems(chapter) == []


@each_chapter
def test_the_solution_passes(chapter):
    outcomes = judge(chapter, chapter.answers("solution.py"))
    assert {name: said for name, (state, said) in outcomes.items() if state != "done"} == {}


@each_chapter
def test_every_stub_is_to_do(chapter):
    outcomes = judge(chapter, load_exercise(chapter.folder / "exercise.py"))
    assert {name: said for name, (state, *said) in outcomes.items() if state != "to do"} == {}


@each_chapter_with_answers
def test_every_wrong_answer_is_caught_and_named(chapter):
    """By its name; a test that a student wrote by what it lets through; what stops with an exception, by that."""
    tests_of, unseen = all_tests_of(chapter), []
    for wrong in wrong_answers(chapter.folder.name):
        tests = tests_of[wrong.exercise]
        found = findings_of_mistake(wrong, chapter.folder, tests)
        message = verdict_on(found, chapter, wrong.exercise, tests).message
        if not any(words in message for words in (f"when {wrong.name}", "Your test", "Got no result but")):
            unseen.append((wrong.exercise, wrong.name, message or "passes every test"))
    assert unseen == []


@each_chapter_with_answers
def test_no_right_answer_is_refused(chapter):
    tests_of, refused = all_tests_of(chapter), []
    solution = (chapter.folder / "solution.py").read_text(encoding="utf-8")
    for exercise, others in right_answers(chapter).items():
        for code in others:
            answers = load_answers(chapter.folder / "solution.py", f"{solution}\n\n{code.strip()}\n")
            found = findings_of(tests_of[exercise], answers).values()
            refused += [(exercise, code, wrong.lines) for findings in found if (wrong := first_wrong(findings))]
    assert refused == []


@each_chapter_with_answers
def test_the_standing_wrong_answers_are_caught_in_every_exercise(chapter):
    tests_of, passed = all_tests_of(chapter), []
    for exercise, mistake, answers in standing_answers(chapter):
        found = findings_of(tests_of[exercise], answers).values()
        passed += [] if any(first_wrong(findings) for findings in found) else [(exercise, mistake)]
    assert passed == []


def all_tests_of(chapter) -> dict[str, dict]:
    tests = chapter.tests()
    return {exercise: {name: test for name, test in tests.items() if chapter.exercise_of(name) == exercise}
            for exercise in chapter.exercises}  # fmt: skip


def right_answers(chapter) -> dict[str, list[str]]:
    return load_answers(ROOT / "tests" / "right_answers" / f"{chapter.folder.name}.py").RIGHT


@each_chapter
def test_every_exercise_has_eight_wrong_answers_and_two_other_right_ones(chapter):
    known = wrong_answers(chapter.folder.name)
    assert {wrong.exercise for wrong in known} == set(chapter.exercises)
    assert min(Counter(wrong.exercise for wrong in known).values()) >= 8
    assert len({(wrong.exercise, wrong.name) for wrong in known}) == len(known)
    solution = (chapter.folder / "solution.py").read_text(encoding="utf-8")
    assert len({wrong.applied_to(solution) for wrong in known} | {solution}) == len(known) + 1
    others = right_answers(chapter)
    assert list(others) == chapter.exercises and all(len(set(codes)) >= 2 for codes in others.values())


@each_measured_chapter
def test_tables_and_numbers_follow_from_the_runs(chapter):
    results = chapter.results
    tables, numbers = load_answers(chapter.folder / "tables.py").summary(results["runs"])
    assert the_same(json.loads(json.dumps([tables, numbers])), [results["tables"], results["numbers"]])


def the_same(found, stored) -> bool:
    """Equal to rounding: statistics.stdev and sum() round otherwise in Python 3.10, 3.11 and 3.12."""
    if isinstance(stored, dict):
        return found.keys() == stored.keys() and all(the_same(found[key], value) for key, value in stored.items())
    if isinstance(stored, list):
        return len(found) == len(stored) and all(map(the_same, found, stored))
    return math.isclose(found, stored, rel_tol=1e-9) if isinstance(stored, float) else found == stored


def quick(part):
    """Runs as --quick leaves them: nothing tuned, one seed in every row of a race."""
    if isinstance(part, list):
        return [quick(item) for item in part]
    if not isinstance(part, dict):
        return part
    if {"scores", "interval", "percent"} <= part.keys():
        return part | {"scores": part["scores"][:1], "interval": None}
    return {key: {} if key in ("sweep", "sweep_runs") else quick(value) for key, value in part.items()}


@each_measured_chapter
def test_a_quick_look_can_be_told(chapter):
    tables, numbers = load_answers(chapter.folder / "tables.py").summary(quick(chapter.results["runs"]))
    assert tables.keys() == chapter.results["tables"].keys() and numbers.keys() <= chapter.results["numbers"].keys()


@pytest.mark.slow
@each_measured_chapter
def test_the_figures_are_those_that_its_file_draws(chapter, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra [plots])")
    drawn = draw_figures(chapter.folder, chapter.results["runs"], tmp_path)
    assert {file.name for file in drawn} == {file.name for file in (chapter.folder / "figures").iterdir()}


@each_measured_chapter
def test_the_results_say_how_they_were_made(chapter):
    results = chapter.results
    assert results["command"].startswith(f"python lessons/{chapter.folder.name}/experiment.py")
    assert re.fullmatch(r"[0-9a-f]{12}", results["provenance"]["commit"])
    assert {"python", "torch", "hardware"} <= results["provenance"].keys()
    assert results["seeds"] >= 5 and results["seconds"] > 0


def rows_of_map() -> dict[str, str]:
    """Folder -> its row in the map of the course."""
    return {folder: row for row in MAP.splitlines() for folder in re.findall(r"^\| [^|]*?(\d\d_\w+)", row)}


def test_the_map_links_the_chapters_that_exist_and_no_others():
    linked = {folder for folder, row in rows_of_map().items() if f"]({folder}/README.md)" in row}
    assert linked == {chapter.folder.name for chapter in CHAPTERS}
    assert [folder[:2] for folder in rows_of_map()] == [f"{n:02}" for n in range(1, len(rows_of_map()) + 1)]


def test_the_lessons_that_the_code_names_stand_on_the_map():
    files = [file for folder in ("minipeft", "tests") for file in (ROOT / folder).rglob("*.py")]
    named = {lesson for file in files for lesson in re.findall(r"lessons/(\d\d_\w+)", file.read_text(encoding="utf-8"))}
    assert named - {"07_sample"} <= set(rows_of_map())


def test_every_method_names_its_lesson():
    for file in (Path(ROOT) / "minipeft" / "methods").glob("*/*.py"):
        text = file.read_text(encoding="utf-8")
        if re.search(r"^\s+name = \"", text, re.M):
            assert re.search(r"[Ll]essons?:? lessons/\d\d_\w+", text), f"{file.name} names no lesson"


def test_the_links_of_the_map_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", MAP) if "://" not in link]
    assert [link for link in links if not (LESSONS / link).exists()] == []
