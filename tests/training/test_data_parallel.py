"""Two processes that share each batch against one process with the joint batch."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from data_parallel_worker import METHOD_MAKERS, train
from helpers.paths import TESTS
from torch import nn

from minipeft.training.data_parallel import DataParallel


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What each of two processes got, for both families, in the environment that torchrun gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    outs = [tmp_path_factory.mktemp("parallel") / f"{rank}.pt" for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(TESTS / "training" / "data_parallel_worker.py"), str(rank), str(out)],
            env={**environment, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, out in enumerate(outs)
    ]
    errors = [process.communicate(timeout=90)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), errors[0][-2000:]
    return [torch.load(out, weights_only=True) for out in outs]


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
