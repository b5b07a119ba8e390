"""The machinery of the course, on a chapter of one file each that is written for the purpose."""

import json
from argparse import Namespace
from collections import Counter
from fractions import Fraction

import numpy
import pytest
import torch
from helpers.command_line import refusal

from minipeft.__main__ import main
from minipeft.course import experiment
from minipeft.course.chapters import LESSONS, Chapter, chapters, find_chapter
from minipeft.course.checks import ToDo, WrongResult, check
from minipeft.course.differences import difference
from minipeft.course.exercise_linter import form_problems
from minipeft.course.figures import draw_figures
from minipeft.course.hints import next_hint
from minipeft.course.linter import problems
from minipeft.course.loading import DoesNotLoad, load_exercise
from minipeft.course.pages import code_problems, fill, is_excerpt, number_problems
from minipeft.course.progress import chapter_line, exercise_states, judge
from minipeft.course.wrong_answers import WrongAnswer, wrong_answers
from minipeft.errors import UserError

STUB = '''"""Chapter 07, sample: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/07_sample
    python -m minipeft hint 07

Letters: x (rows, columns).
"""

def doubled(x):
    """Implement: 2 x."""
    raise NotImplementedError

# Predict: how many numbers has a (3, 5) matrix?
COUNT = ...
'''
SOLUTION = '''"""The reference."""

def doubled(x):
    return 2 * x

COUNT = 3 * 5
'''
TESTS = '''"""Tests."""

import torch

from minipeft.course.checks import check


def test_doubled_doubles_every_number(answers):
    x = torch.arange(6.0).view(2, 3)
    check(
        answers,
        lambda answers: answers.doubled(x),
        torch.tensor([[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]),
        holds="y = 2 x",
        inputs={"x": x, "factor": 2},
        section="The mathematics",
    )


def test_count_is_rows_times_columns(answers):
    check(
        answers,
        lambda answers: answers.COUNT,
        15,
        holds="rows * columns",
        inputs={"rows": 3, "columns": 5},
        section="The code",
        tolerance=0,
    )
'''
HINTS = {"doubled": ["look?", "think", "2 * ___"], "count": ["look?", "think", "3 * ___"]}
WRONG = """
from minipeft.course.wrong_answers import WrongAnswer

WRONG = [
    WrongAnswer("the factor is squared", "doubled", [("2 * x", "4 * x")]),
    WrongAnswer("rows and columns are added", "count", [("3 * 5", "3 + 5")]),
]
"""


@pytest.fixture
def lessons(tmp_path, monkeypatch):
    """A course of one chapter in a folder of its own, with its known wrong answers."""
    folder = tmp_path / "lessons" / "07_sample"
    folder.mkdir(parents=True)
    for name, text in (("exercise.py", STUB), ("solution.py", SOLUTION), ("test_exercise.py", TESTS)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "hints.json").write_text(json.dumps(HINTS), encoding="utf-8")
    (folder / "README.md").write_text("# 07. Sample: twice as much\n", encoding="utf-8")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "07_sample.py").write_text(WRONG, encoding="utf-8")
    monkeypatch.setattr("minipeft.course.wrong_answers.WRONG_ANSWERS", tmp_path / "wrong")
    wrong_answers.cache_clear()
    yield tmp_path / "lessons"
    wrong_answers.cache_clear()


def message(lessons, test, code):
    """What the student reads whose answer is `code`."""
    chapter = find_chapter("7", lessons)
    (chapter.folder / "exercise.py").write_text(code, encoding="utf-8")
    state, text = judge(chapter, load_exercise(chapter.folder / "exercise.py"))[test]
    assert state == "wrong"
    return text


DOUBLED = "test_doubled_doubles_every_number"


def test_an_untouched_stub_is_to_do(lessons):
    assert exercise_states(find_chapter("7", lessons)) == {"doubled": "to do", "count": "to do"}


def test_the_solution_is_done(lessons):
    chapter = find_chapter("sample", lessons)
    assert {state for state, _ in judge(chapter, chapter.answers("solution.py")).values()} == {"done"}


