"""The tasks of the tiny world by name; each family is one file."""

from minipeft.tasks.making import pair_tasks, tracking_tasks, word_tasks

TASKS = {**tracking_tasks.TASKS, **pair_tasks.TASKS, **word_tasks.TASKS}
