"""A run on disk: what it was told to do, and where it stands."""

import hashlib
from pathlib import Path

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.tasks.task import Task
from minipeft.transformer.tensor_files import read_state, require, write_state


def describe_run(method: Method, task: Task, settings: dict) -> dict:
    """What decides a run's outcome: two runs with equal descriptions on one machine are equal."""
    examples = hashlib.sha256(repr((task.train, task.dev, task.labels)).encode()).hexdigest()
    told = {"task": task.name, "examples": examples, "method": method.name, "base": method.fingerprint, **settings}
    return {**told, **{f"{method.name}.{name}": value for name, value in method.hyperparameters().items()}}


ANEW = ": delete it to start anew"
STATE = {"step": int, "seconds": float, "weights": dict, "best": dict, "optimizer": dict, "result": dict}


def save_state(path: Path, description: dict, state: dict) -> None:
    """Write in one step: a killed process leaves the old state or the new one."""
    write_state(path, {"description": description, "state": state})


def load_state(path: Path, description: dict) -> dict | None:
    """The state saved at `path`, None where there is none. Raises UserError for a broken file or another run's."""
    if not path.exists():
        return None
    content = read_state(path)
    require(content, {"description": dict, "state": dict}, path, "the state of a training run", ANEW)
    theirs, state = content["description"], content["state"]
    for name in [*description, *theirs]:
        if description.get(name) != theirs.get(name):
            raise UserError(
                f"{path} is of a run with {name} = {theirs.get(name)}, not {description.get(name)}: "
                "give the same settings, another folder, or delete the file."
            )
    require(state, STATE, path, "the state of a training run", ANEW)
    return state
