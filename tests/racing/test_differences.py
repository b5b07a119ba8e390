"""Two rows are compared by the interval of their difference: worked by hand, by brute force, by simulation."""

import json
import math

import numpy as np
import pytest

from minipeft.commands import compare
from minipeft.errors import UserError
from minipeft.flags import ended
from minipeft.racing.differences import Difference, difference, differences, holm, is_fixed, judged
from minipeft.racing.differences_table import main, markdown, told
from minipeft.racing.runs import RunSpec
from minipeft.racing.student_t import two_sided_p, two_sided_point


# Two-sided 5% and 1% points of printed tables.
@pytest.mark.parametrize(
    "freedom, five, one",
    [(1, 12.706, 63.657), (2, 4.303, 9.925), (3, 3.182, 5.841), (4, 2.776, 4.604), (7, 2.365, 3.499),
     (10, 2.228, 3.169), (30, 2.042, 2.750), (120, 1.980, 2.617), (100_000, 1.960, 2.576)],
)  # fmt: skip
def test_the_points_of_student_are_those_of_printed_tables(freedom, five, one):
    assert two_sided_point(freedom) == pytest.approx(five, abs=6e-4)
    assert two_sided_point(freedom, 0.99) == pytest.approx(one, abs=6e-4)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, -2.5, 12.0, 500.0])
def test_with_one_and_two_degrees_of_freedom_p_has_a_closed_form(t):
    assert two_sided_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(abs(t)), abs=1e-9)
    assert two_sided_p(t, 2) == pytest.approx(1 - abs(t) / math.sqrt(2 + t * t), abs=1e-9)


@pytest.mark.parametrize("t, freedom", [(0.7, 2.88), (2.1, 1.4), (3.3, 5.61), (1.2, 44.7)])
def test_p_is_one_minus_the_integral_of_the_density(t, freedom):
    x = np.linspace(-t, t, 200_001)
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)
    density = scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2)
    inside = float((density[1:] + density[:-1]).sum() / 2 * (x[1] - x[0]))
    assert two_sided_p(t, freedom) == pytest.approx(1 - inside, abs=1e-6)


def test_a_difference_paired_by_seed_worked_by_hand():
    """Differences 1, 1, 4: mean 2, variance 3, so a standard error of 1 with two degrees of freedom."""
    found = difference("a", [1, 2, 6], "b", [0, 1, 2], paired=True)
    assert (found.n, found.difference, found.kind) == (3, 2, "paired")
    assert [found.low, found.high] == pytest.approx([2 - 4.302653, 2 + 4.302653], abs=1e-5)
    assert found.p == pytest.approx(1 - 2 / math.sqrt(6))


def test_a_difference_by_welchs_formula_worked_by_hand():
    """Variances 2 of 2 and 4 of 3: squared errors 1 and 4/3, (7/3)^2 / (1/1 + (16/9)/2) = 49/17 degrees of freedom."""
    found = difference("a", [6, 8], "b", [0, 2, 4], paired=False)
    assert (found.n, found.difference, found.kind) == (2, 5, "Welch")
    half = two_sided_point(49 / 17) * math.sqrt(7 / 3)
    assert [found.low, found.high] == pytest.approx([5 - half, 5 + half])
    assert found.p == pytest.approx(two_sided_p(5 / math.sqrt(7 / 3), 49 / 17))


def test_two_rows_of_equal_spread_and_size_have_all_degrees_of_freedom():
    found = difference("a", [1.0, 2.0, 3.0], "b", [11.0, 12.0, 13.0], paired=False)
    assert found.high - found.difference == pytest.approx(two_sided_point(4) * math.sqrt(2 / 3))


def test_pairs_see_what_lies_behind_the_seeds():
    """Both rows go up and down together: one by one their intervals overlap, and the difference is plain."""
    ours, theirs = [60.0, 70.0, 80.0, 90.0], [58.0, 67.5, 78.0, 87.5]
    paired, apart = (difference("a", ours, "b", theirs, paired=paired) for paired in (True, False))
    assert paired.low > 1.5 and apart.low < 0 < apart.high
    assert paired.difference == apart.difference == 2.25


def test_rows_of_unequal_length_are_not_paired():
    assert difference("a", [1.0, 2.0, 4.0], "b", [1.0, 2.0], paired=True).kind == "Welch"


def test_copies_of_one_run_are_a_number_and_have_no_interval_of_their_own():
    found = difference("prompt", [80.0, 82.0, 84.0], "words", [58.0, 58.0, 58.0], True, (False, True))
    half = two_sided_point(2) * 2 / math.sqrt(3)
    assert (found.kind, found.n, found.high - found.low) == ("one fixed", 3, pytest.approx(2 * half))
    alone = difference("untuned", [48.0], "prompt", [80.0, 82.0, 84.0], True, (True, False))
    assert alone.n == 3 and alone.high == pytest.approx(-34 + half)
    both = difference("words", [58.0] * 5, "untuned", [48.0], True, (True, True))
    assert (both.low, both.high, both.p, both.difference, both.kind) == (None, None, None, 10.0, "both fixed")


