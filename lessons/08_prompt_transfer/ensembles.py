"""What an ensemble's vote is worth: `python lessons/08_prompt_transfer/ensembles.py --race runs/acceptance/topic`.

Reads the prompt ensembles that a race has left, one for each seed, and scores on test every member alone and the vote;
the best member is chosen on dev. Writes `data/results/<task>-ensemble.json`.
"""

import json
import sys
from pathlib import Path
from statistics import mean

from minipeft.files import write_json
from minipeft.flags import OneSentenceParser, ended
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.runs import task_of
from minipeft.racing.sweep import RESULTS
from minipeft.racing.table import interval
from minipeft.tasks.task import Task
from minipeft.training.adapter_files import load_adapter
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


def study(race: Path) -> dict:
    """By "average", "best" and "ensemble": the score of every seed, their mean and its 95% interval."""
    settings = json.loads((race / "result.json").read_text(encoding="utf-8"))
    seeds = []
    for seed in range(settings["seeds"]):
        model = load(settings["settings"]["model"])
        run = race / "runs" / f"prompt_ensemble-seed{seed}"
        ensemble = load_adapter(run / "adapter.pt", model, METHODS)
        seeds.append(evaluate_members(model, ensemble, task_of(run)))
    kinds = {kind: [seed[kind] for seed in seeds] for kind in ("average", "best", "ensemble")}
    summary = {
        kind: {"scores": scores, "mean": mean(scores), "interval": interval(scores)} for kind, scores in kinds.items()
    }
    return {
        "task": settings["settings"]["task"],
        "seeds": len(seeds),
        "members": [seed["members"] for seed in seeds],
        **summary,
    }


def main() -> None:
    parser = OneSentenceParser(description=__doc__.splitlines()[0])
    parser.add_argument("--race", type=Path, default=Path("runs/acceptance/topic"))
    args = parser.parse_args()
    report = {**study(args.race), "provenance": provenance()}
    report["command"] = f"python lessons/08_prompt_transfer/ensembles.py --race {args.race}"
    write_json(RESULTS / f"{report['task']}-ensemble.json", report)
    for kind in ("average", "best", "ensemble"):
        print(f"{kind:>8}  {report[kind]['mean']:.1f} +- {report[kind]['interval']:.1f}")


if __name__ == "__main__":
    sys.exit(ended(main))