def test_a_wrong_answer_gets_four_lines_that_name_the_mistake(lessons):
    assert message(lessons, DOUBLED, SOLUTION.replace("2 * x", "x * 2 * 2")).splitlines() == [
        "What should hold: y = 2 x",
        "Inputs: x (2, 3), factor = 2",
        "Got 20 instead of 10 at [1, 2], the worst of 6 numbers (5 are wrong).",
        'This is what you get when the factor is squared; see "The mathematics" in lessons/07_sample/README.md',
    ]


@pytest.mark.parametrize(
    "line, third, fourth",
    [
        ("return 3 * x", "Got 15 instead of 10 at [1, 2]", "Every number is 1.5 times what it should be; see"),
        ("2 * x", "Got None instead of a tensor", "is a `return` missing?"),
        ("return (2 * x).T", "Got the shape (3, 2) instead of (2, 3)", "in another order, the numbers are right"),
        ("return (2 * x).tolist()", "Got a list instead of a tensor of shape (2, 3)", 'See "The mathematics"'),
        ("return x / 0 * 0", "Got nan instead of 0 at [0, 0]", "6 of 6 numbers are not finite"),
        ("return -2 * x", "Got -10 instead of 10 at [1, 2]", "Every number has the other sign"),
        ("return x", "Got 5 instead of 10 at [1, 2]", "This is `x` as it was given"),
        ("return 2 * x + 1", "Got 1 instead of 0 at [0, 0]", "Every number is too large by 1"),
        ("return 2 * x[:1].repeat(2, 1)", "Got 0 instead of 6 at [1, 0]", "All rows are alike"),
        ("return (2 * x).half()", "Got numbers of type float16 instead of float32", 'ee "The'),
        ("return x @ x", "Got no result but RuntimeError: mat1 and mat2", "The code stops there"),
        ("return x.doubled()", "(line 4 of exercise.py: return x.doubled())", "The code stops there"),
        ("x += x; return x", "The value is right, but `doubled(x)` changes its argument `x` in place.", 'See "The'),
        ("torch.rand(1); return 2 * x", "the random state of the whole program is moved (that of torch)", 'See "The'),
        ("raise SystemExit", "the answer ends Python with exit() or sys.exit() (line 4)", 'See "The'),
        ("return doubled(x)", "it calls itself without an end (line", 'See "The'),
        ("return [one for one in iter(int, 1)]", "it was stopped at line 4 of exercise.py", 'See "The'),
        ("while True: pass", "it was stopped at line 4 of exercise.py", 'See "The'),
    ],
)
def test_every_kind_of_wrong_result_is_explained(lessons, line, third, fourth, monkeypatch):
    monkeypatch.setattr("minipeft.course.watchdog.STEPS", 20_000)
    code = SOLUTION.replace("return 2 * x", line).replace('"""The reference."""', "import torch")
    lines = message(lessons, DOUBLED, code).splitlines()
    assert len(lines) == 4 and third in lines[2] and fourth in lines[3]


def test_an_exercise_that_was_deleted_is_said_to_be_missing(lessons):
    assert "there is no `doubled` in exercise.py any more" in message(lessons, DOUBLED, "COUNT = 15")


def test_a_number_that_is_wrong_is_named_too(lessons):
    text = message(lessons, "test_count_is_rows_times_columns", SOLUTION.replace("3 * 5", "8"))
    assert "Got 8 instead of 15." in text and "when rows and columns are added" in text


def pytest_in(lessons, capsys, *flags):
    """Pytest on the chapter, with the course's own configuration, in this process: PyTorch is loaded already."""
    for name in ("conftest.py", "pytest.ini"):
        (lessons / name).write_bytes((LESSONS / name).read_bytes())
    status = pytest.main(["-p", "no:cacheprovider", str(lessons / "07_sample"), *flags])
    return status, capsys.readouterr().out


