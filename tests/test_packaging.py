"""`pip install .` gives a package that works away from the repository: the data that the library reads comes along."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

from minipeft import evaluate, load, load_task, model_names, task_names
from minipeft.course.chapters import chapters, find_chapter
from minipeft.errors import UserError
from minipeft.paths import DATA

setuptools = pytest.importorskip("setuptools", reason="building needs setuptools")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
SMOKE = """
import json, sys, minipeft
from minipeft.paths import DATA
from minipeft.tasks.making.corpus import document
model, task = minipeft.load("t5-0.4m"), minipeft.load_task("sentiment")
json.dump({
    "package": minipeft.__file__, "data": str(DATA), "tasks": minipeft.task_names(), "models": minipeft.model_names(),
    "score": minipeft.evaluate(model, task, limit=8)["score"], "document": document(0, 3),
}, sys.stdout)
"""


def named(table: str) -> list[str]:
    """The strings of the list that a line `<table> = [` of pyproject.toml begins."""
    body = re.search(rf"^{re.escape(table)} = \[\n(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r'^\s+"([^"]+)"', body, re.MULTILINE)


def test_every_package_and_the_data_are_named():
    """A folder that is left out would be missing in the wheel alone, where nobody looks."""
    found = setuptools.find_packages(str(ROOT), include=["minipeft*"])
    assert sorted(named("packages")) == sorted([*found, "minipeft.data"])
    with_code = {file.parent.relative_to(ROOT).as_posix().replace("/", ".") for file in ROOT.glob("minipeft/**/*.py")}
    assert with_code == set(found), "a folder without __init__.py is no package"


def test_every_file_that_the_library_reads_is_named():
    shipped = {file for pattern in named('"minipeft.data"') for file in DATA.glob(pattern)}
    needed = [*DATA.glob("tasks/*/*"), *DATA.glob("checkpoints/*/*"), *DATA.glob("prompts/*"), *DATA.glob("lexicon/*")]
    needed += [
        DATA / "tokenizer" / "tokenizer.json",
        DATA / "prose" / "prose.jsonl",
        DATA / "prose" / "PSF-LICENSE.txt",
    ]
    assert set(needed) <= shipped
    assert {file.name for file in DATA.glob("results/*")} & {file.name for file in shipped} == {
        "learning_rates.json",
        "README.md",
    }
    assert sum(file.stat().st_size for file in shipped) < 50_000_000


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which a wheel was installed that was built from a copy of the project, without a network."""
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("building needs setuptools 77 or newer: pip install -U setuptools")
    pytest.importorskip("pip", reason="building needs pip")
    source, wheels, folder = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    for name in ("minipeft", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    without = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *without, "--no-build-isolation", "-w", str(wheels), str(source)], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", *without, "--target", str(folder), str(wheel)], check=True)
    return folder


def run(folder: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.slow
def test_the_installed_package_loads_and_scores_as_the_repository_does(installed, tmp_path):
    done = run(installed, tmp_path, "-c", SMOKE)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for key in ("package", "data"):
        assert Path(told[key]).resolve().is_relative_to(installed.resolve())
    assert (told["tasks"], told["models"]) == (task_names(), model_names())
    assert told["score"] == evaluate(load("t5-0.4m"), load_task("sentiment"), limit=8)["score"]
    assert len(told["document"].split()) > 5


@pytest.mark.slow
def test_the_installed_command_line_works_from_any_folder(installed, tmp_path):
    done = run(installed, tmp_path, "-m", "minipeft", "tasks")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in (*task_names(), *model_names()))
    for command in (["progress"], ["hint", "lora"]):
        refused = run(installed, tmp_path, "-m", "minipeft", *command)
        assert refused.returncode == 2 and "not part of the installed package" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_folder_of_lessons_that_is_not_there_is_one_sentence(tmp_path):
    for look in (lambda: chapters(tmp_path / "none"), lambda: find_chapter("13", tmp_path / "none")):
        with pytest.raises(UserError, match="clone the project"):
            look()
