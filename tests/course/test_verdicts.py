"""How an exercise is judged as a whole: names, laws, provers, the watchdog, and answers that call the library."""

import json
import random
import sys

import pytest
import torch

from minipeft.course.chapters import Chapter, load_answers
from minipeft.course.checks import ToDo, WrongResult, check
from minipeft.course.facts import facts
from minipeft.course.given_away import given_away
from minipeft.course.library_use import answered_by_library
from minipeft.course.loading import load_exercise
from minipeft.course.progress import exercise_states, judge
from minipeft.course.provers import prove
from minipeft.course.watchdog import EndlessLoop, watchdog
from minipeft.course.wrong_answers import wrong_answers

SOLUTION = """
def counts(number):
    return number + 1, 2 * number


def check_double(double):
    for number in (3, -2):
        assert double(number) == 2 * number
"""
TESTS = """
from minipeft.course.checks import check
from minipeft.course.provers import prove

def judged(answers, numbers, expected):
    check(answers, lambda answers: [answers.counts(n) for n in numbers], expected,
          holds="n + 1 and 2 n", inputs={"n": numbers}, section="The code", tolerance=0)

def test_counts_of_small_numbers(answers):
    judged(answers, [2, 5], [(3, 4), (6, 10)])

def test_counts_of_large_numbers(answers):
    judged(answers, [10], [(11, 20)])

def test_counts_of_nothing(answers):
    judged(answers, [0], [(1, 0)])

def test_check_double_tells_right_from_wrong(answers):
    prove(answers, "check_double",
          {"n + n": lambda n: n + n, "2 n": lambda n: 2 * n},
          {"n": lambda n: n, "n squared less n": lambda n: n * n - n, "nothing": lambda n: None},
          holds="a right one passes", section="The code")
"""
WRONG = """
from minipeft.course.wrong_answers import WrongAnswer

WRONG = [
    WrongAnswer("the one is forgotten", "counts", [("number + 1,", "number,")]),
    WrongAnswer("the second is squared", "counts", [("number + 1, 2 * number", "number + 1, number**2")]),
    WrongAnswer("the second is a power", "counts", [("number + 1, 2 * number", "number + 1, number * number")]),
    WrongAnswer("the two stand the other way round", "counts", [("number + 1, 2 * number", "2 * number, number + 1")]),
    WrongAnswer("it is told too much", "counts", [("def counts(number)", "def counts(number, more)")]),
]
"""


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A chapter of two exercises: one function, one test that a student writes."""
    folder = tmp_path / "lessons" / "07_sample"
    folder.mkdir(parents=True)
    (folder / "solution.py").write_text(SOLUTION, encoding="utf-8")
    (folder / "test_exercise.py").write_text(TESTS, encoding="utf-8")
    (folder / "hints.json").write_text(json.dumps({"counts": ["?"], "check_double": ["?"]}), encoding="utf-8")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "07_sample.py").write_text(WRONG, encoding="utf-8")
    monkeypatch.setattr("minipeft.course.wrong_answers.WRONG_ANSWERS", tmp_path / "wrong")
    wrong_answers.cache_clear()
    yield Chapter(folder)
    wrong_answers.cache_clear()


def messages(chapter, code):
    """What is said about an answer that has `code` in place of one of the solution's functions."""
    (chapter.folder / "exercise.py").write_text(f"{SOLUTION}\n\n{code}\n", encoding="utf-8")
    judged = judge(chapter, load_exercise(chapter.folder / "exercise.py"))
    return [said for _, said in judged.values() if said], [state for state, _ in judged.values()]


def test_an_exercise_has_one_message_and_counts_its_other_failing_tests(chapter):
    said, states = messages(chapter, "def counts(number):\n    return number, 2 * number")
    assert states == ["wrong", "wrong", "wrong", "done"] and len(said) == 1
    assert said[0].splitlines() == [
        "What should hold: n + 1 and 2 n",
        "Inputs: n = [2, 5]",
        "`counts(2)` gave (2, 4) instead of (3, 4).",
        'This is what you get when the one is forgotten; see "The code" in lessons/07_sample/README.md',
        "2 more of its tests fail.",
    ]


