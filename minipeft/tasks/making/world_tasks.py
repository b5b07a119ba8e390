"""The tasks of the tiny world by name; each family is one file."""

from minipeft.tasks.making import tracking_tasks, word_tasks

TASKS = {**tracking_tasks.TASKS, **word_tasks.TASKS}
