"""Two studies of adapters, each a word on the command line: `python lessons/10_adapter_fusion/experiment.py fusion`.

fusion: does AdapterFusion beat its best single adapter where examples are few? Stage 1 trains a Pfeiffer adapter on
each source task, and one on the few examples of the target; stage 2 fuses them all on the same few examples. Learning
rates of both stages are chosen on the target's dev split by seeds apart. Rows: the target's own adapter, that of every
source as it is, the fusion. Goes to `data/results/<target>-fusion.json`; can be killed and run again.

drop: AdapterDrop's accuracy and speed by layers, from the adapters that a race has left (--race). Rows "drop0",
"drop1", ... are specialised (so many lowest layers without an adapter, all the way), "robust" is one set for every
number. Goes to `data/results/<task>-drop_curve.json`.
"""

import argparse
import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean

from minipeft.commands.arguments import DEFAULT_MODEL
from minipeft.files import write_json
from minipeft.flags import OneSentenceParser, ended, whole
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.picture import picture
from minipeft.racing.pool import default_workers, run_all
from minipeft.racing.rates import winner
from minipeft.racing.runs import RunSpec, get_task, task_of, with_seed
from minipeft.racing.sweep import RESULTS, SWEEP_SEEDS, bundled_rates, grid, refuse_swept
from minipeft.racing.table import interval, score_cell, stored, summarise
from minipeft.training.adapter_files import load_adapter
from minipeft.training.evaluating import evaluate


def adapter_file(folder: Path | str) -> str:
    """Where a run leaves its adapter."""
    return str(Path(folder) / "adapter.pt")


def few_shot_specs(base: RunSpec, seed: int, rate: float, own: str = "", sources: tuple[str, ...] = ()) -> RunSpec:
    """A run of the target with its few examples: its own adapter, or with `own` the fusion of that and the sources'."""
    label, split = ("fusion" if own else "own adapter"), ("dev" if seed in SWEEP_SEEDS else "test")
    folder = str(Path(base.folder) / f"{label.replace(' ', '_')}-{rate:g}-seed{seed}")
    method, told = ("adapter_fusion", {"adapters": [own, *sources]}) if own else ("pfeiffer", {})
    return replace(
        with_seed(base, seed),
        folder=folder,
        method=method,
        label=label,
        hyperparameters=told,
        learning_rate=rate,
        split=split,
    )


def tune(base: RunSpec, workers: int, own_rate: float = 0.0, sources: tuple[str, ...] = ()) -> tuple[dict, float]:
    """Mean dev scores by rate, and the rate that wins; with `own_rate` of the fusion, which reads adapters of it."""
    specs = []
    for rate in grid("adapter_fusion" if own_rate else "pfeiffer"):
        for seed in SWEEP_SEEDS:
            own = adapter_file(few_shot_specs(base, seed, own_rate).folder) if own_rate else ""
            specs.append(few_shot_specs(base, seed, rate, own, sources))
    dev: dict[float, list[float]] = {}
    for spec, result in zip(specs, run_all(specs, workers, "sweep on dev"), strict=True):
        dev.setdefault(spec.learning_rate, []).append(result["dev"])
    return {rate: mean(scores) for rate, scores in dev.items()}, winner(dev)


def as_it_is(base: RunSpec, source: str, file: str, seeds: int) -> list[dict]:
    """The source's adapter on the target, without training: one result for the words of every seed."""
    model = load(base.model)
    total = sum(parameter.numel() for parameter in model.parameters())
    method = load_adapter(file, model, METHODS)
    specs = [with_seed(replace(base, label=f"{source} adapter", method="pfeiffer"), seed) for seed in range(seeds)]
    return [
        {
            "spec": asdict(spec),
            "test": evaluate(model, get_task(spec), "test")["score"],
            "trained_parameters": method.stored_count(),
            "moved_parameters": 0,
            "total_parameters": total,
            "adapter_bytes": Path(file).stat().st_size,
        }
        for spec in specs
    ]


def add_fusion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--target", default="sentiment")
    parser.add_argument("--sources", default="sentiment_food,topic,category")
    parser.add_argument("--shots", type=whole(), default=32)
    parser.add_argument("--steps", type=whole(), default=200)
    parser.add_argument("--source-steps", type=whole(), default=600)
    parser.add_argument("--seeds", type=whole(), default=5)
    parser.add_argument("--out", default="runs/fusion")