def test_a_mistake_is_named_only_where_every_test_comes_out_as_with_it(chapter):
    said, _ = messages(chapter, "def counts(number):\n    return number if number < 7 else 5, 2 * number")
    assert "This is what you get" not in said[0] and "In item 0: it is one too small" in said[0]
    said, _ = messages(chapter, "def counts(number):\n    return (number + (number > 7)), 2 * number")
    assert "This is what you get" not in said[0], "with that mistake the second test fails, too"
    assert "1 more of its tests fails." in said[0]


def test_two_mistakes_that_come_out_alike_are_both_named(chapter):
    said, _ = messages(chapter, "def counts(number):\n    return number + 1, number ** 2")
    assert "when the second is squared, or when the second is a power;" in said[0]


def test_after_an_endless_loop_the_other_tests_are_not_waited_for(chapter, monkeypatch):
    monkeypatch.setattr("minipeft.course.watchdog.STEPS", 20_000)
    said, states = messages(chapter, "def counts(number):\n    while True: number += 1")
    assert states == ["wrong", "wrong", "wrong", "done"] and "stopped at line 12 of exercise.py" in said[0]
    assert len(said) == 1 and "more of its tests" not in said[0]


def test_an_exception_names_no_mistake(chapter):
    said, _ = messages(chapter, "def counts(number, other):\n    return number + other, 2 * number")
    assert "TypeError: counts() missing 1 required positional argument" in said[0] or "cannot go on" in said[0]
    assert "This is what you get" not in said[0]


def test_what_the_test_cannot_go_on_with_is_told_by_what_it_is(chapter, tmp_path):
    (tmp_path / "exercise.py").write_text("def f(x):\n    return None", encoding="utf-8")
    answers = load_exercise(tmp_path / "exercise.py")
    with pytest.raises(WrongResult, match=r"`f\(3\)` gave None, with which the test cannot go on"):
        check(answers, lambda answers: answers.f(3) + 1, 4, holds="", inputs={}, section="The code")


@pytest.mark.parametrize(
    "body, words",
    [
        ("assert double(3) == 6", "lets pass, though wrong: n squared less n."),
        ("assert double(3) == 2", "refuses, though right: n + n; 2 n."),
        ("return double(3) == 6 and double(5) == 10", "It returns a value, which nobody looks at: write `assert`"),
        ("assert (double(3) == 6, 'no')", "The assert in line 12 asks about a constant"),
        ("double(3) == 6", "The comparison in line 12 has no `assert` before it"),
        (
            "try:\n        assert double(5) == 10\n    except Exception:\n        pass",
            "The `except` in line 14 swallows",
        ),
        ("assert double(5) + 1 == 11", "stops in place of an assert, with TypeError (unsupported operand"),
        ("while True: pass", "EndlessLoop (it never came to an end; it was stopped at line 12 of exercise.py)"),
        ("exit()", "stops in place of an assert, with SystemExit"),
    ],
)
def test_a_students_test_is_judged_by_all_that_it_lets_through_and_refuses(chapter, body, words, monkeypatch):
    monkeypatch.setattr("minipeft.course.watchdog.STEPS", 20_000)
    said, _ = messages(chapter, f"def check_double(double):\n    {body}")
    assert words in said[0]


def test_a_students_test_that_draws_has_the_same_verdict_each_time(tmp_path):
    (tmp_path / "exercise.py").write_text(
        "import random, torch\ndef law(f):\n    assert random.random() + float(torch.rand(1)) < f", encoding="utf-8"
    )
    answers, before = load_exercise(tmp_path / "exercise.py"), (random.getstate(), torch.get_rng_state())
    right, wrong = {"2": 2.0}, {"0": 0.0, **{str(one): 1 + one / 9 for one in range(8)}}

    def verdict():
        with pytest.raises(WrongResult) as said:
            prove(answers, "law", right, wrong, holds="", section="The code")
        return str(said.value)

    assert len({verdict() for _ in range(5)}) == 1
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_a_name_that_is_something_else_is_told_by_what_it_is(tmp_path):
    (tmp_path / "exercise.py").write_text("COUNTS = [1, 2]", encoding="utf-8")
    answers = load_exercise(tmp_path / "exercise.py")
    with pytest.raises(WrongResult, match=r"`COUNTS` is \[1, 2\], with which the test cannot go on"):
        check(answers, lambda answers: answers.COUNTS["small"], 4, holds="", inputs={}, section="The code")


