"""A run on disk: what it was told to do, and where it stands."""

import hashlib
import os
from pathlib import Path

import torch

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.tasks.task import Task


def describe_run(method: Method, task: Task, settings: dict) -> dict:
    """What decides a run's outcome: two runs with equal descriptions on one machine are equal."""
    examples = hashlib.sha256(repr((task.train, task.dev, task.labels)).encode()).hexdigest()
    told = {"task": task.name, "examples": examples, "method": method.name, "base": method.fingerprint, **settings}
    return {**told, **{f"{method.name}.{name}": value for name, value in method.hyperparameters().items()}}


def save_state(path: Path, description: dict, state: dict) -> None:
    """Write under a temporary name, then rename: a killed process leaves the old state or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    torch.save({"description": description, "state": state}, part)
    os.replace(part, path)


def load_state(path: Path, description: dict, device) -> dict | None:
    """The state saved at `path`, None where there is none. Raises UserError for a broken file or another run's."""
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        theirs, state = saved["description"], saved["state"]
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise UserError(f"{path} cannot be read ({type(error).__name__}): delete it to start the run anew.") from error
    for name in [*description, *theirs]:
        if description.get(name) != theirs.get(name):
            raise UserError(
                f"{path} is of a run with {name} = {theirs.get(name)}, not {description.get(name)}: "
                "give the same settings, another folder, or delete the file."
            )
    return state
