"""`python -m minipeft train`: fine-tune with one method and save the adapter; a killed run is taken up again."""

from pathlib import Path

from minipeft.commands.arguments import add_hyperparameters, add_model, add_patience, add_task, label, spec_from
from minipeft.errors import UserError
from minipeft.flags import positive, short, whole, words
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.peft_files.folders import refuse_unwritable, save_peft_adapter
from minipeft.racing import runs
from minipeft.racing.entries import nearest, parse_hyperparameters
from minipeft.racing.finished import check_adapter, finished
from minipeft.racing.rehearsal import rehearse
from minipeft.racing.runs import RunSpec, folder_name, get_task, is_first_process, new_method
from minipeft.training.adapter_files import load_adapter

HELP = "Fine-tune with one method and save the adapter."


def add_arguments(parser) -> None:
    add_model(parser)
    add_task(parser)
    parser.add_argument("--method", type=words, default="lora", help=f"one of {', '.join(METHODS)}")
    add_hyperparameters(parser)
    parser.add_argument("--steps", type=whole(), default=RunSpec.steps)
    add_patience(parser)
    parser.add_argument("--batch-size", type=whole(), default=RunSpec.batch_size)
    parser.add_argument("--learning-rate", type=positive(), help="default: the method's own")
    parser.add_argument("--out", type=words, help="default runs/<method>-<task>-seed<seed>")
    parser.add_argument("--peft", action="store_true", help="write the adapter for the peft library too, to <out>/peft")


def run(args) -> None:
    """Train, unless this very run is finished."""
    if args.method not in METHODS:  # nor a control of compare, which trains nothing or no pretrained base
        raise UserError(f"There is no method {short(args.method)}. {nearest(args.method, METHODS)}")
    spec = spec_from(
        args,
        folder=args.out or f"runs/{folder_name(f'{args.method}-{label(args)}-seed{args.seed}')}",
        method=args.method,
        steps=args.steps,
        batch_size=args.batch_size,
        patience=args.patience,
        learning_rate=args.learning_rate,
        hyperparameters=parse_hyperparameters(args.method, args.set),
    )
    rehearse([spec])
    if args.peft:
        rehearse_for_peft(spec)
    if finished(spec):
        check_adapter(spec)
        if args.peft and is_first_process():
            write_for_peft(spec)
        print(f"This run is finished: {spec.result_file}. Delete it or name another --out to train again.")
        return
    if is_first_process():
        print(f"{args.method} on {label(args)}, {args.model}: {args.steps} steps, into {spec.folder}", flush=True)
    result = runs.run(spec, progress=True)
    share = 100 * result["trained_parameters"] / result["total_parameters"]
    if is_first_process():
        print(
            f"trained {result['moved_parameters']:,} parameters, stored {result['trained_parameters']:,} "
            f"({share:.2f}% of the base), dev {result['dev']:.1f}, test {result['test']:.1f}, "
            f"adapter {spec.folder}/adapter.pt"
        )
        if args.peft:
            write_for_peft(spec)


def rehearse_for_peft(spec: RunSpec) -> None:
    """Raise UserError, before a step is made, where the adapter has no counterpart in peft's files."""
    model, method = load(spec.model), new_method(spec, get_task(spec))
    method.attach(model)
    refuse_unwritable(model, method)


def write_for_peft(spec: RunSpec) -> None:
    """Write the adapter of a finished run once more, as a folder of peft's in that of the run."""
    model, folder = load(spec.model), Path(spec.folder)
    save_peft_adapter(folder / "peft", model, load_adapter(folder / "adapter.pt", model, METHODS))
    print(f"For the peft library: {folder / 'peft'}")