def test_scores_are_fixed_where_nothing_is_trained_and_all_are_equal():
    assert is_fixed({"trained": 0, "scores": [58.2] * 5}) and is_fixed({"trained": 0, "scores": [48.7]})
    assert not is_fixed({"trained": 0, "scores": [58.2, 58.3]}), "a seed draws words: the scores have a spread"
    assert not is_fixed({"trained": 9, "scores": [99.0]}) and not is_fixed({"scores": [99.0]})


def test_one_run_that_was_trained_says_nothing_of_chance():
    found = difference("once", [60.0], "often", [80.0, 82.0, 84.0, 81.0, 83.0], paired=True)
    assert (found.low, found.p, found.n, found.kind) == (None, None, 1, "one run")
    assert difference("once", [60.0], "words", [58.0] * 5, True, (False, True)).kind == "one run"


def test_a_difference_that_is_the_same_in_every_seed_has_no_interval_unless_it_is_none():
    found = difference("a", [1.1, 2.2, 3.3], "b", [0.1, 1.2, 2.3], paired=True)
    assert (found.low, found.p, found.kind, found.n) == (None, None, "paired", 3)
    assert difference("a", [99.0] * 3, "b", [98.0] * 4, paired=False).kind == "Welch"
    for scores in ([90.0, 92.0, 97.0], [100.0] * 3):
        equal = difference("a", scores, "b", list(scores), paired=True)
        assert (equal.difference, equal.low, equal.high, equal.p, equal.kind) == (0, 0, 0, 1, "paired")
        assert judged([equal])[0].verdict == "level"


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "9", True])
def test_what_is_no_finite_number_is_refused(bad):
    with pytest.raises(UserError, match="^b has a score that is no finite number"):
        difference("a", [1.0, 2.0, 3.0], "b", [1.0, bad, 3.0], paired=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -2.0])
def test_student_refuses_degrees_of_freedom_that_are_none(bad):
    """nan would be looked for without end."""
    with pytest.raises(UserError, match="they must be finite"):
        two_sided_point(bad)
    with pytest.raises(UserError, match="they must be finite"):
        two_sided_p(math.nan, 4)


