"""README.md and data/README.md, data/results/README.md keep their word: links, lists, code and numbers are true."""

import json
import math
import re
from pathlib import Path
from statistics import mean

import pytest
from helpers.paths import ROOT
from torch import nn

from minipeft.__main__ import COMMANDS, main
from minipeft.commands.compare import FIRST_LOOK, QUICK
from minipeft.course.chapters import LESSONS, chapters
from minipeft.course.pages import fences, is_excerpt, number_problems
from minipeft.methods.registry import METHODS
from minipeft.models import model_names
from minipeft.paths import DATA
from minipeft.pretraining import base_tables
from minipeft.racing.rates import TIE, value
from minipeft.racing.runs import CONTROLS
from minipeft.racing.tables import MARK, PAGE, fill
from minipeft.racing.task_table import shortcomings

README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL_RESULTS = PAGE.read_text(encoding="utf-8")
SAMPLES = [fence.body for fence in fences(README) if fence.info == "python" and not fence.file]
METHODS_PAGE = ROOT / "minipeft" / "methods" / "README.md"
PAGES = [*ROOT.glob("*.md"), METHODS_PAGE, *DATA.rglob("*.md"), *LESSONS.rglob("*.md")]
RESULTS = sorted((DATA / "results").glob("*.json"))
RACES = [file for file in RESULTS if "rows" in json.loads(file.read_text(encoding="utf-8")) and file.stem != "front"]


@pytest.mark.parametrize(
    "page", ["README.md", "minipeft/methods/README.md", "data/README.md", "data/results/README.md"]
)
def test_every_link_and_picture_leads_to_a_file(page):
    file = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)\)", file.read_text(encoding="utf-8"))
    assert links or page == "data/README.md"
    missing = [link for link in links if not link.startswith("http") and not (file.parent / link).exists()]
    assert missing == []


def test_the_first_look_takes_about_a_minute_as_measured():
    report = json.loads((ROOT / "tests/benchmarks/first_look.json").read_text(encoding="utf-8"))
    assert "beside two controls, which takes about a minute on two free cores" in " ".join(README.split())
    assert report["seconds"] < 75 and report["provenance"]["hardware"].endswith("2 cores")
    assert report["settings"] | QUICK == report["settings"], "measured with other settings: run it anew"
    assert {row["method"] for row in report["rows"]} == {*FIRST_LOOK, *CONTROLS}


def commands_of(page: Path) -> list[str]:
    """What a page says to type, and which module or file it starts."""
    text = re.sub(r"was `python[^`]+`", "", page.read_text(encoding="utf-8"))  # a command as it was called once
    started = re.findall(r"python (?:-m )?(minipeft [a-z][a-z-]+|minipeft\.[\w.]+|(?:lessons|tests)/\S+?\.py)", text)
    return started + re.findall(r"pytest ((?:lessons|tests)/\w+)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_exists(page):
    known = {module.__name__.rpartition(".")[2].replace("_", "-") for module in COMMANDS}
    for command in commands_of(page):
        if command.startswith("minipeft "):
            assert command.split()[1] in known, command
        elif command.startswith("minipeft."):
            assert (ROOT / f"{command.replace('.', '/')}.py").exists(), command
        else:
            assert (ROOT / command.replace("NN_name", "13_lora")).exists(), command


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.splitlines()) <= 170 and max(map(len, README.splitlines())) <= 240
    assert re.findall(r"^\[//\]: # \((\w+) of \S+json", README, re.M) == ["front"], "other tables have a page"


def test_every_method_is_listed_with_its_file():
    text = METHODS_PAGE.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| \[[^\]]+\]\(([^)]+)\)", text, re.MULTILINE))
    files = {name: method.__module__.split(".", 2)[2].replace(".", "/") + ".py" for name, method in METHODS.items()}
    assert listed == files


def test_the_front_page_names_every_method_with_its_folder():
    rows = re.findall(r"^\| [^|]+ \| \[`(\w+)/`\]\(minipeft/methods/\1\) \| ([\w, ]+) \|$", README, re.MULTILINE)
    named = {(method, folder) for folder, methods in rows for method in methods.split(", ")}
    assert named == {(name, method.__module__.split(".")[2]) for name, method in METHODS.items()}


def test_the_number_of_methods_is_that_of_the_registry():
    assert f"{len(METHODS)} methods so far" in README.replace("\n", " ")


