"""How far a pretraining run has come, kept on disk so that a killed run goes on as if nothing had happened."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minipeft.errors import UserError
from minipeft.pretraining.settings import PretrainSettings
from minipeft.provenance import provenance
from minipeft.transformer.tensor_files import read_state, write


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
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    write(folder / "resume.pt", {**state, "settings": asdict(settings), "progress": asdict(progress)})


def restore(folder: Path, settings: PretrainSettings, model, optimizer) -> Progress:
    """Load what `save` wrote into `model` and `optimizer`; raises UserError where it is of another run."""
    state = read_state(folder / "resume.pt")
    if state["settings"] != asdict(settings):
        raise UserError(f"{folder} holds an unfinished run with other settings: choose another folder or empty it.")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def is_finished(folder: Path, settings: PretrainSettings) -> bool:
    """Whether `folder` holds the checkpoint of a run with these settings that came to its end."""
    file = folder / "results.json"
    if not file.exists() or (folder / "resume.pt").exists():
        return False
    return json.loads(file.read_text(encoding="utf-8")).get("settings") == json.loads(json.dumps(asdict(settings)))


def results(settings: PretrainSettings, progress: Progress) -> dict:
    """What the result file of a checkpoint says: how it was made, how long that took, and the curves."""
    every = -(-len(progress.curve) // 100) or 1
    curve = progress.curve[::-1][::every][::-1]  # at most 100 points, the last one always among them
    return {"settings": asdict(settings), **asdict(progress), "curve": curve, **provenance()}
