"""The picture of a race is drawn from its result file, and its absence is no error."""

import json
import sys

import pytest

from minipeft.paths import DATA
from minipeft.racing.families import family
from minipeft.racing.picture import COLOURS, ends, picture

REPORT = json.loads((DATA / "results" / "topic.json").read_text(encoding="utf-8"))


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Draws a report and gives back its figure, left open to look at."""
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs minipeft[plots]")
    monkeypatch.setattr(pyplot, "close", lambda figure: None)

    def drawn(report):
        assert picture(report, tmp_path / "race.png")
        assert (tmp_path / "race.png").read_bytes().startswith(b"\x89PNG")
        return pyplot.gcf()

    return drawn


def test_every_row_stands_in_the_list_best_first_in_the_colour_of_its_family(draw):
    right = draw(REPORT).axes[1]
    labels = right.get_yticklabels()
    assert [label.get_text() for label in labels] == [f"{row['method']}  {row['mean']:.1f}" for row in REPORT["rows"]]
    families = {"lora": "low_rank", "houlsby": "adapters", "prompt_tuning": "prompts", "norm_tuning": "selective"}
    for label in labels:
        method = label.get_text().split()[0]
        if method in families:
            assert label.get_color() == COLOURS[families[method]]
    assert right.get_ylim()[0] > right.get_ylim()[1], "the best is at the top"


def test_points_stand_at_the_trained_parameters_and_a_row_that_trains_nothing_is_a_line(draw):
    words = {"method": "hard_prompt", "trained": 0, "mean": 12.5, "scores": [12.5], "interval": float("nan")}
    left = draw({**REPORT, "rows": [*REPORT["rows"], words]}).axes[0]
    points = {tuple(map(float, line.get_xydata()[0])) for line in left.lines if line.get_linestyle() == "None"}
    by_name = {row["method"]: row for row in REPORT["rows"]}
    assert (79488.0, by_name["lora"]["mean"]) in points
    moved = by_name["prefix_tuning"]["memory"]["gradients"] / 4  # the network that the prefix comes from
    assert moved > 50 * by_name["prefix_tuning"]["stored"] and (moved, by_name["prefix_tuning"]["mean"]) in points
    lines = [set(line.get_ydata()) for line in left.lines if line.get_linestyle() == "--"]
    assert {12.5} in lines and {by_name["untuned"]["mean"]} in lines and left.get_xscale() == "log"


def test_no_name_covers_another_or_a_point(draw):
    row = next(row for row in REPORT["rows"] if row["method"] == "lora")
    rows = [row | {"method": f"lora{i}", "mean": 90.0 + i / 9} for i in range(9)]  # one above the other, nearly
    figure = draw({**REPORT, "rows": rows[::-1]})
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert boxes and not any(one.overlaps(other) for one in boxes for other in boxes if one is not other)
    places = [figure.axes[0].transData.transform((79488, each["mean"])) for each in rows]
    assert not any(box.contains(*place) for box in boxes for place in places)


def test_intervals_end_where_scores_end():
    assert ends({"mean": 98.0, "interval": 5.0}) == (5.0, 2.0)
    assert ends({"mean": 1.5, "interval": 5.0}) == (1.5, 5.0)
    assert ends({"mean": 50.0, "interval": None}) == ends({"mean": 50.0, "interval": float("nan")}) == (0.0, 0.0)


def test_a_row_of_an_older_file_belongs_to_the_family_of_the_method_it_is_called_after():
    assert family({"method": "adalora4"}) == "low_rank" and family({"method": "p_tuning_v2:layers=1"}) == "prompts"
    assert family({"method": "ia3"}) == "multiplicative" and family({"method": "untuned"}) == "controls"
    assert family({"method": "mine"}) == "" and family({"method": "mine", "family": "adapters"}) == "adapters"


def test_without_matplotlib_there_is_no_picture_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    assert not picture(REPORT, tmp_path / "race.png")
    assert list(tmp_path.iterdir()) == []


def test_dollars_long_names_and_an_unknown_backend_stop_no_picture(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs minipeft[plots]")
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    rows = [{**row, "method": name} for row, name in zip(REPORT["rows"], (r"$\frac$", "$x" * 2000), strict=False)]
    assert picture({**REPORT, "title": r"a $\nothing$ at all", "rows": rows}, tmp_path / "race.png")
    assert (tmp_path / "race.png").stat().st_size > 1000
