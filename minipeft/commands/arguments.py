"""The flags that several commands share."""

import argparse
from pathlib import Path

import torch

from minipeft.flags import short, whole, words
from minipeft.racing.runs import RunSpec

DEFAULT_MODEL, DEFAULT_TASK = "t5-0.8m", "sentiment"
LARGEST_SEED = 2**32 - 1  # a run makes the seeds of its steps from it, which must fit into 64 bits


def device(text: str) -> str:
    """The type of --device: a device of PyTorch on which it can compute here."""
    try:
        known = torch.device(words(text)).type != "meta" and bool(torch.ones(1, device=text) + 1 == 2)
    except Exception:  # torch raises a different type for each way in which a device can be absent
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"there is no device {short(text)} here: use --device cpu")
    return text


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model and --device: what every command needs that computes with a base."""
    parser.add_argument(
        "--model", type=words, default=DEFAULT_MODEL, help=f"a bundled name or a folder (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda, or another device of PyTorch")
    parser.add_argument("--seed", type=whole(0, LARGEST_SEED), default=0)


def add_task(parser: argparse.ArgumentParser, flag: str = "--task") -> None:
    """The task, bundled or the user's own; `flag` is what it is called."""
    parser.add_argument(
        flag,
        dest="task",
        type=words,
        default=DEFAULT_TASK,
        help=f"a bundled task, or several at once: a+b (default {DEFAULT_TASK})",
    )
    parser.add_argument(
        "--data", type=words, help="your own JSONL in place of a task: {'source': ..., 'target': ...} a line"
    )
    parser.add_argument(
        "--max-source-length",
        type=whole(),
        default=RunSpec.max_source_length,
        metavar="TOKENS",
        help=f"a longer source is an error (default {RunSpec.max_source_length}; GPT-2 and Llama have their own limit)",
    )


def add_patience(parser: argparse.ArgumentParser) -> None:
    words = "stop after so many dev scores (one every 50 steps) without a better one (default: train all steps)"
    parser.add_argument("--patience", type=whole(), help=words)


def add_hyperparameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", type=words, action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter, as rank=8"
    )


def label(args: argparse.Namespace) -> str:
    """What the run is called: the task, or the name of the user's own file."""
    return Path(args.data).stem if args.data else args.task


def spec_from(args: argparse.Namespace, **more) -> RunSpec:
    """What all runs of a command have in common."""
    told = {"folder": "", "method": "", "model": args.model, "task": args.task, "data": args.data}
    told |= {"seed": args.seed, "device": args.device, "max_source_length": args.max_source_length}
    return RunSpec(**{**told, **more})
