"""How every bundled task is made, by name: its examples, and the card that says what the task is."""

from minipeft.tasks.making import meanings, opinion_changes, opinion_tasks, prose, topics, word_tasks
from minipeft.tasks.making.hand_written_prompts import HAND_WRITTEN
from minipeft.tasks.making.recipes import generate
from minipeft.tasks.task import Example

RECIPES = {
    **opinion_tasks.TASKS,
    **opinion_changes.TASKS,
    **word_tasks.TASKS,
    **meanings.TASKS,
    **topics.TASKS,
    **prose.TASKS,
}


def make_examples(name: str, split: str, draw: int = 0) -> list[Example]:
    """The examples of one split of a task, in the given draw of its words."""
    return generate(RECIPES[name], split, draw)


def make_card(name: str) -> dict:
    """The content of `data/tasks/<name>/task.json`: all that `load_task` and hard prompts need to know of a task."""
    recipe = RECIPES[name]
    card = {
        "description": recipe.description,
        "metric": recipe.metric,
        "labels": list(recipe.labels),
        "held_out": recipe.held_out,
    }
    if name in HAND_WRITTEN:
        words = HAND_WRITTEN[name]
        card |= {"templates": list(words.templates), "verbalizers": [dict(words) for words in words.verbalizers]}
    return card
