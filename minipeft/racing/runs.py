"""One run: one model, one task, one method, one seed. `train` makes one; `compare` makes many in worker processes."""

import hashlib
import os
import re
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from minipeft.errors import TrainingFailed, UserError
from minipeft.files import locked, read_json, write_json
from minipeft.memory.counting import step_memory
from minipeft.methods.method import Method
from minipeft.models import load, random_init
from minipeft.provenance import provenance
from minipeft.racing.beside_the_score import forgotten, skills_lost, steps_to_learn
from minipeft.racing.entries import make_method
from minipeft.racing.finished import digest, finished
from minipeft.tasks.answers import marked
from minipeft.tasks.hand_written import first_prompt
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.metrics import RANKED
from minipeft.tasks.own_data import load_jsonl
from minipeft.tasks.registry import few_shot
from minipeft.tasks.task import Task
from minipeft.training.adapter_files import save_adapter
from minipeft.training.data_parallel import world
from minipeft.training.evaluating import evaluate
from minipeft.training.trainer import TrainingSettings, fine_tune

CONTROLS = {
    "untuned": "the frozen base as it is: no training",
    "random_base": "full tuning of the same network from random weights: what pretraining is worth",
}
EVALUATE_EVERY = 50  # steps: to which it is known how soon a run has learned
UNTRAINED = {"trained_parameters": 0, "moved_parameters": 0, "adapter_bytes": 0}


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's outcome; `folder` is where its files go.

    label: what tables call the run, "" for the method's name. shots: train on so many examples, drawn by the seed.
    word_draw: which draw of a bundled task's words; 0 is that of its files, and the only one of older results.
    schedule: of the learning rate, one of `training/schedules.py`.
    """

    folder: str
    model: str
    task: str
    method: str
    seed: int = 0
    data: str | None = None
    hyperparameters: dict = field(default_factory=dict)
    learning_rate: float | None = None
    steps: int = 600
    batch_size: int = 32
    patience: int | None = None
    test_limit: int | None = None
    split: str = "test"
    device: str = "cpu"
    label: str = ""
    shots: int | None = None
    max_source_length: int = 256
    word_draw: int = 0
    schedule: str = "linear"

    @property
    def row(self) -> str:
        """The row of a table in which the run counts."""
        return self.label or self.method

    @property
    def result_file(self) -> Path:
        return Path(self.folder) / "result.json"


def folder_name(row: str) -> str:
    """A row's name as part of a path, different for different rows on every system.

    What a file system may not tell apart or not take at all (capitals, accents, colons, great length) goes into a hash.
    """
    plain = re.sub(r"[^a-zA-Z0-9_.=+-]+", "_", row)[:80]
    return plain if plain == row.lower() else f"{plain}-{hashlib.sha256(row.encode()).hexdigest()[:8]}"


def is_first_process() -> bool:
    """Whether this process writes files and prints: always, except under torchrun, where only number 0 does."""
    try:
        return world()[0] == 0
    except UserError:  # the environment contradicts itself: every process may have to say so
        return True


def own_device(device: str) -> str:
    """Under torchrun, "cuda" is this process's own GPU."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


def with_seed(spec: RunSpec, seed: int) -> RunSpec:
    """The run with another seed, which also draws the words of a bundled task anew; your own data stay as they are."""
    return replace(spec, seed=seed, word_draw=seed if spec.data is None else 0)


def get_task(spec: RunSpec) -> Task:
    """The bundled task of that name, or the user's own JSONL; of either, with `shots`, a few examples."""
    task = load_jsonl(spec.data) if spec.data is not None else drawn_task(spec.task, spec.word_draw)
    return task if spec.shots is None else few_shot(task, total=spec.shots, seed=spec.seed)


def task_of(folder: str | Path) -> Task:
    """The task, with its very words, that the finished run in `folder` was made on."""
    return get_task(RunSpec(**read_json(Path(folder) / "result.json")["spec"]))


def new_method(spec: RunSpec, task: Task) -> Method:
    """The run's method; what it needs of the task and was not told, or told as labels=task, it takes from the task."""
    name, told = "full" if spec.method == "random_base" else spec.method, dict(spec.hyperparameters)
    if name == "hard_prompt" and not told and not spec.data:
        told = first_prompt(task.name)
    if told.get("init") == "labels" or told.get("format") == "unified":
        told.setdefault("labels", task.labels)
    if list(told.get("labels", ())) == ["task"]:
        told["labels"] = task.labels
    return make_method(name, told)


