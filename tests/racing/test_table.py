"""The table of a race: intervals that end where scores end, rows that train nothing, what stands beside the score."""

import pytest

from minipeft.racing.table import across_tasks, growing_line, markdown, score_cell, summarise, wilson


def result(seed=0, score=90.0, moved=5, method="lora", **more):
    counts = {"trained_parameters": 5, "moved_parameters": moved, "total_parameters": 10, "adapter_bytes": 1}
    return {"spec": {"method": method, "seed": seed}, "test": score, "memory": {}, **counts, **more}


def test_an_interval_that_would_pass_100_is_written_by_its_ends():
    # mean 98, standard deviation 2, Student's t with 2 degrees of freedom: 4.303 * 2 / sqrt(3) = 4.97
    (row,) = summarise([result(seed, score) for seed, score in enumerate((96.0, 98.0, 100.0))])
    assert score_cell(row) == "98.0 [93.0, 100]" and row["interval"] == pytest.approx(4.97, abs=0.01)
    (row,) = summarise([result(seed, score) for seed, score in enumerate((90.0, 92.0, 94.0))])
    assert score_cell(row) == "92.0 ± 5.0"


def test_an_interval_that_would_pass_0_ends_there():
    # standard deviation sqrt(3200) and 12.706 for one degree of freedom: 60 +- 508.2
    assert score_cell({"trained": 5, "scores": [100.0, 20.0]}) == "60.0 [0, 100]"
    # standard deviation 1, 4.303 / sqrt(3) = 2.48
    assert score_cell({"trained": 5, "scores": [0.0, 1.0, 2.0]}) == "1.0 [0, 3.5]"
    assert score_cell({"trained": 5, "scores": [100.0, 100.0]}) == "100.0 ± 0.0"


def test_a_name_with_a_bar_or_a_line_end_stays_in_its_cell():
    (row,) = summarise([result(method="lora") | {"spec": {"method": "lora", "label": "a|b\nc", "seed": 0}}])
    assert markdown([row]).splitlines()[2].startswith(r"| a\|b c |")
    assert len(markdown([row]).splitlines()) == 3
    text = across_tasks({"x|y": {"rows": [row], "chance": 50.0}})
    assert text.splitlines()[0].endswith(r" x\|y |") and r"| a\|b c |" in text


def test_wilsons_interval_is_that_of_the_textbook():
    # 8 of 10 right: (0.8 + 1.9208 / 10 -+ 1.96 sqrt(0.16 / 10 + 0.9604 / 100)) / 1.38416
    assert wilson(80.0, 10) == (pytest.approx(49.0, abs=0.05), pytest.approx(94.3, abs=0.05))
    low, high = wilson(100.0, 10)
    assert (low, high) == (pytest.approx(72.2, abs=0.05), pytest.approx(100.0))
    low, high = wilson(0.0, 10)
    assert (low, high) == (pytest.approx(0.0), pytest.approx(27.8, abs=0.05))


def test_runs_that_train_nothing_have_the_interval_of_their_texts_or_none():
    marks = "........00"
    (row,) = summarise([result(seed, 80.0, moved=0, predictions=marks) for seed in range(5)])
    assert score_cell(row) == "80.0 [49.0, 94.3]" and row["interval"] is None
    (f1,) = summarise([result(seed, 86.0, moved=0, predictions=marks) for seed in range(5)])
    assert score_cell(f1) == "86.0", "not a share of the texts"
    (older,) = summarise([result(seed, 80.0, moved=0) for seed in range(5)])
    assert score_cell(older) == "80.0"
    (drawn,) = summarise([result(seed, 80.0 + seed, moved=0, predictions=marks) for seed in range(3)])
    assert score_cell(drawn).startswith("81.0 ± "), "demonstrations that a seed draws"
    (trained,) = summarise([result(seed, 80.0, predictions=marks) for seed in range(3)])
    assert score_cell(trained) == "80.0 ± 0.0"


def test_what_was_forgotten_and_how_soon_it_was_learned_stand_in_the_table():
    told = [{"forgotten": 3.0, "skills_lost": 9.0, "steps_to_90": 50}, {"forgotten": 4.0, "steps_to_90": 100}, {}]
    (row,) = summarise([result(seed, 90.0 + seed, **more) for seed, more in enumerate(told)])
    assert (row["forgotten"], row["steps_to_90"]) == (3.5, 75)
    assert [run.get("forgotten") for run in row["runs"]] == [3.0, 4.0, None]
    head, _, line = markdown([row]).splitlines()
    columns = [cell.strip() for cell in head.split("|")]
    cells = dict(zip(columns, (cell.strip() for cell in line.split("|")), strict=True))
    assert cells["skills lost"] == "9.0", "the mean over the runs that know it"
    assert cells["forgotten"] == "+3.50" and cells["steps to 90%"] == "75" and "+3.50" in growing_line(row)


def test_rows_of_older_files_have_the_columns_that_they_tell():
    (row,) = summarise([result()])
    for name in ("forgotten", "skills_lost", "steps_to_90", "runs", "slices"):
        del row[name]
    assert "forgotten" not in markdown([row]) and "90.0" in markdown([row]) and growing_line(row)
