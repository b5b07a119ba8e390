"""`python -m minipeft evaluate`: score a model, with an adapter or without, on a split."""

from pathlib import Path

from minipeft.commands.arguments import add_model, add_task, spec_from
from minipeft.flags import words
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.peft_files.folders import load_peft_adapter
from minipeft.racing.runs import get_task
from minipeft.training.adapter_files import load_adapter
from minipeft.training.evaluating import evaluate

HELP = "Score a model, with an adapter or without, on a split."


def add_arguments(parser) -> None:
    add_model(parser)
    add_task(parser)
    add_adapter(parser)
    parser.add_argument("--split", default="test", choices=("train", "dev", "test"))


def add_adapter(parser) -> None:
    parser.add_argument(
        "--adapter", type=words, help="the adapter.pt of a training run, or an adapter's folder of the peft library"
    )


def run(args) -> None:
    """Print the score."""
    task = get_task(spec_from(args))
    result = evaluate(loaded(args), task, args.split, max_source_length=args.max_source_length)
    print(f"{task.name} {args.split}: {result['metric']} {result['score']:.1f}% on {result['n']} examples")
    for name, score in result.get("slices", {}).items():
        print(f"  {name}: {score:.1f}%")


def loaded(args):
    """The model of --model, with the adapter of --adapter where there is one."""
    model = load(args.model).to(args.device)
    if args.adapter and Path(args.adapter).is_dir():
        load_peft_adapter(args.adapter, model)
    elif args.adapter:
        load_adapter(args.adapter, model, METHODS)
    return model
