"""`python -m minipeft transfer`: does a prompt tuned on other tasks help on this one, and which ones should it be?

Every source gets a prompt, and every task an embedding: its prompt after EARLY steps. The k sources most similar to the
target are used in three ways: each is tried and the best on dev kept; one start is averaged from them; one prompt is
tuned on them together. All runs are kept in --out, so a killed command goes on where it stopped.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from minipeft.commands.arguments import add_model, add_task, label, spec_from
from minipeft.errors import UserError
from minipeft.files import locked, write_json
from minipeft.flags import positive, whole, words
from minipeft.methods.prompts.spot import save_prompt
from minipeft.provenance import provenance
from minipeft.racing.finished import check_report
from minipeft.racing.pool import default_workers, run_all
from minipeft.racing.rehearsal import rehearse
from minipeft.racing.runs import RunSpec, folder_name
from minipeft.training.adapter_files import read_adapter
from minipeft.transfer.task_embeddings import SIMILARITIES, most_similar, weighted_average

EARLY = 100  # steps of a task embedding; up to here a run is evaluated once, at its end, so that the end is kept
RETRIEVALS = ("best", "average", "mixture")
ROWS = {"k", "similarity", "retrieval"}  # what decides which rows a report has, and no row
NO_SETTINGS = ("command", "module", "out", "workers")  # what decides no outcome

HELP = "Find source tasks like --target and start its prompt from theirs (SPoT)."


def add_arguments(parser) -> None:
    add_model(parser)
    add_task(parser, "--target")
    parser.add_argument(
        "--sources", type=words, default="sentiment_food,who_liked", help="comma-separated bundled tasks"
    )
    parser.add_argument("--k", type=whole(), default=1, help="how many of the sources to use (default 1)")
    parser.add_argument(
        "--similarity", default="means", choices=tuple(SIMILARITIES), help="cosine of means, or of tokens"
    )
    parser.add_argument(
        "--retrieval",
        type=words,
        default=",".join(RETRIEVALS),
        help="which of best,average,mixture (default: all)",
    )
    parser.add_argument("--steps", type=whole(), default=600, help="of every prompt, the sources' and the target's")
    parser.add_argument("--shots", type=whole(), help="tune on so many target examples, with as many for dev")
    parser.add_argument("--prompt-length", type=whole(), default=20)
    parser.add_argument("--learning-rate", type=positive(), help="default: prompt tuning's own")
    parser.add_argument("--workers", type=whole(1, 1000), help="worker processes (default: one per core)")
    parser.add_argument("--out", type=words, help="default runs/transfer-<model>-<target>")


def run(args) -> None:
    """Tune sources and target, compare, retrieve, transfer; print the table and write `result.json`."""
    sources, ways = list(dict.fromkeys(args.sources.split(","))), args.retrieval.split(",")
    if strangers := set(ways) - set(RETRIEVALS):
        raise UserError(f"There is no retrieval {sorted(strangers)[0]!r}: choose of {', '.join(RETRIEVALS)}.")
    if args.k > len(sources):
        raise UserError(f"--k {args.k} does not fit {len(sources)} source(s): ask for 1 to {len(sources)}.")
    target = spec_from(
        args,
        method="prompt_tuning",
        hyperparameters={"prompt_length": args.prompt_length},
        learning_rate=args.learning_rate,
        steps=args.steps,
        shots=args.shots,
    )
    source = {name: replace(target, task=name, data=None, shots=None) for name in sources}
    if args.task in source and not args.data:
        raise UserError(f"{args.task} is the target and among the sources: take it out of --sources.")
    rehearse([target, *source.values()])
    name = folder_name(f"transfer-{Path(args.model).name}-{label(args)}")
    with locked(args.out or f"runs/{name}") as folder:
        transfer(args, folder, target, source, ways)


def transfer(args, folder: Path, target: RunSpec, source: dict[str, RunSpec], ways: list[str]) -> None:
    """The runs of the command, and its report."""
    told = settings_of(args)
    check_report(folder / "result.json", {name: told[name] for name in told.keys() - ROWS})
    tune = Tuning(folder, args.workers or default_workers(args.device))
    similarities, tuned = tune_sources(tune, target, source)
    chosen = list(similarities[args.similarity].items())[: args.k]
    print("similar: " + ", ".join(f"{name} {value:.3f}" for name, value in similarities[args.similarity].items()))
    starts = make_starts(tune, source, tuned, chosen, ways)
    runs = {"no transfer": target, **{row: from_prompt(target, path) for row, path in starts.items()}}
    report(args, folder, tune("target", runs), similarities, [name for name, _ in chosen] if "best" in ways else [])


@dataclass
class Tuning:
    """Runs of one command, each in its own folder below `folder`; finished ones are kept."""

    folder: Path
    workers: int

    def __call__(self, stage: str, specs: dict[str, RunSpec]) -> dict[str, dict]:
        """The results of `specs` by their names."""
        placed = [replace(spec, folder=str(self.folder / stage / folder_name(name))) for name, spec in specs.items()]
        return dict(zip(specs, run_all(placed, self.workers, stage), strict=True))


def adapter_of(result: dict) -> dict:
    return read_adapter(Path(result["spec"]["folder"]) / "adapter.pt")


def prompt_of(result: dict) -> torch.Tensor:
    """The prompt that a run has tuned, (prompt_length, hidden)."""
    (prompt,) = adapter_of(result)["weights"].values()
    return prompt


def tune_sources(tune: Tuning, target: RunSpec, source: dict[str, RunSpec]) -> tuple[dict, dict]:
    """By similarity, that of every source to the target, the most similar first; and the sources' whole runs.

    A task's embedding is a short run. With one seed all start from the same prompt.
    """

    def short(spec: RunSpec) -> RunSpec:
        return replace(spec, steps=min(EARLY, spec.steps))

    early = {f"{name}-early": short(spec) for name, spec in source.items()}
    results = tune("sources", {**early, **source})
    (own,) = tune("target", {"early": short(target)}).values()
    prompts = {name: prompt_of(results[f"{name}-early"]) for name in source}
    similarities = {kind: dict(most_similar(prompt_of(own), prompts, len(prompts), kind)) for kind in SIMILARITIES}
    return similarities, {name: results[name] for name in source}


def make_starts(
    tune: Tuning, source: dict[str, RunSpec], tuned: dict[str, dict], chosen: list[tuple[str, float]], ways: list[str]
) -> dict[str, str]:
    """Prompt files to start the target from, by the row of the table they make."""
    starts = {}
    files = {name: save_start(tune.folder, result, name, prompt_of(result)) for name, result in tuned.items()}
    if "best" in ways:
        starts |= {f"from {name}": files[name] for name, _ in chosen}
    if "average" in ways:
        average = weighted_average([prompt_of(tuned[name]) for name, _ in chosen], [value for _, value in chosen])
        starts[f"average of {len(chosen)}"] = save_start(tune.folder, tuned[chosen[0][0]], "average", average)
    if "mixture" in ways:
        together = "+".join(name for name, _ in chosen)
        (mixed,) = tune("sources", {together: replace(source[chosen[0][0]], task=together)}).values()
        starts[f"mixture of {len(chosen)}"] = save_start(tune.folder, mixed, together, prompt_of(mixed))
    return starts


def save_start(folder: Path, result: dict, name: str, prompt: torch.Tensor) -> str:
    """Write `prompt`, of the base that the run of `result` had, as a file that SPoT can start from."""
    path, spec = folder / "prompts" / f"{folder_name(name)}.pt", result["spec"]
    told = {"settings": spec, "dev": result["dev"], **result["provenance"]}
    save_prompt(path, prompt, adapter_of(result)["base"], Path(spec["model"]).name, name, told)
    return str(path)


def from_prompt(target: RunSpec, path: str) -> RunSpec:
    """The target's run, started from the prompt in the file `path`."""
    return replace(target, method="spot", hyperparameters={**target.hyperparameters, "source": path})


def settings_of(args) -> dict:
    """The flags that decide what comes out."""
    return {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}


def report(args, folder: Path, results: dict[str, dict], similarities: dict, tried: list[str]) -> None:
    """Print and keep the scores; of the `tried` sources, the best on dev is the result of the search."""
    rows = [{"start": name, "dev": result["dev"], "test": result["test"]} for name, result in results.items()]
    if tried:
        best = max((row for row in rows if row["start"].removeprefix("from ") in tried), key=lambda row: row["dev"])
        rows.append({**best, "start": f"best of {len(tried)} on dev: {best['start']}"})
    width = max(len(row["start"]) for row in rows)
    print(f"\n| {'start'.ljust(width)} |   dev |  test |\n|{'-' * (width + 2)}|------:|------:|")
    for row in rows:
        print(f"| {row['start'].ljust(width)} | {row['dev']:5.1f} | {row['test']:5.1f} |")
    content = {
        "settings": settings_of(args),
        "early_steps": min(EARLY, args.steps),
        "similarities": similarities,
        "rows": rows,
    }
    write_json(folder / "result.json", {**content, "provenance": provenance()})