def test_the_versions_are_those_that_the_package_asks_for():
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    python, torch = (
        re.search(r'requires-python = ">=([\d.]+)"', settings)[1],
        re.search(r'"torch>=([\d.]+)"', settings)[1],
    )
    assert f"Python {python} or newer, PyTorch {torch} or newer" in " ".join(README.split())


def test_the_two_commands_are_two_lines():
    block = README.split("## Two commands", 1)[1].split("```bash\n", 1)[1].split("```", 1)[0]
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) == 2 and "compare --quick" in lines[0] and lines[1].endswith("pytest")


def test_the_lines_of_lora_are_those_of_its_file():
    (quoted,) = [fence for fence in fences(README) if fence.file]
    assert quoted.body.startswith("class LoRALinear") and "def forward" in quoted.body
    assert is_excerpt(quoted.body, (ROOT / quoted.file).read_text(encoding="utf-8")), "quote it again"
    assert sum(bool(line.strip()) for line in quoted.body.splitlines()) in (12, 13), "class, equation, nothing else"


def rows_of_the_map() -> list[tuple[str, str]]:
    """A chapter as README's map of the course names it, and what stands beside it."""
    part = README.split("## The course", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| (\[?\d\d [^|]+) \| ([^|]+) \|$", part, re.M)


def test_the_map_of_the_course_has_every_chapter_and_links_the_written_ones():
    on_map = re.findall(r"^\| [^|]*?(\d\d)_\w+", (LESSONS / "README.md").read_text(encoding="utf-8"), re.M)
    named = [name for name, _ in rows_of_the_map()]
    assert [name.lstrip("[")[:2] for name in named] == on_map
    linked = [found[1] for name in named if (found := re.search(r"\]\(lessons/(\d\d_\w+)/README.md\)", name))]
    assert linked == [chapter.folder.name for chapter in chapters()]


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.folder.name)
def test_the_map_has_a_sentence_on_each_chapter_whose_numbers_are_measured(chapter):
    (sentence,) = [text for name, text in rows_of_the_map() if f"lessons/{chapter.folder.name}/" in name]
    assert "<!-- " in sentence and sentence.endswith("."), "one number of its results at least"
    assert number_problems(sentence, chapter.results) == []


def test_the_sample_of_ten_lines_runs(tmp_path, monkeypatch):
    sample = SAMPLES[0]
    assert len([line for line in sample.splitlines() if line]) <= 10
    # The real thing, but for the number of steps: what a reader pastes must not fail.
    few = "minipeft.fine_tune(model, lora, task, minipeft.TrainingSettings(steps=2, evaluate_every=2))"
    assert sample.count("minipeft.fine_tune(model, lora, task)") == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(sample.replace("minipeft.fine_tune(model, lora, task)", few), "README.md", "exec"), {})
    assert (tmp_path / "adapter.pt").stat().st_size < 1_000_000


def test_the_sample_of_any_module_runs():
    method, module = re.search(r"`lora = (LoRA\(.+\))` does to `(nn\.[^`]+)`", " ".join(README.split())).groups()
    names = {"LoRA": METHODS["lora"], "nn": nn}
    lora, net = eval(method, names), eval(module, names)
    lora.attach(net)
    assert len(lora.named_parameters()) == 4, "A and B of two layers"
    lora.merge()
    assert [type(layer).__name__ for layer in net] == ["Linear", "ReLU", "Linear"]


@pytest.mark.slow
def test_the_plan_of_memory_is_what_the_command_prints(capsys):
    command, printed = ALL_RESULTS.split("```bash\npython -m minipeft memory ", 1)[1].split("```text\n", 1)
    assert main(["memory", *command.split("\n", 1)[0].split()]) == 0
    assert capsys.readouterr().out == printed.split("```", 1)[0]


def test_the_tables_are_the_committed_results():
    marks = len(MARK.findall(ALL_RESULTS))
    assert ALL_RESULTS.count("[//]: # (") == marks > 0, "every mark is one that the command knows"
    assert fill(ALL_RESULTS) == ALL_RESULTS, "run: python -m minipeft.racing.tables"


def test_the_front_table_is_the_committed_mean_of_four_races():
    assert fill(README) == README, "run: python -m minipeft.racing.tables"


def test_a_table_with_another_number_is_mended():
    row = next(line for line in ALL_RESULTS.splitlines() if line.startswith("| lora "))
    assert fill(ALL_RESULTS.replace(row, row.replace("9", "8"))) == ALL_RESULTS