def test_pytest_tells_to_do_from_wrong_and_done(lessons, capsys):
    status, text = pytest_in(lessons, capsys)
    assert status == 1 and "2 to do" in text and "failed" not in text
    assert "07_sample            to do  to do 2 (doubled, count)" in text
    status, text = pytest_in(lessons, capsys, "--solutions")
    assert status == 0 and "2 passed" in text and "07_sample            done   done 2" in text
    (lessons / "07_sample" / "exercise.py").write_text(
        STUB.replace("raise NotImplementedError", "return 3 * x"), encoding="utf-8"
    )
    status, text = pytest_in(lessons, capsys)
    assert status == 1 and "1 failed, 1 to do" in text and "wrong 1 (doubled), to do 1 (count)" in text
    assert "Got 15 instead of 10" in text and "Traceback" not in text and "def test_" not in text
    (lessons / "07_sample" / "exercise.py").write_text("def (", encoding="utf-8")
    status, text = pytest_in(lessons, capsys)
    assert status == 1 and text.count("exercise.py does not load: ") == 1 and "(line 1: def ()." in text
    assert "wrong 2" in text and "2 not loaded" in text and "failed" not in text


def test_progress_is_recomputed_from_the_tests(lessons, capsys):
    assert main(["progress", "--lessons", str(lessons)]) == 0
    assert "to do 2 (doubled, count)" in capsys.readouterr().out
    (lessons / "07_sample" / "exercise.py").write_text(SOLUTION.replace("3 * 5", "3 + 5"), encoding="utf-8")
    assert main(["progress", "--lessons", str(lessons)]) == 0
    text = capsys.readouterr().out
    assert "07_sample            wrong  done 1, wrong 1 (count)" in text and "1 of 2 exercises done" in text


@pytest.mark.parametrize(
    "code, sentence",
    [
        ("def (", "(line 1: def ()."),
        ("x = 1\n  y = 2", "exercise.py does not load: unexpected indent (line 2: y = 2)."),
        ("import torch\nx = torch.nothing", "has no attribute 'nothing' (line 2: x = torch.nothing)."),
        ("exit()", "it ends Python with exit() (line 1: exit())."),
        ("while True: pass", "it was stopped at line 1 of exercise.py."),
        (b"\xff", "it is not text in UTF-8."),
    ],
)
def test_an_exercise_file_that_does_not_load_is_one_sentence_and_uses_no_hint_up(
    code, sentence, lessons, capsys, monkeypatch
):
    monkeypatch.setattr("minipeft.course.watchdog.STEPS", 20_000)
    code = code if isinstance(code, bytes) else code.encode()
    (lessons / "07_sample" / "exercise.py").write_bytes(code)
    with pytest.raises(DoesNotLoad):
        exercise_states(find_chapter("7", lessons))
    assert main(["progress", "7", "--lessons", str(lessons)]) == 0
    text = capsys.readouterr().out
    assert text.count("does not load") == 1 and sentence in text and "wrong 2 (doubled, count)" in text
    for asked in (("hint", "7"), ("hint", "7", "doubled")):
        assert sentence in refusal(capsys, *asked, "--lessons", str(lessons))
    assert not (lessons.parent / "runs").exists(), "no hint was given"


def test_half_a_gap_is_to_do_and_the_rest_is_judged(lessons):
    chapter = find_chapter("7", lessons)
    for code in ("COUNT = 3 * ...", "COUNT = round((... - 2) ** 2 // 3)", "COUNT = (3 * ..., 5)"):
        text = SOLUTION.replace("COUNT = 3 * 5", code)
        (chapter.folder / "exercise.py").write_text(text, encoding="utf-8")
        assert exercise_states(chapter) == {"doubled": "done", "count": "to do"}
    (chapter.folder / "exercise.py").write_text(SOLUTION.replace("2 * x", "... * x"), encoding="utf-8")
    assert exercise_states(chapter) == {"doubled": "to do", "count": "done"}


def test_hints_come_one_after_another_and_then_the_last_again(lessons):
    chapter, given = find_chapter("7", lessons), lessons / "given.json"
    hints = [next_hint(chapter, "doubled", given) for _ in range(4)]
    assert hints == [(1, "look?"), (2, "think"), (3, "2 * ___"), (3, "2 * ___")]
    assert next_hint(chapter, "count", given) == (1, "look?"), "each exercise has its own"


