"""What belongs to the whole program and is no answer's to move: random states and two switches of torch."""

import random

import numpy
import torch

SOURCES = ("torch", "random", "numpy", "torch.set_grad_enabled", "torch.set_default_dtype")


def program_states() -> list:
    """What belongs to the whole program, in the order of SOURCES: its random states and two switches of torch."""
    switches = [torch.is_grad_enabled(), str(torch.get_default_dtype())]
    return [torch.get_rng_state(), random.getstate(), list(numpy.random.get_state()), *switches]


def moved(before: list, now: list) -> list[str]:
    """The names of what is no longer as it was."""
    same = [
        torch.equal(before[0], now[0]),
        before[1] == now[1],
        numpy.array_equal(before[2][1], now[2][1]) and before[2][2:] == now[2][2:],
        before[3] == now[3],
        before[4] == now[4],
    ]
    return [name for name, stays in zip(SOURCES, same, strict=True) if not stays]


def put_back_program(states: list) -> None:
    """So that the next test finds the program as it was."""
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    numpy.random.set_state(tuple(states[2]))
    torch.set_grad_enabled(states[3])
    torch.set_default_dtype(getattr(torch, states[4].removeprefix("torch.")))
