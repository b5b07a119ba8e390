"""Data-parallel training: every process takes its share of each batch, and only trained gradients travel.

    gradient = sum over processes of  (its tokens / all tokens) * its gradient

which is the gradient of the joint batch, because the loss is a mean over tokens. All gradients go as one flat vector,
so a step costs one message of 4 * (trained parameters + tensors + 1) bytes, whatever the size of the frozen model.
Start with `torchrun --nproc-per-node 2 -m minipeft train ...`.
"""

import atexit
import os
from collections.abc import Sequence

import torch
import torch.distributed as distributed
from torch import nn

from minipeft.errors import UserError, one_line


def world() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun says in the environment: 0 of 1 without it.

    Raises UserError where the variables do not go together.
    """
    told = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")}
    if not told["WORLD_SIZE"]:  # RANK alone is another program's
        return 0, 1
    if told["WORLD_SIZE"] == "1" and told["RANK"] in ("", "0"):
        return 0, 1
    numbers = (told["RANK"], told["WORLD_SIZE"])
    known = all(number.isascii() and number.isdigit() for number in numbers) and int(numbers[0]) < int(numbers[1])
    met = distributed.is_initialized()  # somebody else has seen to it where they meet
    if not (known and (met or (told["MASTER_ADDR"] and told["MASTER_PORT"].isdigit()))):
        said = ", ".join(f"{name}={value[:40]}" for name, value in told.items())
        raise UserError(f"The environment says {said}: start the processes with torchrun, or unset WORLD_SIZE.")
    return int(told["RANK"]), int(told["WORLD_SIZE"])


def meet(backend: str) -> None:
    """Wait for the other processes."""
    try:
        distributed.init_process_group(backend)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"The processes cannot meet ({one_line(error)}): start them with torchrun.") from error
    atexit.register(distributed.destroy_process_group)


class DataParallel:
    """This process among its equals; alone (`size` 1) unless torchrun says otherwise.

    `bytes_per_step` is what this process hands to the all-reduce of one step.
    """

    def __init__(self, params: list[nn.Parameter]):
        self.params = params
        self.rank, self.size = world()
        self.bytes_per_step = 0
        if self.size > 1:
            if not distributed.is_initialized():
                meet("nccl" if params[0].is_cuda else "gloo")
            for param in params:  # all start from the first one's random numbers
                distributed.broadcast(param.data, src=0)

    def share(self, batch: Sequence[int]) -> Sequence[int]:
        """This process's part of a batch of indices; empty where the batch has fewer examples than processes."""
        return batch[self.rank :: self.size]

    @torch.no_grad()
    def combine(self, loss: torch.Tensor) -> float:
        """Replace each gradient by its sum over the processes, and return the sum of the losses.

        Each process has weighted its loss by its share of the tokens before the backward pass.
        """
        if self.size == 1:
            return float(loss)
        # A weight that no process used keeps gradient None, as in a single process: the last numbers count its users.
        device = self.params[0].device
        used = torch.tensor([float(param.grad is not None) for param in self.params], device=device)
        grads = [torch.zeros_like(param) if param.grad is None else param.grad for param in self.params]
        flat = torch.cat([grad.float().flatten() for grad in grads] + [used, loss.float().view(1).to(device)])
        distributed.all_reduce(flat)
        self.bytes_per_step = flat.numel() * flat.element_size()
        pieces = flat[: -len(used) - 1].split([param.numel() for param in self.params])
        for param, piece, users in zip(self.params, pieces, flat[-len(used) - 1 : -1].tolist(), strict=True):
            param.grad = piece.view_as(param).to(param.dtype) if users else None
        return float(flat[-1])