def test_hints_can_be_read_again(lessons, capsys):
    def ask(*words):
        status = main(["hint", "7", *words, "--lessons", str(lessons)])
        return status, capsys.readouterr()

    assert "No hint has been given for 07_sample yet" in ask("--again")[1].err
    ask("doubled"), ask("count"), ask("count")
    assert ask("--again")[1].out == "07_sample, count, hint 2 of 3: think\n", "that of the last exercise asked about"
    assert ask("--all")[1].out.splitlines() == [
        "07_sample, count, hint 1 of 3: look?",
        "07_sample, count, hint 2 of 3: think",
    ]
    assert ask("doubled", "--all")[1].out == "07_sample, doubled, hint 1 of 3: look?\n"
    assert ask("doubled")[1].out == "07_sample, doubled, hint 2 of 3: think\n", "reading again uses none up"
    (lessons / "07_sample" / "exercise.py").write_text("def (", encoding="utf-8")
    assert ask("--again")[1].out == "07_sample, doubled, hint 2 of 3: think\n", "also where the file does not load"
    assert ask("tripled", "--all")[0] == 2


def test_the_hint_is_for_the_first_exercise_that_is_not_done(lessons, capsys):
    assert main(["hint", "7", "--lessons", str(lessons)]) == 0
    assert "07_sample, doubled, hint 1 of 3: look?" in capsys.readouterr().out
    (lessons / "07_sample" / "exercise.py").write_text(SOLUTION.replace("3 * 5", "..."), encoding="utf-8")
    assert main(["hint", "7", "--lessons", str(lessons)]) == 0
    assert "count, hint 1 of 3" in capsys.readouterr().out
    (lessons / "07_sample" / "exercise.py").write_text(SOLUTION, encoding="utf-8")
    assert main(["hint", "7", "--lessons", str(lessons)]) == 0
    assert "are done" in capsys.readouterr().out
    assert main(["hint", "7", "tripled", "--lessons", str(lessons)]) == 2
    assert "only doubled, count" in capsys.readouterr().err


def test_a_chapter_is_found_by_number_or_name(lessons):
    assert {find_chapter(text, lessons).number for text in ("7", "07", "sample", "07_sample")} == {7}
    with pytest.raises(UserError, match="07_sample"):
        find_chapter("8", lessons)
    assert [chapter.folder.name for chapter in chapters(lessons)] == ["07_sample"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "[" * 100_000, '{"doubled": "x"}', '{"doubled": []}', '{"doubled": [1]}']
)
def test_broken_hints_of_a_chapter_are_one_sentence(content, lessons, capsys):
    (lessons / "07_sample" / "hints.json").write_text(content, encoding="utf-8")
    for command in ("hint", "progress"):
        assert "git checkout" in refusal(capsys, command, "7", "--lessons", str(lessons))


def test_a_broken_memory_of_hints_is_one_sentence_and_odd_counts_begin_anew(lessons, capsys):
    given = lessons.parent / "runs" / "lessons" / "hints.json"
    given.parent.mkdir(parents=True)
    for content in ("", "{", "[]", "null"):
        given.write_text(content, encoding="utf-8")
        assert "delete it" in refusal(capsys, "hint", "7", "doubled", "--lessons", str(lessons))
        assert given.read_text(encoding="utf-8") == content
    for count in ("-1", '"x"', "true", "null", "1.5"):
        given.write_text(f'{{"07_sample/doubled": {count}}}', encoding="utf-8")
        assert main(["hint", "7", "doubled", "--lessons", str(lessons)]) == 0
        assert "hint 1 of 3: look?" in capsys.readouterr().out


