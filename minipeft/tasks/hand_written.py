"""Hand-written prompts of the bundled tasks: words around the source, and words that stand for each answer.

They stand in `data/tasks/<name>/task.json` (written by `tasks/making/hand_written_prompts.py`). The first template and
the first verbalizer are what `compare` takes; `python -m minipeft prompts` measures how much the choice matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minipeft.tasks.registry import read_card, task_names


@dataclass(frozen=True)
class HandWritten:
    """Every template can be read with every verbalizer, which maps each answer of the task to its words."""

    templates: Sequence[str] = ()
    verbalizers: Sequence[Mapping[str, Sequence[str]]] = ({},)


def hand_written(task: str) -> HandWritten:
    """The prompts of a bundled task: without a template where none was written."""
    card = read_card(task) if task in task_names() else {}
    return HandWritten(card["templates"], card["verbalizers"]) if card.get("templates") else HandWritten()


def first_prompt(task: str) -> dict:
    """The first template and verbalizer for a bundled task, as hyper-parameters; nothing where there are none."""
    words = hand_written(task)
    return {"template": words.templates[0], "verbalizer": words.verbalizers[0]} if words.templates else {}
