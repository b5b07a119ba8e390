"""The command line: `python -m minipeft compare | train | evaluate | generate | memory | progress | ...`."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from minipeft.commands import memory as memory_plan
from minipeft.commands import pretrain_prompt, transfer
from minipeft.commands.arguments import build_parser
from minipeft.commands.compare import compare
from minipeft.commands.prompts import compare_prompts
from minipeft.course import hints, progress
from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.models import load, model_names
from minipeft.pretraining import pretrain
from minipeft.racing.entries import nearest, parse_hyperparameters, split_entries
from minipeft.racing.every_method import fitting, with_bundled_starts
from minipeft.racing.pool import default_workers
from minipeft.racing.runs import CONTROLS, RunSpec, finished, get_task, is_first_process, new_method, run
from minipeft.racing.sweep import entry_specs
from minipeft.tasks.registry import load_task, task_names
from minipeft.training.adapter_files import load_adapter
from minipeft.training.batches import encode_source
from minipeft.training.evaluating import evaluate
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.text_joints import decode_written

QUICK = {"steps": 400, "test_limit": 300}


def label(args) -> str:
    """What the run is called: the task, or the name of the user's own file."""
    return Path(args.data).stem if args.data else args.task


def run_compare(args) -> None:
    shots = f"-{args.shots}shots" if args.shots else ""
    spec = RunSpec(
        folder=args.out or f"runs/compare-{Path(args.model).name}-{label(args)}{shots}",
        model=args.model,
        task=args.task,
        method="",
        seed=args.seed,
        data=args.data,
        device=args.device,
        shots=args.shots,
        patience=args.patience,
    )
    spec = replace(spec, **(QUICK if args.quick else {}))
    if args.quick and not args.out:
        spec = replace(spec, folder=spec.folder + "-quick")
    if args.steps:
        spec = replace(spec, steps=args.steps)
    known = [*METHODS, *CONTROLS]
    if args.methods and args.methods != "all":
        methods = split_entries(args.methods, known)
    else:
        methods = fitting(with_bundled_starts(known, spec.task), args.model)
    task = get_task(spec)
    for entry in entry_specs(spec, methods):
        if entry.method not in known:
            raise UserError(f"There is no method {entry.method!r}. {nearest(entry.method, known)}")
        if entry.method in METHODS:
            new_method(entry, task)
    seeds = args.seeds or (1 if args.quick else 5)
    compare(spec, methods, seeds, args.workers or default_workers(args.device), args.tune)


def run_train(args) -> None:
    spec = RunSpec(
        folder=args.out or f"runs/{args.method}-{label(args)}-seed{args.seed}",
        model=args.model,
        task=args.task,
        method=args.method,
        seed=args.seed,
        data=args.data,
        device=args.device,
        steps=args.steps,
        batch_size=args.batch_size,
        patience=args.patience,
        learning_rate=args.learning_rate,
        hyperparameters=parse_hyperparameters(args.method, args.set),
    )
    new_method(spec, get_task(spec))
    if finished(spec):
        print(f"This run is finished: {spec.result_file}. Delete it or name another --out to train again.")
        return
    if is_first_process():
        print(f"{args.method} on {label(args)}, {args.model}: {args.steps} steps, into {spec.folder}", flush=True)
    result = run(spec, progress=True)
    share = 100 * result["trained_parameters"] / result["total_parameters"]
    if is_first_process():
        print(
            f"trained {result['trained_parameters']:,} parameters ({share:.2f}%), "
            f"dev {result['dev']:.1f}, test {result['test']:.1f}, adapter {spec.folder}/adapter.pt"
        )


def loaded(args):
    model = load(args.model).to(args.device)
    if getattr(args, "adapter", None):
        load_adapter(args.adapter, model, METHODS)
    return model


def run_evaluate(args) -> None:
    task = get_task(RunSpec(folder="", model=args.model, task=args.task, method="", data=args.data))
    result = evaluate(loaded(args), task, args.split)
    print(f"{task.name} {args.split}: {result['metric']} {result['score']:.1f}% on {result['n']} examples")


def run_generate(args) -> None:
    model = loaded(args)
    torch.manual_seed(args.seed)
    batch = Batch(*pad([encode_source(model, args.text)])).to(args.device)
    ids = model.generate(batch, args.max_length, temperature=args.temperature)
    print(decode_written(model, ids[0]))


def run_prompts(args) -> None:
    spec = RunSpec(folder="", model=args.model, task=args.task, method="hard_prompt", data=args.data)
    folder = Path(args.out or f"runs/prompts-{Path(args.model).name}-{label(args)}-{args.shots}shots")
    compare_prompts(loaded(args), get_task(spec), folder, args)


def run_tasks(args) -> None:
    for name in task_names():
        task = load_task(name)
        print(f"{name:18} {task.metric:12} chance {task.chance:5.1f}%  {task.description}")
    print(f"\nmodels: {', '.join(model_names())}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one sentence when the input was bad, 130 when interrupted."""
    handlers = {"compare": run_compare, "train": run_train, "evaluate": run_evaluate, "generate": run_generate,
                "prompts": run_prompts, "tasks": run_tasks, "memory": memory_plan.run, "pretrain": pretrain.run,
                "pretrain-prompt": pretrain_prompt.run, "transfer": transfer.run, "progress": progress.run,
                "hint": hints.run}  # fmt: skip
    try:
        args = build_parser().parse_args(arguments)
        if getattr(args, "device", "cpu").startswith("cuda") and not torch.cuda.is_available():
            raise UserError("No GPU is visible to PyTorch: use --device cpu.")
        handlers[args.command](args)
    except UserError as error:
        print(f"minipeft: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on where it stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
