"""What a task gives away to whoever does not read: plain rules, each fitted on train alone and scored on test.

A task is worth tuning for only as far as it lies above the best of them, so the page of the tasks shows that one beside
a blind guess.
"""

from minipeft.tasks.metrics import score
from minipeft.tasks.rules.candidates import CANDIDATES
from minipeft.tasks.rules.labels import LABELS
from minipeft.tasks.rules.texts import TEXTS
from minipeft.tasks.task import Task


def rule_scores(task: Task) -> dict[str, float]:
    """The score on test of every rule that can answer the task, in percent of its metric."""
    rules = LABELS if task.labels else CANDIDATES if task.test[0].candidates else TEXTS
    scores = {}
    for name, rule in rules.items():
        answer = rule(task.train)
        predictions = [answer(example) for example in task.test]
        scores[name] = score(task.metric, predictions, [example.target for example in task.test])
    return scores