def run(spec: RunSpec, progress: bool = False) -> dict:
    """Train, read the evaluation split once, measure, and keep everything in `spec.folder`; returns the result."""
    with locked(spec.folder) if is_first_process() else nullcontext():
        earlier = finished(spec)  # another process may have made it a moment ago
        return make(spec, progress) if earlier is None else earlier


def make(spec: RunSpec, progress: bool) -> dict:
    """`run`, with the folder for this process alone."""
    settings, task = training_settings(spec), get_task(spec)
    model = random_init(spec.model, spec.seed) if spec.method == "random_base" else load(spec.model)
    model.to(own_device(spec.device))
    result = {"spec": asdict(spec), "metric": task.metric, "chance": task.chance, "provenance": provenance()}
    if spec.data is not None:
        result["data_sha256"] = digest(spec.data)
    try:
        result |= UNTRAINED if spec.method == "untuned" else train(spec, task, model, settings, progress)
    except TrainingFailed as error:
        if spec.split != "dev":
            raise
        return failed(spec, result, error)
    result["total_parameters"] = sum(parameter.numel() for parameter in load(spec.model).parameters())
    result |= read_split(spec, task, model)
    if spec.split != "dev" and spec.method != "random_base":  # which has nothing to forget
        result["forgotten"] = forgotten(model, spec.model)
        result["skills_lost"] = skills_lost(model, spec.model)
    if is_first_process():
        write_json(spec.result_file, result)
    return result


def failed(spec: RunSpec, result: dict, error: TrainingFailed) -> dict:
    """A sweep goes on where a rate was too high: that is the run's result, and its score 0."""
    result |= {**UNTRAINED, "failed": str(error), "dev": 0.0}
    write_json(spec.result_file, result)
    (Path(spec.folder) / "resume.pt").unlink(missing_ok=True)
    return result


def read_split(spec: RunSpec, task: Task, model) -> dict:
    """The score on the run's split, that of each slice, and what was answered: a mark a text (`tasks/answers.py`).

    Answers that were written are kept as "texts" beside their marks.
    """
    reading = {"limit": spec.test_limit, "max_source_length": spec.max_source_length}
    found = evaluate(model, task, spec.split, predictions=True, **reading)
    texts = found["predictions"]
    result = {spec.split: found["score"], "slices": found.get("slices", {})}
    result["predictions"] = marked(task, getattr(task, spec.split)[: spec.test_limit], texts)
    return result if task.metric in RANKED else {**result, "texts": texts}


def training_settings(spec: RunSpec) -> TrainingSettings:
    """How the run is trained. Raises UserError for what nothing can be learned with."""
    names = ("steps", "batch_size", "learning_rate", "schedule", "patience", "seed", "max_source_length")
    told = {name: getattr(spec, name) for name in names}
    return TrainingSettings(**told, evaluate_every=EVALUATE_EVERY)


def train(spec: RunSpec, task: Task, model, settings: TrainingSettings, progress: bool) -> dict:
    """Fine-tune `model` in place as `spec` says; the numbers of the training itself."""
    torch.manual_seed(spec.seed)
    method = new_method(spec, task)
    method.attach(model)
    # Both now: a prefix drops its training network at the end.
    memory, moved = step_memory(model, method, task, spec.batch_size, spec.max_source_length), method.trained_count()
    outcome = fine_tune(model, method, task, settings, run_dir=spec.folder, progress=progress)
    adapter = Path(spec.folder) / "adapter.pt"
    if is_first_process():
        save_adapter(adapter, model, method)
    return {
        "dev": outcome.best_dev,
        "dev_scores": outcome.dev_scores,
        "steps_to_90": steps_to_learn(outcome.dev_scores, task.chance),
        "trained_parameters": method.stored_count(),
        "moved_parameters": moved,
        "seconds_per_step": outcome.seconds_per_step,
        "memory": memory,
        "adapter_bytes": adapter.stat().st_size if is_first_process() else 0,
        "losses": [round(loss, 4) for loss in outcome.losses[:: max(1, len(outcome.losses) // 50)]],
    }
