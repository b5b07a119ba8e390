"""Several races as one: means by hand, and what may not be put together."""

import json

import pytest

from minipeft.errors import UserError
from minipeft.flags import ended
from minipeft.racing import front, tables
from minipeft.racing.front import front_slices, front_table


def row(method, scores, trained=10, **slices):
    told = {"family": "low_rank", "trained": trained, "stored": 7, "percent": 1.0, "memory": {}, "adapter_bytes": 1}
    kept = {"method": method, "scores": scores, "mean": sum(scores) / len(scores), "slices": slices}
    return {**kept, **told, "seconds_per_step": 0.1, "forgotten": 2.0, "skills_lost": 7.5}


def race(task, rows, chance=50.0, **settings):
    settings = {"model": "t5-0.8m", "task": task, "steps": 600, "seed": 0, "data": None, **settings}
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


def test_skills_that_are_as_they_were_have_no_minus(races):
    for report in races.values():
        for found in report["rows"]:
            found["skills_lost"] = -0.01
    assert "| +2.00 | 0.0 |" in front_table(front.front(races)).splitlines()[2]


def test_races_of_two_kinds_are_refused(races):
    other = races | {"c.json": race("where_is", races["b.json"]["rows"], steps=300)}
    with pytest.raises(UserError, match=r"c.json and a.json are no races of one kind: steps is not the same"):
        front.front(other)
    with pytest.raises(UserError, match="No row is in all of"):
        front.front(races | {"c.json": race("where_is", [row("vera", [1.0, 2.0, 3.0])])})


@pytest.mark.parametrize(
    "setting, other", [("seed", 100), ("data", "mine.jsonl"), ("patience", 3), ("max_source_length", 64)]
)
def test_races_whose_seeds_mean_another_thing_are_refused(races, setting, other):
    races["b.json"]["settings"][setting] = other
    with pytest.raises(UserError, match=f"b.json and a.json are no races of one kind: {setting} is not the same"):
        front.front(races)


def test_two_races_of_one_task_are_refused(races):
    with pytest.raises(UserError, match="^a.json and c.json are both races of sentiment: name one of them.$"):
        front.front(races | {"c.json": race("sentiment", races["a.json"]["rows"])})


def test_two_races_of_one_task_are_no_columns_of_a_page_either(races, tmp_path, monkeypatch):
    for name in ("a.json", "c.json"):
        (tmp_path / name).write_text(json.dumps(races["a.json"]), encoding="utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    with pytest.raises(UserError, match="^Two of the races in a.json, c.json are of sentiment: name one of them.$"):
        tables.scores("a.json, c.json")


def test_a_row_that_has_other_seeds_in_one_race_is_refused(races):
    for file, runs in (("a.json", (0, 1, 2)), ("b.json", (0, 2, 1))):
        for found in races[file]["rows"]:
            found["runs"] = [{"seed": seed, "word_draw": seed} for seed in runs]
    with pytest.raises(UserError, match="^lora has other seeds, or draws of words, in b.json than in a.json"):
        front.front(races)
    del races["b.json"]["rows"][1]["runs"][2]
    races["b.json"]["rows"][1]["scores"] = [60.0, 70.0]
    with pytest.raises(UserError, match="^lora has 3 scores in a.json and 2 in b.json: race both alike.$"):
        front.front(races)


def test_a_slice_that_one_row_lacks_is_a_dash(races):
    del races["a.json"]["rows"][0]["slices"]["hard"], races["a.json"]["rows"][1]["slices"]
    head, _, lora, full = front_slices(front.front(races)).splitlines()
    assert (head, lora) == ("| method | sentiment: easy |", "| lora | 99.0 |") and full == "| full | - |"


def test_names_with_a_bar_stay_in_their_cells(races):
    bar = "low|rank"
    for file in races:
        next(found for found in races[file]["rows"] if found["method"] == "lora")["method"] = bar
    races["a.json"]["rows"][0]["slices"] = {"a | b": 50.0}
    report = front.front(races)
    assert r"| low\|rank | 10 |" in front_table(report)
    assert front_slices(report).splitlines()[0].startswith(r"| method | sentiment: a \| b |")


def command(*arguments):
    return ended(lambda: front.main([str(argument) for argument in arguments]))


def test_every_report_of_compare_has_one_name_and_all_of_them_count(races, tmp_path, capsys):
    for number, report in enumerate(races.values()):
        (tmp_path / f"r{number}").mkdir()
        (tmp_path / f"r{number}" / "result.json").write_text(json.dumps(report), encoding="utf-8")
    files, out = [tmp_path / "r0" / "result.json", tmp_path / "r1" / "result.json"], tmp_path / "front.json"
    assert command(*files, "--out", out) == 0
    written = json.loads(out.read_text(encoding="utf-8"))
    assert list(written["chance"]) == ["sentiment", "topic"] and written["races"] == [str(file) for file in files]
    twice = tmp_path / "r1" / ".." / "r0" / "result.json"
    assert command(files[0], twice, "--out", out) == 2
    assert capsys.readouterr().err == f"minipeft: {twice} is named twice: name every race once.\n"


def test_what_is_no_race_is_refused_in_a_sentence_with_status_2(races, tmp_path, capsys):
    for words, content in {
        "it has no rows": {"settings": {}},
        "does not tell its settings": {"rows": races["a.json"]["rows"]},
        "does not tell its task": races["a.json"] | {"settings": {}},
        "the row lora has no scores": {"rows": [{"method": "lora", "scores": []}]},
        "has a row without a method": {"rows": [[1]]},
        "has two rows called lora": {"rows": [{"method": "lora", "scores": [1.0]}] * 2},
        "a score that is no finite number: None": {"rows": [{"method": "lora", "scores": [1.0, None]}]},
    }.items():
        (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
        assert command(tmp_path / "a.json") == 2
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1
    assert command(tmp_path / "none.json") == 2 and "does not exist" in capsys.readouterr().err


def test_the_command_writes_what_it_prints(races, tmp_path, capsys):
    for name, report in races.items():
        (tmp_path / name).write_text(json.dumps(report), encoding="utf-8")
    front.main([str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--out", str(tmp_path / "front.json")])
    written = json.loads((tmp_path / "front.json").read_text(encoding="utf-8"))
    assert front_table(written) in capsys.readouterr().out
    (pair,) = written["differences"]
    assert (pair["row"], pair["against"], pair["difference"]) == ("lora", "full", 8.5)
