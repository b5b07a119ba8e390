"""`python -m minipeft tasks`: the bundled tasks and models."""

from minipeft.models import model_names
from minipeft.tasks.registry import load_task, task_names

HELP = "List the bundled tasks and models."


def add_arguments(parser) -> None:
    """It takes none."""


def run(args) -> None:
    """Print a line for each task, and the names of the models."""
    for name in task_names():
        task = load_task(name)
        print(f"{name:18} {task.metric:12} chance {task.chance:5.1f}%  {task.description}")
    print(f"\nmodels: {', '.join(model_names())}")
