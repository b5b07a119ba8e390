"""The picture of a race is drawn from its result file, and its absence is no error."""

import builtins
import json

import pytest

from minipeft.paths import DATA
from minipeft.racing.picture import picture

REPORT = json.loads((DATA / "results" / "sentiment.json").read_text(encoding="utf-8"))


def test_a_picture_names_every_method_once(tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs minipeft[plots]")
    monkeypatch.setattr(pyplot, "close", lambda figure: None)  # leave the figure open to look at
    assert picture(REPORT, tmp_path / "race.png")
    assert (tmp_path / "race.png").read_bytes().startswith(b"\x89PNG")
    names = [text.get_text() for text in pyplot.gcf().axes[0].texts]
    assert sorted(names) == sorted(row["method"] for row in REPORT["rows"])


def test_many_methods_are_named_in_a_legend_best_first_and_none_covers_another(tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs minipeft[plots]")
    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    row = REPORT["rows"][0]
    rows = [row | {"method": f"method{i}", "trained": 100 * (1 + i // 6), "mean": 50.0 + i} for i in range(12)]
    assert picture({**REPORT, "rows": rows[::-1]}, tmp_path / "race.png")
    axes = pyplot.gcf().axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [f"method{i}  {50.0 + i:.1f}" for i in reversed(range(12))]
    points = {bar.get_label(): bar[0].get_xydata()[0] for bar in axes.containers}
    assert [points[f"method{i}"][1] for i in range(12)] == [50.0 + i for i in range(12)]
    places = sorted(float(x) for x, _ in points.values())
    assert len(set(places)) == 12 and places[0] == 100 and places[6] == 200


def test_a_method_that_trains_nothing_is_a_line_as_the_controls_are(tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs minipeft[plots]")
    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    words = {"method": "hard_prompt", "trained": 0, "mean": 12.5, "scores": [12.5], "interval": float("nan")}
    assert picture({**REPORT, "rows": [*REPORT["rows"], words]}, tmp_path / "race.png")
    axes = pyplot.gcf().axes[0]
    lines = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "--"]
    assert any(set(heights) == {12.5} for heights in lines)
    assert "hard_prompt" in [text.get_text() for text in axes.texts]


def test_without_matplotlib_there_is_no_picture_and_no_error(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not picture(REPORT, tmp_path / "race.png")
    assert list(tmp_path.iterdir()) == []