def test_tests_that_cannot_be_run_are_one_sentence_and_an_answer_that_leaves_is_wrong(lessons, capsys):
    (lessons / "07_sample" / "exercise.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    assert main(["progress", "7", "--lessons", str(lessons)]) == 0
    assert "wrong" in capsys.readouterr().out
    (lessons / "07_sample" / "test_exercise.py").write_text("def test_(:", encoding="utf-8")
    (lessons / "07_sample" / "exercise.py").write_text("", encoding="utf-8")
    assert "cannot be run" in refusal(capsys, "progress", "7", "--lessons", str(lessons))


def test_a_folder_without_a_text_is_a_planned_chapter(lessons, capsys):
    (lessons / "11_planned").mkdir()
    (lessons / "11_planned" / "experiment.py").touch()
    assert [chapter.folder.name for chapter in chapters(lessons)] == ["07_sample"]
    assert main(["progress", "11", "--lessons", str(lessons)]) == 2
    assert "no chapter '11'; there are 07_sample" in capsys.readouterr().err


def test_a_test_is_about_the_longest_name_that_it_starts_with(lessons):
    chapter = Chapter(lessons / "07_sample")
    (chapter.folder / "hints.json").write_text(
        json.dumps({"merge": ["look"], "merge_back": ["look"]}), encoding="utf-8"
    )
    assert chapter.exercise_of("test_merge_back_restores") == "merge_back"
    assert "not run 1" in chapter_line(chapter, {"merge": "done"})
    with pytest.raises(ValueError, match="no exercise"):
        chapter.exercise_of("test_split_is_even")


@pytest.mark.parametrize("edits", [[("tripled", "x")], [("x", "y")]])
def test_an_edit_that_does_not_fit_once_is_refused(edits):
    with pytest.raises(ValueError, match="times in the solution"):
        WrongAnswer("a mistake", "doubled", edits).applied_to(SOLUTION)


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    "got, expected, phrase",
    [
        (1, 1.0, None),
        (torch.tensor(2.0), 2, None),
        (1.0 + 1e-7, 1.0, None),
        (1.1, 1.0, "1.1 instead of 1"),
        (True, 1, "True instead of the number 1"),
        (1, True, "1 instead of True"),
        (torch.tensor(True), True, None),
        ("a", "b", "'a' instead of 'b'"),
        (nan, 1.0, "nan instead of 1"),
        (inf, inf, None),
        ([1, 2], (1, 2), None),
        ([1], (1, 2), "a list of 1 instead of 2"),
        ([1, 3], (1, 2), "in item 1: 3 instead of 2"),
        ({"a": 1}, {"b": 1}, "a dict with the keys ['a'] instead of ['b']"),
        ({"a": [1, 5]}, {"a": [1, 2]}, "for 'a', in item 1: 5 instead of 2"),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), None),
        (torch.tensor([-inf, 0.0]), torch.tensor([-inf, 0.0]), None),
        (torch.tensor([nan]), torch.tensor([nan]), None),
        (torch.tensor([0.0, inf]), torch.tensor([0.0, 1.0]), "inf instead of 1 at [1], the worst of 2 numbers"),
        (torch.zeros(0), torch.zeros(2), "the shape (0,) instead of (2,)"),
        (numpy.int64(3), 3, None),
        (numpy.float32(0.5), 0.5, None),
        (numpy.bool_(True), True, None),
        (Fraction(3, 2), 1.5, None),
        (Fraction(6, 2), 3, None),
        (torch.nn.Parameter(torch.ones(2)), torch.ones(2), None),
        (torch.ones(2, dtype=torch.float64), torch.ones(2), None),
        (torch.ones(2, dtype=torch.int32), torch.ones(2, dtype=torch.int64), None),
        (2.5, torch.tensor(2.5), None),
        (torch.ones(2).half(), torch.ones(2), "numbers of type float16 instead of float32"),
        (torch.ones(2), torch.ones(2, dtype=torch.int64), "numbers of type float32 instead of int64"),
        (torch.ones(2), torch.tensor([True, True]), "numbers of type float32 instead of bool"),
        (torch.ones(2, dtype=torch.int64), torch.tensor([True, True]), "numbers of type int64 instead of bool"),
        (None, 3, "None instead of the number 3"),
        (3, None, "3 instead of None"),
    ],
)
def test_differences_are_found_and_put_into_words(got, expected, phrase):
    found = difference(got, expected, 1e-5)
    assert found is None if phrase is None else phrase in found


def test_values_that_look_alike_are_shown_in_full():
    assert difference(1.00000001, 1.0, 0) == "1.00000001 instead of 1.0"
    assert difference(2**60 + 1, 2**60, 0) == f"{2**60 + 1} instead of {2**60}"


