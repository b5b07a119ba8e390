"""minipeft: a frozen transformer you can read, and every way of fine-tuning it cheaply in one short file each."""

from minipeft import interrupts  # noqa: F401  first: the others take seconds
from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.methods.registry import METHODS
from minipeft.models import load, model_names, random_init
from minipeft.peft_files.folders import load_peft_adapter, save_peft_adapter
from minipeft.tasks.multi_task import mixture, prefixed
from minipeft.tasks.own_data import load_jsonl
from minipeft.tasks.registry import few_shot, load_task, task_names
from minipeft.tasks.task import Example, Task
from minipeft.training import adapter_files
from minipeft.training.adapter_files import save_adapter
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

__version__ = "0.1.0"


def load_adapter(path, model) -> Method:
    """Attach the method that `save_adapter` wrote to `path`, with its weights, to the base it was trained on."""
    return adapter_files.load_adapter(path, model, METHODS)


__all__ = [
    "METHODS",
    "Example",
    "Method",
    "Task",
    "TrainingSettings",
    "UserError",
    "evaluate",
    "few_shot",
    "fine_tune",
    "load",
    "load_adapter",
    "load_jsonl",
    "load_peft_adapter",
    "load_task",
    "mixture",
    "model_names",
    "prefixed",
    "random_init",
    "save_adapter",
    "save_peft_adapter",
    "task_names",
]
