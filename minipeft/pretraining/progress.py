"""How far a pretraining run has come, kept on disk so that a killed run goes on as if nothing had happened."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minipeft.errors import UserError, one_line
from minipeft.files import read_json, short
from minipeft.pretraining.settings import PretrainSettings
from minipeft.provenance import provenance
from minipeft.transformer.tensor_files import read_state, require, write_state

STATE = {"model": dict, "optimizer": dict, "settings": dict, "progress": dict}
CHECKPOINT = ("weights.pt", "config.json", "results.json")  # what the end of a run writes
ELSEWHERE = "name another folder, or delete this one"


@dataclass
class Progress:
    """How far a run has come; with the weights and the optimizer's state, all that is needed to go on."""

    step: int = 0
    tokens: int = 0
    chunk: int = 0  # the next batch is number `batch` of this chunk
    batch: int = 0
    seconds: float = 0.0
    curve: list[dict] = field(default_factory=list)  # one row for each evaluation


def save(folder: Path, settings: PretrainSettings, model, optimizer, progress: Progress) -> None:
    """Write all that is needed to go on, whole or not at all. The text follows from the seed and the models have no
    dropout, so there is no random state to keep.
    """
    state = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}
    write_state(folder / "resume.pt", {**state, "settings": asdict(settings), "progress": asdict(progress)})


def restore(folder: Path, settings: PretrainSettings, model, optimizer) -> Progress:
    """Load what `save` wrote into `model` and `optimizer`; raises UserError where it is of another run."""
    file = folder / "resume.pt"
    state = read_state(file)
    require(state, STATE, file, "the state of a pretraining run", ": delete it to start anew")
    difference = first_difference(state["settings"], settings)
    if difference:
        raise UserError(f"{short(folder)} holds an unfinished run with other settings, {difference}: {ELSEWHERE}.")
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"])
    except (TypeError, ValueError, KeyError, RuntimeError) as error:  # the base of start_from may be another one now
        raise UserError(f"{short(file)} does not fit this run ({one_line(error)}): {ELSEWHERE}.") from error


def is_finished(folder: Path, settings: PretrainSettings) -> bool:
    """Whether `folder` holds the base that a run with these settings made.

    Raises UserError where it holds a base that was made otherwise: nothing finished is ever written over.
    """
    there = [name for name in CHECKPOINT if (folder / name).exists()]
    if (folder / "resume.pt").exists() or not there:
        return False
    if not (folder / "results.json").exists():
        raise UserError(f"{short(folder)} holds a model that was not made here: {ELSEWHERE}.")
    made_with = read_json(folder / "results.json", ELSEWHERE).get("settings")
    difference = first_difference(made_with, settings)
    if difference:
        raise UserError(f"{short(folder)} holds a finished base with other settings, {difference}: {ELSEWHERE}.")
    return "weights.pt" in there


def first_difference(theirs, settings: PretrainSettings) -> str:
    """What first differs between settings from a file and these, as "tokens 5, not 6"; "" for nothing."""
    ours = json.loads(json.dumps(asdict(settings)))  # as a file gives them back: no tuples
    if not isinstance(theirs, dict):
        return "which it does not say"
    theirs = json.loads(json.dumps(theirs, default=str))
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            return f"{name} {repr(theirs.get(name))[:80]}, not {repr(ours.get(name))[:80]}"
    return ""


def results(settings: PretrainSettings, progress: Progress) -> dict:
    """What the result file of a checkpoint says: how it was made, how long that took, and the curves."""
    every = -(-len(progress.curve) // 100) or 1
    curve = progress.curve[::-1][::every][::-1]  # at most 100 points, the last one always among them
    return {"settings": asdict(settings), **asdict(progress), "curve": curve, **provenance()}