def test_a_not_implemented_that_comes_from_elsewhere_is_wrong_not_to_do(lessons):
    answers = find_chapter("7", lessons).answers("solution.py")

    def other(answers):
        raise NotImplementedError

    said = {"holds": "x", "inputs": {}, "section": "The code"}
    with pytest.raises(WrongResult, match="NotImplementedError"):
        check(answers, other, 1, **said)
    with pytest.raises(ToDo):
        check(answers, lambda answers: [1, ...], [1, 2], **said)
    with pytest.raises(ToDo):
        check(answers, lambda answers: 2 * ..., 2, **said)


@pytest.mark.parametrize(
    "body, holds",
    [
        ("def f(x):\n    y = 2 * x\n", True),
        ("y = 2 * x\nreturn y\n", True),
        ("def f(x):\n    ...\n    return y\n", True),
        ("...\ndef g(x):\n", True),
        ("def f(x):\n    return y\n", False),
        ("def g(x):\n...\ndef f(x):\n", False),
        ("y = 2 * x\n    return y\n", False),
    ],
)
def test_an_excerpt_is_lines_of_the_file_in_their_order(body, holds):
    assert is_excerpt(body, "def f(x):\n    y = 2 * x\n    return y\n\n\ndef g(x):\n    return x\n") == holds


RESULTS = {"numbers": {"score": 98.64, "small": 1.234e-5, "loss": -0.31, "count": 46848}}


@pytest.mark.parametrize(
    "text, complaints",
    [
        ("98.6<!-- score -->% and 98.6%<!-- score --> and **98.64<!-- score -->**", 0),
        ("46,848<!-- count --> and 46,848<!-- = 8 * (48 + 96) * 2 + 44544 -->", 0),
        ("1.23e-5<!-- small -->, −0.31<!-- loss -->, -0.3<!-- loss -->", 0),
        ("37.5<!-- paper: Hu et al. 2021, table 4 -->", 0),
        ("T5 v1.1, GPT-3, t5-0.8m, `98.6`, 12 of 13, in 2021, arXiv:2106.09685, [x](a/99.9)", 0),
        ("a comment <!-- of 98.6 --> is not read", 0),
        ("98.7<!-- score -->", 1),
        ("98.6", 1),
        ("12%", 1),
        ("600 steps", 1),
        ("5<!-- nothing -->", 1),
        ("5.0<!-- = __import__('os').getcwd() -->", 1),
        ("37.5<!-- paper: Hu et al., table 4 -->", 1),
        ("0.3<!-- loss -->", 1),
    ],
)
def test_numbers_are_held_to_what_their_marks_say(text, complaints):
    assert len(number_problems(text, RESULTS)) == complaints


def test_code_of_a_chapter_is_run_and_its_output_compared():
    good = "```python\nx = 2\nprint(x)\n```\n\n```text\n2\n```\n\n```python\nassert x == 2\n```\n"
    assert code_problems(good) == []
    assert len(code_problems(good.replace("text\n2", "text\n3"))) == 1
    assert "NameError" in code_problems(good.replace("x = 2", "y = 2"))[0]


def test_tables_are_filled_from_the_results():
    results = {"tables": {"ranks": {"columns": ["rank", "score"], "rows": [["1", "98.6"], ["16", "9"]]}}}
    text = "before\n\n[//]: # (table ranks)\n\n| old |\n|---|\n\nbehind\n"
    filled = fill(text, results)
    assert "| rank | score |\n|------|------:|\n| 1    |  98.6 |\n| 16   |     9 |\n\nbehind" in filled
    assert fill(filled, results) == filled


