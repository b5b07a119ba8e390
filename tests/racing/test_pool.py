"""Worker processes: they end with their parent, and the first run that fails ends the race with its name."""

import subprocess
import sys
import threading

import pytest

from minipeft.errors import UserError
from minipeft.racing import pool
from minipeft.racing.runs import RunSpec

WORKING_PARENT = """
import sys
import time
from pathlib import Path
from minipeft.racing.pool import start_team
from minipeft.racing.runs import RunSpec

if __name__ == "__main__":
    model, data, folder = sys.argv[1:]
    for number, worker in enumerate(start_team(2)):
        worker.give(RunSpec(f"{folder}/{number}", model, "", "lora", seed=number, data=data, steps=10**7))
        print(worker.process.pid, flush=True)
    while not all(any((Path(folder) / str(n)).glob("*")) for n in (0, 1)):
        time.sleep(0.05)
    print("both at work", flush=True)
    time.sleep(10**6)
"""


@pytest.mark.parametrize("end", ["kill", pytest.param("terminate", marks=pytest.mark.slow)])
def test_workers_end_with_their_parent_however_it_ends(end, base_folder, own_data, tmp_path):
    """They inherit the parent's output, so it ends when the last of them has gone."""
    script = tmp_path / "parent.py"
    script.write_text(WORKING_PARENT, encoding="utf-8")
    command = [sys.executable, str(script), base_folder, own_data, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert [parent.stdout.readline() for _ in range(3)][-1] == "both at work\n"
    getattr(parent, end)()
    reader = threading.Thread(target=parent.stdout.read, daemon=True)
    reader.start()
    reader.join(timeout=600)  # a second is enough; a worker that stays would train for days
    assert not reader.is_alive(), "a worker is left behind"
    parent.wait()


def spec(folder, method="lora", **settings):
    return RunSpec(str(folder), "t5-0.4m", "sentiment", method, label=folder.name, steps=1, **settings)


def test_a_run_that_fails_is_named_and_ends_the_race(tmp_path, monkeypatch):
    asked = []

    def pretend(spec):
        asked.append(spec.row)
        if spec.row == "second":
            raise UserError("it does not fit.")
        return {"test": 1.0}

    monkeypatch.setattr(pool, "run", pretend)
    specs = [spec(tmp_path / name) for name in ("first", "second", "third")]
    with pytest.raises(UserError, match="second, seed 0: it does not fit"):
        pool.run_all(specs, 1, "race")
    assert asked == ["first", "second"]


def test_a_fault_of_ours_keeps_its_traceback_and_what_the_machine_refuses_is_a_sentence(tmp_path, monkeypatch):
    def raising(error):
        def pretend(spec):
            raise error

        return pretend

    monkeypatch.setattr(pool, "run", raising(KeyError("a fault")))
    with pytest.raises(RuntimeError, match="KeyError: 'a fault'"):
        pool.run_all([spec(tmp_path / "one")], 1, "race")
    machine = RuntimeError("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: 1 TB")
    for error, words in ((machine, "not enough memory"), (PermissionError(13, "Permission denied", "x"), "'x'")):
        monkeypatch.setattr(pool, "run", raising(error))
        with pytest.raises(UserError, match=f"one, seed 0: .*{words}"):
            pool.run_all([spec(tmp_path / "one")], 1, "race")


def test_rows_are_told_as_they_are_done_and_finished_ones_first(tmp_path, monkeypatch, capsys):
    specs = [spec(tmp_path / name) for name in ("a", "b", "c")]
    monkeypatch.setattr(pool, "finished", lambda spec: {"test": 2.0} if spec.row == "b" else None)
    monkeypatch.setattr(pool, "run", lambda spec: {"test": 1.0})
    told = []
    results = pool.run_all(specs, 1, "race", lambda spec, result: told.append(spec.row) or f"row {spec.row}")
    assert [result["test"] for result in results] == [1.0, 2.0, 1.0] and told == ["b", "a", "c"]
    printed = capsys.readouterr().out
    assert printed.index("row b") < printed.index("row a") < printed.index("row c")


@pytest.mark.slow
def test_a_worker_that_dies_is_told_of(base_folder, own_data, tmp_path):
    (worker,) = pool.start_team(1)
    worker.give(RunSpec(str(tmp_path), base_folder, "", "lora", data=own_data, steps=10**7))
    worker.process.kill()
    with pytest.raises(UserError, match="lora, seed 0 ended by itself .exit code"):
        worker.result()
