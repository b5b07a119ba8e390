"""`python -m minipeft.commands.ensemble_study --race runs/acceptance/topic`: what an ensemble's vote is worth.

Reads the prompt ensembles that a race has left, one for each seed, and scores on test every member alone and the vote;
the best member is chosen on dev. Writes `data/results/<task>-ensemble.json`.
"""

import argparse
import json
from pathlib import Path

from minipeft.commands.acceptance import RESULTS
from minipeft.files import write_json
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.table import interval
from minipeft.tasks.registry import load_task
from minipeft.training.adapter_files import load_adapter
from minipeft.training.members import evaluate_members


def study(race: Path) -> dict:
    """By "average", "best" and "ensemble": the score of every seed, their mean and its 95% interval."""
    settings = json.loads((race / "result.json").read_text(encoding="utf-8"))
    task, seeds = load_task(settings["settings"]["task"]), []
    for seed in range(settings["seeds"]):
        model = load(settings["settings"]["model"])
        ensemble = load_adapter(race / "runs" / f"prompt_ensemble-seed{seed}" / "adapter.pt", model, METHODS)
        seeds.append(evaluate_members(model, ensemble, task))
    kinds = {kind: [seed[kind] for seed in seeds] for kind in ("average", "best", "ensemble")}
    summary = {
        kind: {"scores": scores, "mean": sum(scores) / len(scores), "interval": interval(scores)}
        for kind, scores in kinds.items()
    }
    return {"task": task.name, "seeds": len(seeds), "members": [seed["members"] for seed in seeds], **summary}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--race", type=Path, default=Path("runs/acceptance/topic"))
    args = parser.parse_args()
    report = {**study(args.race), "provenance": provenance()}
    report["command"] = f"python -m minipeft.commands.ensemble_study --race {args.race}"
    write_json(RESULTS / f"{report['task']}-ensemble.json", report)
    for kind in ("average", "best", "ensemble"):
        print(f"{kind:>8}  {report[kind]['mean']:.1f} +- {report[kind]['interval']:.1f}")


if __name__ == "__main__":
    main()