def test_the_linter_says_what_is_missing(lessons):
    chapter = find_chapter("7", lessons)
    (chapter.folder / "hints.json").rename(chapter.folder / "kept.json")
    assert problems(chapter) == ["there is no hints.json"]
    (chapter.folder / "kept.json").rename(chapter.folder / "hints.json")
    (chapter.folder / "README.md").write_text(
        "# 7. Sample\n\n## The question\n\nWhy 98.6?\n\n```math\ny = f x\n```\n\n[away](nothing.md) ![x](a.png)\n",
        encoding="utf-8",
    )
    (chapter.folder / "test_exercise.py").write_text(
        TESTS + "\n\ndef test_count_again(answers):\n    answers.COUNT == 15\n", encoding="utf-8"
    )
    text = "\n".join(problems(chapter))
    for words in ("the title", "the sections", "words are not from", "98.6 has no mark", "not explained: f, x, y",
                  "link to nothing.md", "alt text of a.png", "test_count_again checks nothing",
                  "compares and does nothing", "does not speak of `doubled`"):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    "before, after, complaint",
    [
        ("", "", None),
        ("Chapter 07", "Chapter 08", "exercise.py does not open"),
        ("hint 07", "hint 7", "exercise.py does not open"),
        ("Letters: x", "x", "exercise.py does not open"),
        ("Implement: 2 x", "2 x", "doubled in exercise.py does not begin with its kind"),
        ("Implement: 2 x", "Extend: 2 x", "does not say '`doubled` (extend): ...'"),
        ("# Predict: how", "# how", "count in exercise.py does not begin with its kind"),
        ("# Predict: how", "# Prove: how", "does not say '`count` (prove): ...'"),
        (
            "NotImplementedError\n\n",
            "NotImplementedError  # remove this line, then find the mistake below\n",
            "and no other",
        ),
    ],
)
def test_every_exercise_has_one_form(lessons, before, after, complaint):
    chapter = find_chapter("7", lessons)
    (chapter.folder / "README.md").write_text(
        "1. `doubled` (implement): twice.\n2. `COUNT` (predict): by hand.\n", encoding="utf-8"
    )
    assert form_problems(chapter) == []
    (chapter.folder / "exercise.py").write_text(STUB.replace(before, after) if before else STUB, encoding="utf-8")
    found = form_problems(chapter)
    assert len(found) == (complaint is not None) and all(complaint in problem for problem in found)


def test_an_experiment_writes_results_that_its_summary_gives_again(tmp_path, monkeypatch):
    monkeypatch.setattr("minipeft.course.experiment.ROOT", tmp_path)
    file = tmp_path / "07_sample" / "experiment.py"
    file.parent.mkdir()

    def runs(args):
        return {"scores": {rank: rank * args.seeds for rank in (1, 2)}}

    (file.parent / "tables.py").write_text(
        "def summary(measured):\n"
        "    rows = [[rank, str(score)] for rank, score in measured['scores'].items()]\n"
        "    best = max(measured['scores'].values())\n"
        "    return {'ranks': {'columns': ['rank', 'score'], 'rows': rows}}, {'best': best}\n",
        encoding="utf-8",
    )
    experiment.main(str(file), runs, ["--quick"])
    assert not (file.parent / "results.json").exists(), "a quick look leaves nothing behind"
    experiment.main(str(file), runs, ["--seeds", "6"])
    results = json.loads((file.parent / "results.json").read_text(encoding="utf-8"))
    assert results["numbers"] == {"best": 12} and results["runs"]["scores"] == {"1": 6, "2": 12}
    assert results["seeds"] == 6 and results["command"].endswith("experiment.py --seeds 6 --device cpu")


