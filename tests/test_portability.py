"""Any laptop: what one system has and another has not is not relied upon, in the package, the course and the tests."""

import ast
from pathlib import Path

import pytest
from helpers.paths import ROOT

FOLDERS = ("minipeft", "lessons", "tests")
FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())

POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
ELSEWHERE_MISSING = {
    *(
        "SIGALRM",
        "SIGHUP",
        "SIGKILL",
        "SIGQUIT",
        "SIGUSR1",
        "SIGUSR2",
        "fork",
        "forkpty",
        "getegid",
        "geteuid",
        "getgid",
    ),
    *(
        "getloadavg",
        "getpgid",
        "getuid",
        "killpg",
        "mkfifo",
        "nice",
        "sched_getaffinity",
        "setsid",
        "statvfs",
        "sysconf",
    ),
    *("uname", "wait4"),
}
PLACES = ("/dev/", "/home/", "/tmp", "/usr/", "/var/")
TEXT_CALLS = {"read_text": 0, "write_text": 1}  # what stands before `encoding`, at most


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), file.name, feature_version=(3, 10))


def problems(tree: ast.Module) -> list[str]:
    """Each piece of code that runs on one system, or in one locale, only."""
    found, guarded, asked = [], set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            guarded |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
        if isinstance(node, ast.Call) and called(node) in ("hasattr", "getattr") and len(node.args) > 1:
            asked.add(getattr(node.args[1], "value", None))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in guarded:
            modules = {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module}
            found += [f"line {node.lineno}: import {name} in a `try`" for name in sorted(modules & POSIX_MODULES)]
        if isinstance(node, ast.Attribute) and node.attr in ELSEWHERE_MISSING - asked and id(node) not in guarded:
            found.append(f"line {node.lineno}: {node.attr} is not everywhere: ask with hasattr")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PLACES):
            found.append(f"line {node.lineno}: {node.value!r} is a place of one system")
        if isinstance(node, ast.Call) and reads_text(node) and "encoding" not in {word.arg for word in node.keywords}:
            found.append(f"line {node.lineno}: {called(node)} without an encoding reads another one on another system")
        if isinstance(node, ast.Call) and called(node) in ("Pool", "Process") and isinstance(node.func, ast.Name):
            found.append(f"line {node.lineno}: {called(node)} without get_context('spawn') forks where it can")
    return found


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def reads_text(node: ast.Call) -> bool:
    """Whether a call opens a file as text, or reads a program's output as text."""
    name, words = called(node), {word.arg: word.value for word in node.keywords}
    if name in ("run", "Popen", "check_output"):
        return "text" in words or "universal_newlines" in words
    if name == "open":
        function = isinstance(node.func, ast.Name)  # the mode stands behind the path, which a Path's own open lacks
        mode = words.get("mode") or next(iter(node.args[1 if function else 0 :]), None)
        other = not function and getattr(node.func.value, "id", "") in ("Image", "os", "zipfile")
        return not other and "b" not in str(getattr(mode, "value", "r"))
    return name in TEXT_CALLS and len(node.args) <= TEXT_CALLS[name]


@each_file
def test_nothing_hangs_on_one_system_or_locale(file):
    if file != Path(__file__).resolve():
        assert problems(parse(file)) == []


@pytest.mark.parametrize(
    "code, words",
    [
        ("import fcntl", "import fcntl in a `try`"),
        ("from resource import getrlimit", "import resource"),
        ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", ""),
        ("import os\nos.kill(3, signal.SIGKILL)", "SIGKILL is not everywhere"),
        ("os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else 1", ""),
        ("path = '/tmp/x'", "a place of one system"),
        ("Path('x').read_text()", "read_text without an encoding"),
        ("Path('x').read_text('utf-8')", ""),
        ("Path('x').write_text('a', encoding='utf-8')", ""),
        ("Path('x').write_text('a')", "write_text without"),
        ("open('x', 'w')", "open without"),
        ("Path('x').open()", "open without"),
        ("open('x', 'rb') or Path('x').open('wb')", ""),
        ("subprocess.run(['git'], text=True)", "run without an encoding"),
        ("Pool(3)", "forks where it can"),
    ],
)
def test_what_is_looked_for_is_found(code, words):
    found = problems(ast.parse(code))
    assert (words in found[0] and len(found) == 1) if words else found == []


@each_file
def test_a_worker_that_imports_a_script_does_not_start_it(file):
    """Spawned processes import the script that started them: what it runs must stand under `if __name__ ...`."""
    calls = [node for node in parse(file).body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert not {called(node.value) for node in calls} & {"main", "exit", "run", "race", "compare", "pretrain"}


@pytest.mark.parametrize("folder", (*FOLDERS, "data"))
def test_names_of_files_can_stand_on_every_system(folder):
    for place in [ROOT / folder, *(ROOT / folder).rglob("*")]:
        name = place.name
        assert not set(name) & set('<>:"|?*\\') and name == name.rstrip(". "), f"Windows refuses {place}"
        assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}, (
            f"Windows refuses {place}"
        )
        if place.is_dir():
            names = [entry.name.lower() for entry in place.iterdir()]
            assert len(names) == len(set(names)), f"{place} has two names that differ in capitals alone"
