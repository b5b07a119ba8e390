"""Slices as a table: methods by sorts of text, and nothing where a file has none."""

from minipeft.racing.slices_table import slices_table


def test_rows_by_slices():
    rows = [{"method": "full", "slices": {"plain": 97.04, "negation": 93.7}}, {"method": "older"}]
    assert slices_table(rows).splitlines() == [
        "| method | negation | plain |",
        "|---|---:|---:|",
        "| full | 93.7 | 97.0 |",
        "| older | - | - |",
    ]
    assert slices_table([{"method": "older"}, {"method": "plain", "slices": {}}]) == ""


def test_a_slice_of_your_own_data_may_hold_a_bar():
    rows = [{"method": "a|b", "slices": {"c | d": 1.0}}]
    assert slices_table(rows).splitlines() == [r"| method | c \| d |", "|---|---:|", r"| a\|b | 1.0 |"]
