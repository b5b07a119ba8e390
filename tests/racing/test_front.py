"""Several races as one: means by hand, and what may not be put together."""

import json

import pytest

from minipeft.errors import UserError
from minipeft.racing import front
from minipeft.racing.front import front_slices, front_table


def row(method, scores, trained=10, **slices):
    told = {"family": "low_rank", "trained": trained, "stored": 7, "percent": 1.0, "memory": {}, "adapter_bytes": 1}
    kept = {"method": method, "scores": scores, "mean": sum(scores) / len(scores), "slices": slices}
    return {**kept, **told, "seconds_per_step": 0.1, "forgotten": 2.0, "skills_lost": 7.5}


def race(task, rows, chance=50.0, **settings):
    settings = {"model": "t5-0.8m", "task": task, "steps": 600, **settings}
    return {"settings": settings, "seeds": 3, "chance": chance, "rows": rows}


@pytest.fixture
def races():
    opinions = [
        row("lora", [90.0, 92.0, 94.0], hard=60.0, easy=99.0),
        row("full", [95.0, 95.0, 95.0], hard=70.0, easy=98.0),
    ]
    topic = [row("full", [40.0, 50.0, 60.0]), row("lora", [60.0, 70.0, 80.0]), row("ia3", [1.0, 2.0, 3.0])]
    return {"a.json": race("sentiment", opinions), "b.json": race("topic", topic, chance=10.0)}


def test_the_mean_is_over_the_tasks_seed_by_seed(races):
    report = front.front(races)
    assert [found["method"] for found in report["rows"]] == ["lora", "full"], "best mean first; (IA)3 was raced once"
    lora, full = report["rows"]
    assert lora["scores"] == [75.0, 81.0, 87.0] and lora["mean"] == 81.0 and full["scores"] == [67.5, 72.5, 77.5]
    # standard deviation 6, Student's t with 2 degrees of freedom: 4.3027 * 6 / sqrt(3) = 14.905
    assert lora["interval"] == pytest.approx(14.905, abs=0.001)
    assert (lora["forgotten"], lora["skills_lost"]) == (2.0, 7.5)
    assert report["chance"] == {"sentiment": 50.0, "topic": 10.0} and report["races"] == ["a.json", "b.json"]


def test_its_tables_name_tasks_and_slices(races):
    report = front.front(races)
    head, _, lora, full, guess = front_table(report).splitlines()
    assert head == "| method | trained | stored | mean | sentiment | topic | forgotten | skills lost |"
    assert lora == "| lora | 10 | 7 | 81.0 ± 14.9 | 92.0 | 70.0 | +2.00 | 7.5 |" and "| 50.0 |" in full
    assert guess == "| a blind guess | | | 30.0 | 50.0 | 10.0 | | |"
    head, _, lora, full = front_slices(report).splitlines()
    assert head == "| method | sentiment: hard | sentiment: easy |" and lora == "| lora | 60.0 | 99.0 |"


def test_races_of_two_kinds_are_refused(races):
    other = races | {"c.json": race("where_is", races["b.json"]["rows"], steps=300)}
    with pytest.raises(UserError, match=r"c.json and a.json are no races of one kind: steps is not the same"):
        front.front(other)
    with pytest.raises(UserError, match="No row is in all of"):
        front.front(races | {"c.json": race("where_is", [row("vera", [1.0, 2.0, 3.0])])})


def test_the_command_writes_what_it_prints(races, tmp_path, capsys):
    for name, report in races.items():
        (tmp_path / name).write_text(json.dumps(report), encoding="utf-8")
    front.main([str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--out", str(tmp_path / "front.json")])
    written = json.loads((tmp_path / "front.json").read_text(encoding="utf-8"))
    assert front_table(written) in capsys.readouterr().out
    (pair,) = written["differences"]
    assert (pair["row"], pair["against"], pair["difference"]) == ("lora", "full", 8.5)
