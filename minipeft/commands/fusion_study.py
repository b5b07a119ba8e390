"""`python -m minipeft.commands.fusion_study`: does AdapterFusion beat its best single adapter where examples are few?

Stage 1 trains a Pfeiffer adapter on each source task, and one on the few examples of the target; stage 2 fuses them all
on the same few examples. Learning rates of both stages are chosen on the target's dev split by a seed apart. Rows: the
target's own adapter, every source's adapter as it is, the fusion. Goes to `data/results/<target>-fusion.json`; can be
killed and run again.
"""

import argparse
import shlex
from dataclasses import asdict, replace
from pathlib import Path

from minipeft.commands.acceptance import RESULTS
from minipeft.commands.arguments import DEFAULT_MODEL
from minipeft.files import write_json
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.picture import picture
from minipeft.racing.pool import default_workers, run_all
from minipeft.racing.runs import RunSpec, get_task
from minipeft.racing.sweep import SWEEP_SEED, bundled_rates, grid
from minipeft.racing.table import summarise
from minipeft.training.adapter_files import load_adapter
from minipeft.training.evaluating import evaluate


def adapter_file(folder: Path | str) -> str:
    """Where a run leaves its adapter."""
    return str(Path(folder) / "adapter.pt")


def few_shot_specs(base: RunSpec, seed: int, rate: float, own: str = "", sources: tuple[str, ...] = ()) -> RunSpec:
    """A run of the target with its few examples: its own adapter, or with `own` the fusion of that and the sources'."""
    label, split = ("fusion" if own else "own adapter"), ("dev" if seed == SWEEP_SEED else "test")
    folder = str(Path(base.folder) / f"{label.replace(' ', '_')}-{rate:g}-seed{seed}")
    method, told = ("adapter_fusion", {"adapters": [own, *sources]}) if own else ("pfeiffer", {})
    return replace(
        base,
        folder=folder,
        method=method,
        label=label,
        hyperparameters=told,
        learning_rate=rate,
        seed=seed,
        split=split,
    )


def tune(base: RunSpec, workers: int, own: str = "", sources: tuple[str, ...] = ()) -> tuple[dict[float, float], float]:
    """Dev scores by rate, and the rate that is best."""
    rates = grid("adapter_fusion" if own else "pfeiffer")
    results = run_all([few_shot_specs(base, SWEEP_SEED, rate, own, sources) for rate in rates], workers, "sweep on dev")
    scores = {rate: result["dev"] for rate, result in zip(rates, results, strict=True)}
    return scores, max(scores, key=scores.get)


def as_it_is(base: RunSpec, source: str, file: str, seeds: int) -> list[dict]:
    """The source's adapter on the target, without training: the same for every seed."""
    model = load(base.model)
    total = sum(parameter.numel() for parameter in model.parameters())
    method = load_adapter(file, model, METHODS)
    result = {
        "spec": asdict(replace(base, label=f"{source} adapter", method="pfeiffer")),
        "test": evaluate(model, get_task(base), "test")["score"],
        "trained_parameters": 0,
        "stored": method.stored_count(),
        "total_parameters": total,
        "adapter_bytes": Path(file).stat().st_size,
    }
    return [result] * seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--target", default="sentiment")
    parser.add_argument("--sources", default="sentiment_food,topic,category")
    parser.add_argument("--shots", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--source-steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", default="runs/fusion")
    args = parser.parse_args()
    told = [
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in vars(args).items() if name != "out"
    ]
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
    swept = adapter_file(few_shot_specs(base, SWEEP_SEED, own_rate).folder)
    fusion_scores, fusion_rate = tune(base, workers, swept, files)
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
        "command": f"python -m minipeft.commands.fusion_study {' '.join(told)}",
        "rows": summarise([*own, *fused, *alone]),
    }
    write_json(RESULTS / f"{args.target}-fusion.json", report)
    picture(report, RESULTS / f"{args.target}-fusion.png")
    for row in report["rows"]:
        print(f"{row['method']:>24}  {row['mean']:.1f} +- {row['interval']:.1f}")


if __name__ == "__main__":
    main()