def test_a_part_of_a_prediction_that_was_deleted_is_said_to_be_missing(tmp_path):
    (tmp_path / "exercise.py").write_text("COUNTS = {'large': 1}", encoding="utf-8")
    answers = load_exercise(tmp_path / "exercise.py")
    with pytest.raises(WrongResult, match="there is no 'small' in `COUNTS` any more"):
        check(answers, lambda answers: answers.COUNTS["small"], 4, holds="", inputs={}, section="The code")


def test_a_wrong_implementation_that_crashes_by_itself_is_caught_and_a_right_one_is_told(tmp_path):
    (tmp_path / "exercise.py").write_text("def law(f):\n    assert f(3) == 9", encoding="utf-8")
    (tmp_path / "test_exercise.py").write_text("def crashes(x):\n    raise ValueError(x)", encoding="utf-8")
    answers = load_exercise(tmp_path / "exercise.py")
    crashes = load_answers(tmp_path / "test_exercise.py").crashes
    prove(answers, "law", {"right": lambda x: x * x}, {"crashes": crashes}, holds="", section="The code")
    with pytest.raises(WrongResult, match=r"stops in place of an assert, with ValueError \(3\) at line 2"):
        prove(answers, "law", {"right": crashes}, {"wrong": lambda x: x}, holds="", section="The code")


def test_a_students_test_that_compares_with_a_gap_is_to_do(tmp_path):
    (tmp_path / "exercise.py").write_text("def law(f):\n    assert f(3) == ...", encoding="utf-8")
    answers = load_exercise(tmp_path / "exercise.py")
    with pytest.raises(ToDo):
        prove(answers, "law", {"right": lambda x: x * x}, {"wrong": lambda x: x}, holds="", section="The code")


def test_laws_that_every_answer_keeps(tmp_path):
    code = """
import random, torch

def scaled(x, factor):
    return factor * x

def cut(x, factor):
    return factor * x.detach()

def rooted(x, factor):
    return factor * x.square().sqrt() * x.sign()

def half_cut(x, factor):
    return (factor - 1) * x + x.detach()

def stepped(x, factor):
    return factor * x + (x > 0.5).float() - (x > 0.5).float()

def marked(x, factor):
    return factor * x.requires_grad_().detach()

def drawn(generator):
    return random.Random(0).random()
"""
    (tmp_path / "exercise.py").write_text(code, encoding="utf-8")
    answers = load_exercise(tmp_path / "exercise.py")
    x, said = torch.tensor([0.0, 1.0]), {"holds": "", "inputs": {}, "section": "The code"}
    check(answers, lambda answers: answers.scaled(x, 2.0), 2 * x, trained=("x",), **said)
    with pytest.raises(WrongResult, match="no gradient reaches `x`: what `cut` returns is cut off"):
        check(answers, lambda answers: answers.cut(x, 2.0), 2 * x, trained=("x",), **said)
    check(answers, lambda answers: answers.stepped(x, 2.0), 2 * x, trained=("x",), **said)
    with pytest.raises(WrongResult, match="`x` is not that of the value: a part of it is cut off in `half_cut`"):
        check(answers, lambda answers: answers.half_cut(x, 2.0), 2 * x, trained=("x",), **said)
    with pytest.raises(WrongResult, match="changes its argument `x` in place"):
        check(answers, lambda answers: answers.marked(x, 2.0), 2 * x, **said)
    assert not x.requires_grad
    with pytest.raises(WrongResult, match="the gradient of `x` is not finite"):
        check(answers, lambda answers: answers.rooted(x, 2.0), 2 * x, trained=("x",), **said)
    with pytest.raises(WrongResult, match="the generator that is given is never drawn from"):
        generator, value = random.Random(1), random.Random(0).random()
        check(answers, lambda answers: [answers.drawn(generator) for _ in range(30)], [value] * 30, **said)


