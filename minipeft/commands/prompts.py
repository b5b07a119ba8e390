"""`python -m minipeft prompts`: how much the score of a hard prompt depends on its words, and the best one on dev."""

import json
from itertools import product
from pathlib import Path

from minipeft.commands.arguments import add_model, add_task, label, spec_from
from minipeft.errors import UserError, excerpt, one_line
from minipeft.files import locked, write_json
from minipeft.flags import whole, words
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.finished import check_report, digest
from minipeft.racing.prompt_variation import score_prompts, table, variation
from minipeft.racing.runs import folder_name, get_task
from minipeft.tasks.demonstrations import draw_demonstrations
from minipeft.tasks.hand_written import HandWritten, hand_written
from minipeft.tasks.task import Task
from minipeft.training.adapter_files import save_adapter

HELP = "Score hard prompts on dev: every template with every verbalizer."
DRAWS = 3
NO_SETTINGS = ("command", "module", "out")  # what decides no outcome


def add_arguments(parser) -> None:
    add_model(parser)
    add_task(parser)
    parser.add_argument("--shots", type=whole(0), default=0, help="demonstrations before each source (default 0)")
    parser.add_argument(
        "--draws",
        type=whole(1, 1000),
        default=DRAWS,
        help=f"how often demonstrations are drawn (default {DRAWS}, without --shots once)",
    )
    parser.add_argument(
        "--template", type=words, action="append", metavar="TEXT", help="yours in place of the task's: '{source} So:'"
    )
    parser.add_argument(
        "--verbalizer", type=words, action="append", metavar="JSON", help='yours: \'{"good": ["Good."], ...}\''
    )
    parser.add_argument("--limit", type=whole(), help="read so many dev examples only")
    parser.add_argument("--out", type=words, help="default runs/prompts-<model>-<task>-<shots>shots")


def run(args) -> None:
    """Score them all; the best one on dev is kept."""
    name = folder_name(f"prompts-{Path(args.model).name}-{label(args)}-{args.shots}shots")
    task, model = get_task(spec_from(args)), load(args.model).to(args.device)
    with locked(args.out or f"runs/{name}") as folder:
        compare_prompts(model, task, folder, args)


def words_to_try(args) -> HandWritten:
    """The bundled task's templates and verbalizers, or the user's; without any verbalizer an answer is its own word."""
    known = HandWritten() if args.data else hand_written(args.task)
    templates = args.template or known.templates
    if not templates:
        raise UserError("There are no hand-written prompts for this task: give yours with --template '{source} ...'.")
    return HandWritten(templates, [parse_verbalizer(text) for text in args.verbalizer or ()] or known.verbalizers)


def parse_verbalizer(text: str) -> dict[str, list[str]]:
    try:
        verbalizer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'--verbalizer takes JSON such as {{"good": ["Good."]}}; \'{excerpt(text)}\' is not: {one_line(error)}.'
        ) from None
    if not isinstance(verbalizer, dict):
        raise UserError(
            f'--verbalizer takes a label\'s words by label, as {{"good": ["Good."]}}; got \'{excerpt(text)}\'.'
        )
    return verbalizer


def compare_prompts(model, task: Task, folder: Path, args) -> dict:
    """Score every template with every verbalizer and draw on dev; print the table, write result.json and adapter.pt.

    The adapter is the prompt that is best on dev; the test split is not read.
    """
    hand, file = words_to_try(args), folder / "result.json"
    settings = {name: value for name, value in vars(args).items() if name not in NO_SETTINGS}
    settings["data_sha256"] = digest(args.data) if args.data else None
    check_report(file, settings)
    draws = args.draws if args.shots else 1  # without demonstrations there is nothing to draw
    seeds = range(args.seed, args.seed + draws)
    shown = {seed: draw_demonstrations(task, args.shots, seed) for seed in seeds}
    numbered = {str(number): verbalizer for number, verbalizer in enumerate(hand.verbalizers, start=1)}
    prompts = [
        (
            {"template": template, "verbalizer": number, "draw": seed},
            HardPrompt(template, shown[seed], numbered[number]),
        )
        for template, number, seed in product(hand.templates, numbered, seeds)
    ]
    rows = score_prompts(model, task, prompts, "dev", limit=args.limit, max_source_length=args.max_source_length)
    best = max(range(len(rows)), key=lambda number: rows[number]["score"])
    report = {
        "settings": settings,
        "task": task.name,
        "model": args.model,
        "split": "dev",
        "limit": args.limit,
        "metric": task.metric,
        "chance": task.chance,
        "shots": args.shots,
        **variation(rows),
        "best": rows[best],
        "verbalizers": numbered,
        "demonstrations": shown,
        "rows": rows,
        "provenance": provenance(),
    }
    write_json(file, report)
    method = prompts[best][1]
    method.attach(model)
    save_adapter(folder / "adapter.pt", model, method)
    method.detach()
    print(summary(report))
    print(f"Best on dev: {folder / 'adapter.pt'}; score it with: python -m minipeft evaluate --adapter ...")
    return report


def summary(report: dict) -> str:
    """The table, its legend and the spread, for the terminal."""
    legend = [f"  verbalizer {number}: {describe(words)}" for number, words in report["verbalizers"].items()]
    spread = ", ".join(
        f"over {factor}s {'-' if deviation is None else format(deviation, '.1f')}"
        for factor, deviation in report["deviation_over"].items()
    )
    lines = [
        f"{report['metric']} on dev in percent, {report['shots']} shot(s); a blind guess has {report['chance']:.1f}\n",
        table(report["rows"]),
        "",
        *legend,
        f"mean {report['mean']:.1f}, lowest {report['lowest']:.1f}, highest {report['highest']:.1f}",
        f"standard deviation: {spread}",
    ]
    return "\n".join(lines)


def describe(verbalizer: dict) -> str:
    """The words of the first three labels."""
    labels = [f"{label} -> {' / '.join(words)}" for label, words in list(verbalizer.items())[:3]]
    return "; ".join([*labels, "..."] if len(verbalizer) > 3 else labels) or "the answers themselves"
