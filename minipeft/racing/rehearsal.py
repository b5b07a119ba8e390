"""Every run is rehearsed before the first one starts: what cannot work is told at once and not after an hour.

Method and model are put together on the meta device, where nothing takes memory, so the rehearsal also finds what no
memory could hold: `rank=1000000000`.
"""

import os
from functools import cache

import torch

from minipeft.errors import UserError, one_line
from minipeft.memory.counting import bytes_of, optimizer_bytes
from minipeft.methods.method import Method
from minipeft.models import load
from minipeft.racing.runs import CONTROLS, RunSpec, get_task, new_method
from minipeft.transformer.fingerprints import fingerprint
from minipeft.transformer.hollow import hollow


def rehearse(specs: list[RunSpec]) -> None:
    """Raise a UserError, which names the row, where a run has a method that its model or this machine cannot take."""
    models, tasks = {}, {}
    for spec in specs:
        if spec.model not in models:
            models[spec.model] = load(spec.model)
        source = spec.data, spec.task, spec.shots, spec.seed, spec.word_draw
        if source not in tasks:
            tasks[source] = get_task(spec)
        if spec.method in CONTROLS:
            continue
        try:
            try_on(new_method(spec, tasks[source]), models[spec.model])
        except UserError as error:
            if len(specs) == 1:
                raise
            raise UserError(f"{spec.row} cannot be raced: {error}") from error


def try_on(method: Method, model) -> None:
    """Attach `method` to a hollow copy of `model`, and see whether a training step could be held in memory."""
    try:
        with torch.device("meta"):
            copy = hollow(model)
            copy.stands_for = fingerprint(model)  # a prompt or an adapter in a file belongs to one base
            method.attach(copy)
            trained = list(method.named_parameters().values())
            needed = bytes_of([*copy.parameters(), *copy.buffers(), *trained])
            needed += optimizer_bytes(trained, method.suggested_optimizer)
    except UserError:
        raise
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise UserError(f"{method.name} does not fit this model: {one_line(error)}") from error
    if needed > machine_memory():
        raise UserError(
            f"{method.name} with these hyper-parameters needs {needed / 1e9:,.1f} GB for its weights, gradients and "
            f"optimizer alone, and this machine has {machine_memory() / 1e9:,.1f}: make it smaller."
        )


@cache
def machine_memory() -> int:
    """Bytes of memory of this machine and its GPUs; what no machine has where the system does not tell."""
    try:
        own = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        own = 2**42
    gpus = range(torch.cuda.device_count())
    return own + sum(torch.cuda.get_device_properties(number).total_memory for number in gpus)