def test_p_values_are_corrected_as_holm_does():
    """0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not fall below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0] and holm([]) == []


def pair(low, high, p):
    return Difference("a", "b", 5, (low + high) / 2, low, high, p, "paired")


@pytest.mark.parametrize(
    "low, high, p, said",
    [(0.5, 9.0, 0.01, "higher"), (-9.0, -0.5, 0.01, "lower"), (-1.9, 1.9, 0.9, "level"), (-2.1, 1.0, 0.5, "open"),
     (0.5, 1.5, 0.04, "higher"), (-30.0, 30.0, 0.9, "open")],
)  # fmt: skip
def test_the_verdict_is_higher_lower_level_or_open(low, high, p, said):
    assert judged([pair(low, high, p)])[0].verdict == said


def test_among_many_pairs_one_needs_more_to_be_told_apart():
    alone, beside = pair(0.5, 9.0, 0.03), [pair(-5.0, 5.0, 0.9)] * 4
    assert judged([alone])[0].verdict == "higher"
    assert [found.verdict for found in judged([alone, *beside])] == ["open"] * 5
    fixed_pair = Difference("a", "b", 5, 7.0, None, None, None, "both fixed")
    found = judged([alone, fixed_pair])
    assert [entry.verdict for entry in found] == ["higher", "open"], "what is not tested costs nothing"


ROWS = [
    {"method": "lora", "scores": [98.0, 97.0, 99.0]},
    {"method": "full", "scores": [97.9, 97.1, 98.9]},
    {"method": "prompt_tuning", "scores": [80.0, 78.0, 81.0]},
    {"method": "untuned", "scores": [50.0], "trained": 0},
]


def test_every_row_is_compared_with_full_tuning_or_with_lora():
    assert [(found.row, found.against, found.verdict) for found in differences(ROWS)] == [
        ("lora", "full", "level"),
        ("prompt_tuning", "full", "lower"),
        ("untuned", "full", "lower"),
    ]
    assert {found.against for found in differences([row for row in ROWS if row["method"] != "full"])} == {"lora"}
    assert [found.row for found in differences(ROWS, "prompt_tuning")] == ["lora", "full", "untuned"]
    with pytest.raises(UserError, match="no row 'lroa' to compare with. The rows are: lora, full, prompt_tuning, unt"):
        differences(ROWS, "lroa")


def test_with_fewer_than_three_seeds_nothing_is_compared():
    assert differences([{**row, "scores": row["scores"][:2]} for row in ROWS]) == []
    assert differences([row for row in ROWS if row["method"] not in ("full", "lora")]) == []


def test_the_shorter_of_two_rows_counts():
    """80.0 and 80.1 against five scores near 98 would have a p of about 10^-8."""
    five, two = [98.0, 97.5, 98.3, 97.9, 98.1], [80.0, 80.1]
    rows = [
        {"method": "lora", "scores": five},
        {"method": "twice", "scores": two, "trained": 5},
        {"method": "once", "scores": [60.0], "trained": 5},
        {"method": "ia3", "scores": [score - 9 + place / 9 for place, score in enumerate(five)], "trained": 5},
    ]
    twice, once, ia3 = differences(rows)
    assert (twice.n, twice.verdict, twice.holm, twice.kind) == (2, "open", None, "Welch")
    assert (once.n, once.verdict, once.kind) == (1, "open", "one run")
    assert (ia3.n, ia3.verdict, ia3.holm) == (5, "lower", ia3.p), "what is not judged costs the others nothing"
    assert differences(rows[:3]) == [], "no pair has three seeds"


def test_rows_whose_runs_have_other_seeds_are_not_paired():
    rows = [
        {"method": name, "scores": scores, "runs": [{"seed": seed} for seed in seeds]}
        for name, scores, seeds in (("lora", [1.0, 2.0, 4.0], (0, 1, 2)), ("ia3", [1.5, 2.0, 5.0], (100, 101, 102)))
    ]
    assert differences(rows)[0].kind == "Welch"
    rows[1]["runs"] = rows[0]["runs"]
    assert differences(rows)[0].kind == "paired"


def test_names_with_a_bar_stay_in_their_cells():
    text = markdown([Difference("a|b", "c|d", 5, 7.0, None, None, None, "both fixed")])
    assert r"minus c\|d" in text.splitlines()[0] and text.splitlines()[2].startswith(r"| a\|b ")


@pytest.mark.parametrize(
    "rows, words",
    [
        ([{"method": "a"}], "the row a has no scores"),
        ([{"method": "a", "scores": []}], "the row a has no scores"),
        ([{"method": "a", "scores": [1.0, None]}], "the row a has a score that is no finite number: None"),
        ([{"scores": [1.0]}], "has a row without a method"),
        ([], "it has no rows"),
    ],
)
def test_what_is_no_race_is_refused_with_status_2(rows, words, tmp_path, capsys):
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"rows": rows}), encoding="utf-8")
    assert ended(lambda: main([str(file)])) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
    if rows:
        with pytest.raises(UserError, match=words):
            differences(rows)


def test_the_table_is_markdown_and_says_what_its_columns_are():
    lines = markdown(differences(ROWS)).splitlines()
    assert lines[0].split(" | ")[1].strip() == "minus full" and set(lines[1]) == set("|-:")
    assert len({len(line) for line in lines}) == 1 and lines[3].endswith("|   lower |")
    assert "corrected for 3 pairs" in told(differences(ROWS))
    assert "-" in markdown([Difference("a", "b", 5, 7.0, None, None, None, "both fixed")]).splitlines()[2]


def test_a_committed_report_is_compared_from_the_command_line(capsys, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(
        '{"rows": [{"method": "a", "scores": [1, 2, 4]}, {"method": "b", "scores": [9, 9.5, 9]}]}', encoding="utf-8"
    )
    main([str(file), "b"])
    assert "minus b" in capsys.readouterr().out
    main([str(file)])
    assert capsys.readouterr().out.startswith("Nothing to compare")
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="is not the report of a race"):
        main([str(file)])


def coverage(paired: bool, times: int) -> float:
    """How often the interval holds the true difference, 3, of rows that share a seed's luck, five seeds, seeded."""
    random = np.random.default_rng(5)
    held = 0
    for _ in range(times):
        luck = random.normal(0, 4, 5)
        ours, theirs = 83 + luck + random.normal(0, 2, 5), 80 + luck + random.normal(0, 1, 5)
        if not paired:
            theirs = theirs[::-1]  # other seeds than the first row's
        found = difference("a", list(ours), "b", list(theirs), paired)
        held += found.low < 3 < found.high
    return held / times


def test_ninety_five_of_a_hundred_intervals_hold_the_truth():
    assert 0.93 < coverage(paired=True, times=1500) < 0.97
    assert 0.93 < coverage(paired=False, times=300) <= 1


COSTS = {"mean": 0.0, "percent": 1.0, "trained": 9, "stored": 9, "of_full": None, "seconds_per_step": None,
         "interval": None, "memory": {}, "adapter_bytes": 9}  # fmt: skip


def test_compare_prints_the_differences_and_keeps_them(tmp_path, monkeypatch, capsys):
    rows = [row | COSTS for row in ROWS]
    monkeypatch.setattr(compare, "race", lambda *_: {"rows": rows, "seeds": 3, "metric": "accuracy"})
    monkeypatch.setattr(compare, "picture", lambda *_: False)
    compare.compare(RunSpec(str(tmp_path), "t5-0.4m", "topic", ""), ["lora", "full"], 3, 1)
    assert "Does a row differ from full?" in capsys.readouterr().out
    kept = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["differences"]
    assert [(entry["row"], entry["verdict"]) for entry in kept][:2] == [("lora", "level"), ("prompt_tuning", "lower")]
    rows[:] = rows[:1]
    (tmp_path / "result.json").unlink()
    compare.compare(RunSpec(str(tmp_path), "t5-0.4m", "topic", ""), ["lora"], 3, 1)
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["differences"] == []