def test_every_figure_has_a_function_that_draws_it(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib (extra [plots])")
    (tmp_path / "figures.py").write_text(
        "from matplotlib import pyplot\n\ndef draw_scores(measured):\n"
        "    figure, axes = pyplot.subplots(figsize=(4, 2))\n    axes.plot(measured['scores'])\n    return figure\n",
        encoding="utf-8",
    )
    (drawn,) = draw_figures(tmp_path, {"scores": [1, 2]}, tmp_path / "figures")
    assert drawn == tmp_path / "figures" / "scores.png" and drawn.read_bytes().startswith(b"\x89PNG")
    width, height = (int.from_bytes(drawn.read_bytes()[place : place + 4]) for place in (16, 20))
    assert (width, height) == (600, 300), "150 dots an inch"


def test_parts_of_a_summary_are_put_together():
    content = experiment.table(["rank"], [[1], [2]])
    assert experiment.together({"a": (content, {"x": 1}), "b": (content, {"y": 2})}) == (
        {"a": {"columns": ["rank"], "rows": [[1], [2]]}, "b": content},
        {"x": 1, "y": 2},
    )


def test_a_part_that_was_measured_is_kept(tmp_path):
    args, calls = Namespace(out=tmp_path), []

    def measure():
        calls.append(1)
        return {1: "one"}

    assert [experiment.kept(args, "part", measure) for _ in range(2)] == [{"1": "one"}] * 2 and calls == [1]


def test_a_race_of_a_chapter_takes_rates_that_were_chosen_on_another_task(tmp_path, monkeypatch):
    told = {}

    def pretend(base, entries, seeds, workers, **settings):
        told.update(settings)
        return dict.fromkeys(("rows", "learning_rates", "sweep", "sweep_runs", "settings", "chance", "commits"))

    monkeypatch.setattr("minipeft.racing.race.race", pretend)
    args = experiment.parser("a test").parse_args([])
    args.out, args.workers = tmp_path, 1
    experiment.race("ranks", ["lora"], "t5-0.8m", "topic", args)
    assert told == {"tune": True, "rates": None}
    experiment.race("ranks", ["lora"], "t5-0.8m", "sentiment", args, rates={"lora": 0.01})
    assert told == {"tune": False, "rates": {"lora": 0.01}}


def test_a_race_of_a_chapter_tunes_every_row_alike(tmp_path, monkeypatch):
    asked, rates = [], {"lora": 1e-2, "houlsby": 1e-3}  # neither is the suggested one

    def pretend(specs, workers, description, done=None):
        asked.append(specs)
        return [{"spec": {"label": spec.row}, "dev": 100 * (spec.learning_rate == rates[spec.method]),
                 "test": 50.0 + spec.seed, "chance": 10.0, "metric": "accuracy",
                 "trained_parameters": 5, "total_parameters": 100, "adapter_bytes": 1,
                 "provenance": {"commit": "c"}}
                for spec in specs]  # fmt: skip

    for name in ("minipeft.racing.race.run_all", "minipeft.racing.sweep.run_all"):
        monkeypatch.setattr(name, pretend)
    monkeypatch.setattr("minipeft.racing.race.forecast", lambda specs, workers: "soon")
    args = experiment.parser("a test").parse_args(["--seeds", "3"])
    args.out, args.workers = tmp_path, 1
    outcome = experiment.race("ranks", ["low=lora:rank=1", "houlsby"], "t5-0.8m", "topic", args, steps=30)
    first, further, runs = asked  # every rate with one seed, those worth it with two more, the race
    assert Counter(spec.row for spec in first) == {"low": 4, "houlsby": 4}
    assert {(spec.row, spec.learning_rate, spec.seed) for spec in further} == {
        (row, rate, seed) for row, rate in (("low", 1e-2), ("houlsby", 1e-3)) for seed in (1001, 1002)
    }
    assert {spec.split for spec in (*first, *further)} == {"dev"}
    assert Counter(spec.row for spec in runs) == {"low": 3, "houlsby": 3} and {spec.steps for spec in runs} == {30}
    assert outcome["learning_rates"] == {"low": 1e-2, "houlsby": 1e-3}
    assert {spec.learning_rate for spec in runs} == set(rates.values())
    assert [row["scores"] for row in outcome["rows"]] == [[50.0, 51.0, 52.0]] * 2 and outcome["commits"] == ["c"]
    assert outcome["rows"][0]["of_full"] is None and json.dumps(outcome, allow_nan=False)
    begun = tmp_path / "ranks" / "runs" / "low-seed0" / "resume.pt"
    begun.parent.mkdir(parents=True)
    begun.touch()
    experiment.race("ranks", ["houlsby"], "t5-0.8m", "topic", args, steps=30)
    assert begun.exists(), "rows may come and go"
    experiment.race("ranks", ["houlsby"], "t5-0.8m", "topic", args, steps=40)
    assert not begun.exists(), "a run of other settings cannot be gone on with"