def test_what_an_answer_changes_is_put_back_for_the_next_test(tmp_path):
    code = """
import random, torch

def spoil(x, items, model):
    x.add_(1)
    items.clear()
    model.weight.data.zero_()
    torch.manual_seed(1)
    random.seed(1)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    raise ValueError

def spoil_and_return(x, items, model):
    try:
        spoil(x, items, model)
    except ValueError:
        return 1
"""
    (tmp_path / "exercise.py").write_text(code, encoding="utf-8")
    x, items, model = torch.ones(2), [1, 2], torch.nn.Linear(2, 2)
    weight = model.weight.detach().clone()
    answers, states = load_exercise(tmp_path / "exercise.py"), (random.getstate(), torch.get_rng_state())
    for run in (lambda a: a.spoil_and_return(x, items, model), lambda a: a.spoil(x, items, model)):
        with pytest.raises(WrongResult):
            check(answers, run, 1, holds="", inputs={}, section="The code")
        assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
        assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
        assert x.tolist() == [1, 1] and items == [1, 2] and torch.equal(model.weight, weight)


def test_a_model_that_is_given_must_keep_its_weights(tmp_path):
    (tmp_path / "exercise.py").write_text(
        "def read(model, x):\n    model.weight.data[0] += 1\n    return x", encoding="utf-8"
    )
    answers, model = load_exercise(tmp_path / "exercise.py"), torch.nn.Linear(2, 2)
    with pytest.raises(WrongResult, match=r"`read\(model, x\)` changes its argument `model` in place"):
        x = torch.ones(2)
        check(answers, lambda answers: answers.read(model, x), x, holds="", inputs={}, section="The code")


def test_a_prediction_is_not_told(tmp_path):
    for guess, words in ((1000, "too large, by a factor of about 3"), (100, "too small, by a factor of about 3"),
                         (-5, "too small, and its sign is the other"),
                         (350, "too large, by less than half"), (330, "too large, but near"),
                         ("x", "not what was asked for")):  # fmt: skip
        (tmp_path / "exercise.py").write_text(f"COUNT = {guess!r}", encoding="utf-8")
        with pytest.raises(WrongResult) as said:
            answers = load_exercise(tmp_path / "exercise.py")
            check(answers, lambda answers: answers.COUNT, 321, holds="", inputs={}, section="The code", secret=True)
        assert words in str(said.value) and "321" not in str(said.value)


@pytest.mark.parametrize(
    "got, expected, fact",
    [
        ([3, 1], [1, 3], "the two are exchanged"),
        ([1, 2], [1, 2, 3], "the last item is missing"),
        ([0, 1, 2, 3], [1, 2, 3], "one item too many stands at the beginning"),
        ([9, 1, 2, 3], [1, 2, 3, 4], "the items stand one place too far back"),
        ([2, 1, 3], [1, 2, 3], "the items are right, but in another order"),
        (4, 3, "it is one too large"),
        (1.5, 6.0, "it is one 4th of what it should be"),
        (torch.tensor([True, False]), torch.tensor([False, True]), "every truth value is the opposite"),
        (torch.zeros(3), torch.ones(3), "every number is zero"),
        (torch.tensor([9.0, 1, 2, 4]), torch.tensor([1.0, 2, 4, 8]), "one place too far back along dimension 0"),
        (torch.ones(2, 3), torch.ones(2, 4), "dimension 1 has one place too few"),
        (torch.tensor([[1.0, 2], [3, 9]]), torch.tensor([[1.0, 2], [3, 4]]), "only row 1 is wrong"),
    ],
)
def test_facts_about_a_wrong_value_are_computed(got, expected, fact):
    assert fact in next(facts(got, expected, {}))