def test_every_race_has_its_table():
    shown = re.findall(r"\(table of ([^)]+)\)", ALL_RESULTS)
    assert sorted(shown) == sorted(file.relative_to(ROOT).as_posix() for file in RACES)


def test_the_tables_of_the_bases_are_what_their_result_files_say():
    page = (DATA / "README.md").read_text(encoding="utf-8")
    assert page.count("[//]: # (bases)") == page.count("[//]: # (skills)") == 1
    assert base_tables.fill(page) == page, "run: python -m minipeft.pretraining.base_tables"


def test_the_trainings_that_were_not_released_went_as_the_page_of_the_bases_says():
    page = " ".join((DATA / "README.md").read_text(encoding="utf-8").split())
    file = DATA / "results" / "unreleased_pretraining.json"
    trainings = json.loads(file.read_text(encoding="utf-8"))["trainings"]
    small, large, least = (trainings[name]["curve"] for name in ("t5-1.7m", "t5-3.5m-span", "t5-0.2m"))
    best, fallen = (next(row for row in small if row["tokens"] > tokens) for tokens in (7e6, 10.5e6))
    assert f"from {best['skills']['plain']:.0f} to {fallen['skills']['plain']:.0f}" in page
    assert f"a loss of {large[-1]['loss']:.2f}" in page and 12e6 < large[-1]["tokens"] < 13e6
    plain, contrast = (f"{least[-1]['skills'][skill]:.0f}" for skill in ("plain", "contrast"))
    assert f"{plain} on plain opinions and {contrast} on contrasts" in page and least[-1]["tokens"] > 16e6
    rates = {name: training["settings"]["learning_rate"] for name, training in trainings.items()}
    assert rates.pop("t5-3.5m-span at 0.015") == 0.015 and set(rates.values()) == {0.03}
    assert trainings["t5-3.5m-span at 0.015"]["tokens"] >= 16e6
    assert not {"t5-0.2m", "t5-0.2m-span", "t5-3.5m-span"} & set(model_names())


def test_the_page_says_which_task_falls_short():
    page = " ".join((DATA / "README.md").read_text(encoding="utf-8").split())
    rows = json.loads((DATA / "results" / "tasks.json").read_text(encoding="utf-8"))["tasks"]
    assert [name for name, row in rows.items() if shortcomings(row)] == ["sentence_end"]
    assert "One falls short: on `sentence_end` a rule that knows how long" in page
    assert "length of words" in rows["sentence_end"]["rule"]
    ahead = {name: mean(row["rows"]["lora"]["scores"]) - row["rule_score"] for name, row in rows.items()}
    others = min(points for name, points in ahead.items() if name != "sentence_end")
    assert ahead["sentence_end"] < 5 and "LoRA at least 25 points above every rule" in page and 25 <= others < 30


def test_every_adapted_base_passes_the_gate_of_skills():
    for name in model_names():
        report = json.loads((DATA / "checkpoints" / name / "results.json").read_text(encoding="utf-8"))
        found = report["curve"][-1]["skills"]
        adapted = report["settings"]["text"]["objective"] != "span" and report["settings"]["tokens"] >= 16e6
        if adapted and "-seed" not in name:
            assert found["plain"] >= 95 and found["contrast"] >= 95, name


@pytest.mark.parametrize("file", RACES, ids=lambda file: file.stem)
def test_a_committed_race_says_how_it_was_made(file):
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["command"].startswith(("python -m minipeft", "python lessons/21_which_method/"))
    assert re.fullmatch(r"[0-9a-f]{12}", report["provenance"]["commit"])
    assert {"python", "torch", "hardware"} <= report["provenance"].keys()
    for row in report["rows"]:
        assert len(row["scores"]) == report["seeds"]
        assert row["mean"] == pytest.approx(sum(row["scores"]) / len(row["scores"]))
    for method, swept in report["sweep_runs"].items():
        dev = {float(rate): scores for rate, scores in swept["dev"].items()}
        best = max(dev, key=lambda rate: value(dev[rate]) if len(dev[rate]) == 3 else -math.inf)
        assert value(dev[report["learning_rates"][method]]) >= value(dev[best]) - TIE, "the sweep's winner was raced"
        assert min(dev) < report["learning_rates"][method] < max(dev), "lower and higher rates were tried"
        assert len(dev) >= 4, "equal tuning effort; a grid may grow"
