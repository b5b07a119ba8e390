"""Formulas are LaTeX, and the names in them are those of code."""

import pytest

from minipeft.course.formulas import inline, names
from minipeft.course.linter import symbol_problems
from minipeft.course.pages import number_problems


@pytest.mark.parametrize(
    "tex, found",
    [
        (r"y = W x + \frac{\alpha}{\text{rank}} \, B A \, x", ["y", "W", "x", "alpha", "rank", "B", "A", "x"]),
        (r"W' = W_\text{up}^T", ["W'", "W_up", "T"]),
        (r"s(P_{ji}) + \text{mean}_j", ["s", "P_ji", "mean_j"]),
        (r"y_{<t} \quad \text{ if } m < \text{block size}", ["y", "t", "if", "m", "block_size"]),
        (r"\sum_{i = 1}^{n} \max_j |w_j|", ["i", "n", "j", "w_j"]),
        (r"\begin{aligned} a &= \sqrt{b} \\ c &\leftarrow 2 \end{aligned}", ["a", "b", "c"]),
    ],
)
def test_names_in_a_formula(tex, found):
    assert names(tex) == found


def test_dollar_signs_hold_a_formula_only_where_they_touch_it():
    assert inline("the $W_q$ of `x`, and $A$, $B$") == ["W_q", "A", "B"]
    assert inline("it costs 5 $ here and 6 $ there") == []


def test_every_symbol_has_its_row_and_every_row_is_mathematics():
    def page(symbols):
        table = f"| symbol | shape | meaning |\n|---|---|---|\n| {symbols} | (d) | what it is |\n\n"
        return table + "```math\ny = 2 \\, \\text{rank}\n```\n"

    assert symbol_problems(page(r"$y$, $\text{rank}$")) == []
    assert symbol_problems(page("$y$")) == ["these symbols of formulas are not explained: rank"]
    assert "not written as mathematics" in symbol_problems(page("y, rank"))[0]


def test_a_number_within_a_formula_needs_no_mark():
    assert number_problems("so $y = 1.5 \\, x$ is all", {"numbers": {}}) == []
    assert number_problems("so 1.5 is all", {"numbers": {}}) != []
