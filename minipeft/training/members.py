"""An ensemble against its members: what the vote is worth."""

from statistics import mean

from minipeft.tasks.task import Task
from minipeft.training.evaluating import evaluate


def evaluate_members(model, ensemble, task: Task, split: str = "test", **reading) -> dict:
    """Scores in percent on `split` of every member of `ensemble`, attached to `model`, and of their vote.

    Returns {"members", "average", "best", "best_member", "ensemble"}. The best member is named on dev, not on `split`:
    one cannot choose by the scores that one reports. `reading` goes to `evaluate`, as `batch_size` or `limit`.
    """
    on_split, on_dev = [], []
    for number in range(ensemble.members):
        with ensemble.only(number):
            on_split.append(evaluate(model, task, split, **reading)["score"])
            on_dev.append(evaluate(model, task, "dev", **reading)["score"])
    best = max(range(ensemble.members), key=on_dev.__getitem__)
    return {
        "members": on_split,
        "average": mean(on_split),
        "best": on_split[best],
        "best_member": best,
        "ensemble": evaluate(model, task, split, **reading)["score"],
    }
