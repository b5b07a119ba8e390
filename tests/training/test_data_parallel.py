"""Two processes that share each batch against one process with the joint batch."""

import os
import subprocess
import sys
import time

import pytest
import torch
from data_parallel_worker import METHOD_MAKERS, train
from helpers.paths import TESTS
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.training.data_parallel import DataParallel, world
from minipeft.training.trainer import TrainingSettings, fine_tune


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What each of two processes got. They meet in a file: a port that is free now may be taken a moment later."""
    folder = tmp_path_factory.mktemp("parallel")
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    environment = {**os.environ, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    worker = [sys.executable, str(TESTS / "training" / "data_parallel_worker.py"), str(folder)]
    processes = []
    for rank in range(2):
        with open(folder / f"{rank}.txt", "w", encoding="utf-8") as errors:
            processes.append(subprocess.Popen(worker, env={**environment, "RANK": str(rank)}, stderr=errors))
    while any(process.poll() is None for process in processes):
        if any(process.returncode for process in processes):  # the other would wait for it
            for process in processes:
                process.kill()
        time.sleep(0.1)
    for rank, process in enumerate(processes):
        assert process.returncode == 0, (folder / f"{rank}.txt").read_text(encoding="utf-8")[-2000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("kind", METHOD_MAKERS)
@pytest.mark.parametrize("family", ["t5", "gpt"])
def test_two_processes_give_the_weights_of_one_with_the_joint_batch(family, kind, outcomes):
    first, second = (outcome[f"{kind} on {family}"] for outcome in outcomes)
    alone = train(kind, family, attach_seed=0)
    assert first["losses"] == second["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    for name, weight in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], weight, rtol=1e-3, atol=1e-4)
    # Only trained numbers travel: each of them, a flag for each tensor, and the loss, 4 bytes each.
    trained = sum(weight.numel() for weight in alone["weights"].values())
    assert first["bytes"] == 4 * (trained + len(alone["weights"]) + 1) and alone["bytes"] == 0


def test_shares_part_a_batch_without_loss():
    alone = DataParallel([nn.Parameter(torch.ones(2))])
    assert (alone.size, alone.rank, alone.share([5, 6, 7])) == (1, 0, [5, 6, 7])
    shares = []
    for alone.rank in range(3):
        alone.size = 3
        shares.append(alone.share([5, 6, 7, 8]))
    assert shares == [[5, 8], [6], [7]]


TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def say(monkeypatch, told):
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "told", [{}, {"RANK": "3"}, {"WORLD_SIZE": "1"}, {"RANK": "0", "WORLD_SIZE": "1"}, {"RANK": "1", "WORLD_SIZE": ""}]
)
def test_a_process_without_torchrun_is_alone_and_the_first(monkeypatch, told):
    say(monkeypatch, told)
    assert world() == (0, 1)


def test_torchrun_says_who_a_process_is(monkeypatch):
    say(monkeypatch, TORCHRUN)
    assert world() == (1, 2)


CONTRADICTIONS = [{"RANK": "2"}, {"RANK": "-1"}, {"RANK": ""}, {"RANK": "one"}, {"WORLD_SIZE": "0"},
                  {"WORLD_SIZE": "-2"}, {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "1"}, {"MASTER_ADDR": ""},
                  {"MASTER_PORT": ""}, {"MASTER_PORT": "port"}, {"RANK": "²"}]  # fmt: skip


@pytest.mark.parametrize("changed", CONTRADICTIONS)
def test_what_does_not_go_together_is_one_sentence(monkeypatch, changed):
    say(monkeypatch, TORCHRUN | changed)
    with pytest.raises(UserError, match="^The environment says .*: start the processes with torchrun") as raised:
        world()
    assert "\n" not in str(raised.value)


def test_rank_without_a_world_trains_and_saves_as_one_process(monkeypatch, tiny_t5, tiny_task, tmp_path):
    say(monkeypatch, {"RANK": "1"})
    method, files = LoRA(rank=2), []
    method.attach(tiny_t5)
    method.after_backward = lambda step, total: files.extend(entry.name for entry in tmp_path.iterdir())
    settings = TrainingSettings(steps=2, batch_size=4, evaluate_every=1)
    assert fine_tune(tiny_t5, method, tiny_task, settings, tmp_path).bytes_per_step == 0
    assert "resume.pt" in files
