"""`python -m minipeft.commands.drop_curve --race runs/acceptance/topic`: AdapterDrop's accuracy and speed by layers.

Reads the adapters that a race has left: rows "drop0", "drop1", ... are specialised (so many lowest layers without an
adapter, all the way), "robust" is one set for every number. Writes `data/results/<task>-drop_curve.json` and a picture.
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
from minipeft.training.evaluating import evaluate


def curves(race: Path) -> dict:
    """Test scores by kind, number of layers without adapters, and seed; seconds of a training step by number."""
    report = json.loads((race / "result.json").read_text(encoding="utf-8"))
    rows = {row["method"]: row for row in report["rows"]}
    specialised = {int(name[4:]): row for name, row in rows.items() if name[:4] == "drop" and name[4:].isdigit()}
    task, robust = load_task(report["settings"]["task"]), {}
    for seed in range(report["seeds"]):
        model = load(report["settings"]["model"])
        method = load_adapter(race / "runs" / f"robust-seed{seed}" / "adapter.pt", model, METHODS)
        for number in sorted(specialised):
            method.drop(number)
            robust.setdefault(number, []).append(evaluate(model, task, "test")["score"])
    return {
        "task": task.name,
        "seeds": report["seeds"],
        "specialised": {number: specialised[number]["scores"] for number in sorted(specialised)},
        "robust": robust,
        "seconds_per_step": {number: specialised[number]["seconds_per_step"] for number in sorted(specialised)},
        "trained": {number: specialised[number]["trained"] for number in sorted(specialised)},
        "learning_rates": {name: rate for name, rate in report["learning_rates"].items() if name in rows},
        "commits": report["commits"],
    }


def picture(report: dict, path: Path) -> bool:
    """Score against the number of layers; False without matplotlib (the [plots] extra)."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), dpi=150, facecolor="white")
    for kind, marker in (("specialised", "o"), ("robust", "s")):
        numbers = [int(number) for number in report[kind]]
        means = [sum(scores) / len(scores) for scores in report[kind].values()]
        spread = [interval(scores) for scores in report[kind].values()]
        axes.errorbar(numbers, means, yerr=spread, fmt=f"{marker}-", capsize=4, label=kind)
    axes.set_xticks(numbers)
    axes.set_xlabel("lowest layers without an adapter (encoder first, then decoder)")
    axes.set_ylabel("test score (%), mean and 95% interval")
    axes.set_title(f"AdapterDrop on {report['task']}, {report['seeds']} seeds", fontsize=11)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--race", type=Path, default=Path("runs/acceptance/topic"))
    args = parser.parse_args()
    report = {**curves(args.race), "provenance": provenance()}
    report["command"] = f"python -m minipeft.commands.drop_curve --race {args.race}"
    name = f"{report['task']}-drop_curve"
    write_json(RESULTS / f"{name}.json", report)
    picture(report, RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
