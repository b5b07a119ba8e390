"""A bundled task with its words drawn anew: the same lists parted in another way, and other examples.

A score on one draw is a score on its words. A race gives every seed a draw of its own, so that the spread over the
seeds also holds what the choice of words does.
"""

from functools import lru_cache

from minipeft.tasks.making.every_recipe import RECIPES
from minipeft.tasks.making.recipes import generate_splits
from minipeft.tasks.registry import check_name, composed, load_task
from minipeft.tasks.task import Task


def drawn_task(name: str, draw: int) -> Task:
    """The task in one draw of its words, made on the spot; draw 0 is read from its files, as `load_task` does.

    `name` may be a mixture or have lettered answers. Raises UserError for an unknown name.
    """
    return composed(name, lambda part: _drawn(part, draw))


@lru_cache(maxsize=16)
def _drawn(name: str, draw: int) -> Task:
    if draw == 0:
        return load_task(name)
    check_name(name)
    recipe = RECIPES[name]
    splits = {split: tuple(examples) for split, examples in generate_splits(recipe, draw=draw).items()}
    return Task(name, recipe.description, recipe.metric, recipe.labels, held_out=recipe.held_out, **splits)