def fusion(args: argparse.Namespace) -> None:
    """Race the fusion, write its file and picture, print the rows."""
    refuse_swept(range(args.seeds))
    names = ("model", "target", "sources", "shots", "steps", "source_steps", "seeds")
    told = [f"--{name.replace('_', '-')} {shlex.quote(str(getattr(args, name)))}" for name in names]
    folder, workers, names = Path(args.out) / args.target, default_workers("cpu"), args.sources.split(",")
    base = RunSpec(str(folder), args.model, args.target, "pfeiffer", steps=args.steps, shots=args.shots)
    source_specs = [
        replace(base, folder=str(folder / f"source-{name}"), task=name, shots=None, steps=args.source_steps,
                learning_rate=bundled_rates(args.model, name).get("pfeiffer"))
        for name in names
    ]  # fmt: skip
    run_all(source_specs, workers, "source tasks")
    files = tuple(adapter_file(spec.folder) for spec in source_specs)

    seeds = range(args.seeds)
    own_scores, own_rate = tune(base, workers)
    own_specs = [few_shot_specs(base, seed, own_rate) for seed in seeds]
    own = run_all(own_specs, workers, "own adapter")
    fusion_scores, fusion_rate = tune(base, workers, own_rate, files)
    fused_specs = [
        few_shot_specs(base, seed, fusion_rate, adapter_file(spec.folder), files)
        for seed, spec in zip(seeds, own_specs, strict=True)
    ]
    fused = run_all(fused_specs, workers, "fusion")
    alone = [run for name, file in zip(names, files, strict=True) for run in as_it_is(base, name, file, args.seeds)]
    report = {
        "title": f"{args.target}, {args.model}, {args.shots} shots: fusion and its adapters",
        "metric": own[0]["metric"],
        "chance": own[0]["chance"],
        "settings": asdict(replace(base, folder="", method="")),
        "seeds": args.seeds,
        "learning_rates": {"own adapter": own_rate, "fusion": fusion_rate},
        "sweep": {"own adapter": own_scores, "fusion": fusion_scores},
        "provenance": provenance(),
        "command": f"python lessons/10_adapter_fusion/experiment.py fusion {' '.join(told)}",
        "rows": summarise([*own, *fused, *alone]),
    }
    write_json(RESULTS / f"{args.target}-fusion.json", report)
    picture(report, RESULTS / f"{args.target}-fusion.png")
    for row in report["rows"]:
        print(f"{row['method']:>24}  {score_cell(row)}")


def curves(race: Path) -> dict:
    """Test scores by kind, number of layers without adapters, and seed; seconds of a training step by number."""
    report = json.loads((race / "result.json").read_text(encoding="utf-8"))
    rows = {row["method"]: row for row in report["rows"]}
    specialised = {int(name[4:]): row for name, row in rows.items() if name[:4] == "drop" and name[4:].isdigit()}
    robust = {}
    for seed in range(report["seeds"]):
        model = load(report["settings"]["model"])
        run = race / "runs" / f"robust-seed{seed}"
        task, method = task_of(run), load_adapter(run / "adapter.pt", model, METHODS)
        for number in sorted(specialised):
            method.drop(number)
            robust.setdefault(number, []).append(evaluate(model, task, "test")["score"])
    return {
        "task": report["settings"]["task"],
        "seeds": report["seeds"],
        "specialised": {number: specialised[number]["scores"] for number in sorted(specialised)},
        "robust": robust,
        "seconds_per_step": {number: specialised[number]["seconds_per_step"] for number in sorted(specialised)},
        "trained": {number: stored(specialised[number]) for number in sorted(specialised)},
        "learning_rates": {name: rate for name, rate in report["learning_rates"].items() if name in rows},
        "commits": report["commits"],
    }


def draw_curve(report: dict, path: Path) -> bool:
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


def drop(args: argparse.Namespace) -> None:
    """Read a race of AdapterDrops, write the curve's file and picture."""
    report = {**curves(args.race), "provenance": provenance()}
    report["command"] = f"python lessons/10_adapter_fusion/experiment.py drop --race {args.race}"
    name = f"{report['task']}-drop_curve"
    write_json(RESULTS / f"{name}.json", report)
    draw_curve(report, RESULTS / f"{name}.png")


def main(arguments: list[str] | None = None) -> None:
    parser = OneSentenceParser(description=__doc__.splitlines()[0])
    studies = parser.add_subparsers(dest="study", required=True)
    add_fusion(studies.add_parser("fusion", help="few examples of a target, adapters of other tasks"))
    reading = studies.add_parser("drop", help="AdapterDrop's score and speed by layers, of a race that was run")
    reading.add_argument("--race", type=Path, default=Path("runs/acceptance/topic"))
    args = parser.parse_args(arguments)
    (fusion if args.study == "fusion" else drop)(args)


if __name__ == "__main__":
    sys.exit(ended(main))
