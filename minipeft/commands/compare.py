"""`python -m minipeft compare`: several methods, several seeds, one task, one table and one picture."""

import time
from dataclasses import asdict, replace
from pathlib import Path

from minipeft.commands.arguments import add_model, add_patience, add_task, label, spec_from
from minipeft.errors import UserError
from minipeft.files import locked, write_json, write_text
from minipeft.flags import whole, words
from minipeft.methods.registry import METHODS
from minipeft.provenance import provenance
from minipeft.racing.differences import as_json, differences
from minipeft.racing.differences_table import told
from minipeft.racing.entries import nearest, split_entries
from minipeft.racing.every_method import fitting, with_bundled_starts
from minipeft.racing.finished import check_report
from minipeft.racing.picture import picture
from minipeft.racing.pool import default_workers
from minipeft.racing.race import race
from minipeft.racing.runs import CONTROLS, RunSpec, folder_name, get_task
from minipeft.racing.slices_table import slices_table
from minipeft.racing.sweep import bundled_rates, entry_specs
from minipeft.racing.table import growing_header, growing_line, markdown

HELP = "Race several methods on one task: every seed, one table, one picture."
QUICK = {"steps": 300, "test_limit": 300}
FIRST_LOOK = ("full", "lora", "qlora", "houlsby", "ia3", "norm_tuning", "prefix_tuning", "prompt_tuning")
SEEDS = 5


def add_arguments(parser) -> None:
    add_model(parser)
    add_task(parser)
    parser.add_argument(
        "--methods",
        type=words,
        help="comma-separated, or all (the default: all that fit the model, and the controls); "
        "hyper-parameters follow a colon each, a name of your own may stand before: low=lora:rank=1:alpha=2",
    )
    parser.add_argument("--shots", type=whole(), help="train on so many examples a seed, with as many for dev")
    parser.add_argument("--seeds", type=whole(1, 1000), help=f"how many seeds (default {SEEDS}, with --quick 1)")
    parser.add_argument(
        "--steps", type=whole(), help=f"of each run (default {RunSpec.steps}, with --quick {QUICK['steps']})"
    )
    add_patience(parser)
    parser.add_argument(
        "--quick", action="store_true", help="a first look in a minute: one of each kind, one seed, fewer steps"
    )
    parser.add_argument(
        "--tune", action="store_true", help="first choose every method's learning rate on the dev split"
    )
    parser.add_argument("--workers", type=whole(1, 1000), help="worker processes (default: one per core)")
    parser.add_argument("--out", type=words, help="where runs and results go (default runs/compare-<model>-<task>)")


def run(args) -> None:
    """Race what the flags name; nothing starts before every entry is known to fit."""
    spec = spec_from(args, shots=args.shots, patience=args.patience, **(QUICK if args.quick else {}))
    spec = replace(spec, folder=args.out or f"runs/{default_folder(args)}", steps=args.steps or spec.steps)
    methods = entries(args)
    seeds = args.seeds or (1 if args.quick else SEEDS)
    with locked(spec.folder):
        compare(spec, methods, seeds, args.workers or default_workers(args.device), args.tune)
    if args.quick and not args.methods:
        print(f"All {len(METHODS)} methods, {SEEDS} seeds each: python -m minipeft compare")


def default_folder(args) -> str:
    shots = f"-{args.shots}shots" if args.shots else ""
    return folder_name(f"compare-{Path(args.model).name}-{label(args)}{shots}{'-quick' if args.quick else ''}")


def entries(args) -> list[str]:
    """The rows of the race: those of --methods, with --quick one of each kind, else all that fit the model."""
    known = [*METHODS, *CONTROLS]
    if args.methods and args.methods != "all":
        methods = split_entries(args.methods, known)
        for entry in entry_specs(spec_from(args), methods):
            if entry.method not in known:
                raise UserError(f"There is no method {entry.method!r}. {nearest(entry.method, known)}")
        return methods
    get_task(spec_from(args, shots=args.shots))
    names = (*FIRST_LOOK, *CONTROLS) if args.quick and not args.methods else known
    return fitting(with_bundled_starts(names, args.task), args.model)


def compare(base: RunSpec, methods: list[str], seeds: int, workers: int, tune: bool = False) -> dict:
    """Run everything, print the table, write `result.json`, `table.md` and, with matplotlib, `picture.png`.

    Rows are printed as they are done. tune: first choose each method's learning rate on dev; otherwise the bundled
    sweep's winner is taken where there is one for this model and task. Returns what result.json holds.
    """
    title = f"{base.data or base.task}, {base.model}" + (f", {base.shots} shots" if base.shots else "")
    print(f"{title}: {len(methods)} methods x {seeds} seed(s), {base.steps} steps each, in {base.folder}")
    for name in methods:
        if name in CONTROLS:
            print(f"  {name}: {CONTROLS[name]}")
    started, file = time.time(), Path(base.folder) / "result.json"
    settings = asdict(replace(base, folder="", method=""))
    check_report(file, settings)
    rates = {} if base.data or base.shots else bundled_rates(base.model, base.task)
    header = [growing_header()]

    def row_done(row: dict) -> str:
        above = header.pop() + "\n" if header else ""
        return above + growing_line(row)

    report = {"title": title, "provenance": provenance()}
    report |= race(base, methods, seeds, workers, tune, rates, row_done)
    report["seconds"] = round(time.time() - started, 1)
    table = markdown(report["rows"])
    print(f"\n{table}\n\nScore: {report['metric']} on {base.split}, in percent. Memory: MB at one training step.")
    print("Behind the score, ± or in brackets: its 95% interval over seeds, of rows that train nothing over texts.")
    print("Trained: the parameters that training moves. Stored: those of the adapter file. Forgotten: by how many nats")
    print("a token the base's own held-out loss rose. Skills lost: points of AUC at what the base could do before.")
    print("Steps to 90%: of the way from chance to the best dev score.")
    if slices := slices_table(report["rows"]):
        print(f"\nThe mean score on each slice of the texts:\n\n{slices}")
    if pairs := differences(report["rows"]):
        print(f"\nDoes a row differ from {pairs[0].against}?\n\n{told(pairs)}")
    report["differences"] = as_json(pairs)
    write_json(file, report)
    write_text(Path(base.folder) / "table.md", table + "\n")
    path = Path(base.folder) / "picture.png"
    if picture(report, path):
        print(f"Picture: {path}")
    else:
        print("No picture: install the extra with  pip install -e '.[plots]'  to get one.")
    return report