def test_nothing_is_said_where_nothing_can_be_computed():
    assert list(facts(torch.tensor([3.0, -1, 7]), torch.tensor([2.0, 5, 1]), {})) == []
    assert list(facts("a", "b", {})) == [] and list(facts([1, 5, 9], [2, 7, 3], {})) == []


def test_the_watchdog_counts_one_file_and_leaves_a_debugger_alone(monkeypatch):
    monkeypatch.setattr("minipeft.course.watchdog.STEPS", 1000)
    code = compile("for _ in range(10**6): pass", "exercise.py", "exec")
    with pytest.raises(EndlessLoop, match="stopped at line 1 of exercise.py"), watchdog("exercise.py"):
        exec(code)
    with watchdog("another.py"):
        exec(code)
    assert sys.gettrace() is None
    sys.settrace(nothing := lambda *args: None)
    try:
        with watchdog("exercise.py"):
            assert sys.gettrace() is nothing
    finally:
        sys.settrace(None)


def test_an_answer_that_calls_the_library_is_marked(chapter):
    code = (
        "from minipeft.errors import one_line\n\ndef helper(n):\n    one_line(ValueError())\n    return n + 1, 2 * n\n"
    )
    messages(chapter, code + "\ndef counts(number):\n    return helper(number)")
    assert exercise_states(chapter) == {"counts": "done with the library", "check_double": "done"}


@pytest.mark.parametrize(
    "source, found",
    [
        ("from minipeft.a import f\ndef g(x):\n    return f(x)", {"g"}),
        ("def g(x):\n    from minipeft.a import f\n    return f(x)", {"g"}),
        ("import minipeft.a\ndef g(x):\n    return minipeft.a.f(x)", {"g"}),
        ("from minipeft.given import f\ndef g(x):\n    return f(x)", set()),
        ("from minipeft.a import f\ndef g(x):\n    return x", set()),
        ("from minipeft.a import f\nCOUNT = f(3)", {"count"}),
    ],
)
def test_imports_that_the_stub_has_are_not_counted_as_the_library(source, found):
    assert answered_by_library(source, "from minipeft.given import f") == found


STUB = """
def implemented(x):
    \"\"\"Implement: it.\"\"\"
    raise NotImplementedError

def repaired(x):
    \"\"\"Repair: it.\"\"\"
    raise NotImplementedError  # remove this line, then find the mistake below
    return sorted(x[1:]) + [sum(x)] + [len(x), 0]

# Predict: it.
COUNT = ...
"""
ANSWERS = """
def implemented(x):
    return [after - before for before, after in zip(x, x[1:])]

def repaired(x):
    return sorted(x[:-1]) + [sum(x)] + [len(x), 1]

COUNT = 12_345
"""


@pytest.mark.parametrize(
    "text, found",
    [
        ("", []),
        ("```python\nd = [b - a for a, b in zip(y, y[1:])]\n```\n", ["implemented"]),
        ("```python\nd = [b + a for a, b in zip(y, y[1:])]\n```\n", []),
        ("Write `sorted(y[:-1]) + [sum(y)] + [len(y), 1]`.", ["repaired"]),
        ("Not `sorted(y[1:]) + [sum(y)] + [len(y), 0]`.", ["repaired"]),
        ("<details><summary>Answer</summary>`sorted(y[1:]) + [sum(y)] + [len(y), 0]`</details>", []),
        ("There are 12,345 of them.", ["count"]),
        ("There are a few.<!-- = 12345 -->", ["count"]),
        ("There are 112,345 or 12,346 of them.", []),
    ],
)
def test_answers_that_stand_in_the_chapter_are_found(text, found, tmp_path):
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    (tmp_path / "exercise.py").write_text(STUB, encoding="utf-8")
    (tmp_path / "solution.py").write_text(ANSWERS, encoding="utf-8")
    names = {"implemented": [], "repaired": [], "count": []}
    (tmp_path / "hints.json").write_text(json.dumps({name: ["?"] for name in names}), encoding="utf-8")
    assert [problem.partition(":")[0] for problem in given_away(Chapter(tmp_path))] == found
