"""`python -m minipeft memory`: what a training step takes, by part, and the largest batch that fits.

Nothing is loaded and nothing trained, so the model may be any size: a bundled one, a folder or config.json of one, or
a known one by name alone (llama-7b, gpt3, chatglm-6b, ...). 1 MB is 10^6 bytes, 1 GB is 10^9.
"""

import difflib
from pathlib import Path

import torch

from minipeft.commands.arguments import DEFAULT_MODEL, add_hyperparameters
from minipeft.errors import UserError, excerpt
from minipeft.files import read_json
from minipeft.flags import positive, whole, words
from minipeft.memory.planning import MemoryPlan, hollow_model
from minipeft.memory.shapes.names import SHAPES
from minipeft.models import find, model_names
from minipeft.racing.entries import make_method, parse_hyperparameters
from minipeft.transformer.checkpoints import read_sizes
from minipeft.transformer.hugging_face import read_their_sizes

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

HELP = "Plan the memory of a training step, of models of any size, and the largest batch."


def add_arguments(parser) -> None:
    known = ", ".join(SHAPES)
    parser.add_argument(
        "--model",
        type=words,
        default=DEFAULT_MODEL,
        help=f"a bundled name, a folder, a config.json, or one of {known}",
    )
    parser.add_argument("--method", type=words, default="lora", help="as for train (default lora)")
    add_hyperparameters(parser)
    parser.add_argument("--batch", type=whole(1, 10**6), default=8, help="texts in a step (default 8)")
    parser.add_argument("--length", type=whole(1, 10**6), default=128, help="tokens that each text has (default 128)")
    parser.add_argument("--answer-length", type=whole(1, 10**6), default=32, help="tokens of its answer (default 32)")
    parser.add_argument("--optimizer", choices=("adamw", "adafactor"), help="default: the method's own")
    parser.add_argument("--dtype", choices=TYPES, help="default float32, with --quantized bfloat16")
    parser.add_argument(
        "--quantized", action="store_true", help="the frozen matrices in 4 bits (NF4), as QLoRA has them"
    )
    parser.add_argument("--gradient-checkpointing", action="store_true", help="keep each layer's input alone")
    parser.add_argument(
        "--gigabytes", type=positive(10**6), metavar="G", help="also find the largest batch that fits in G GB"
    )


def run(args) -> None:
    """Print the plan."""
    dtype = args.dtype or ("bfloat16" if args.quantized else "float32")
    kind, sizes = architecture(args.model)
    model = hollow_model(kind, sizes, TYPES[dtype])
    model.set_gradient_checkpointing(args.gradient_checkpointing)
    method = make_method(args.method, parse_hyperparameters(args.method, args.set))
    plan = MemoryPlan(model, method, args.length, args.answer_length, args.optimizer, args.quantized)
    parts = plan.memory(args.batch)
    trained = method.trained_count()
    print(f"{args.method} on {args.model}, {dtype}: one step, batch {args.batch},", end=" ")
    print(f"{args.length} tokens to read and {args.answer_length} to write\n")
    print(table({**parts, "total": sum(parts.values())}))
    print(f"\ntrained: {trained:,} parameters, {100 * trained / plan.model_parameters:.4f}%", end=" ")
    print(f"of the model's {plan.model_parameters:,}\nadapter file: {size(plan.saved_bytes())}")
    if args.gigabytes is not None:
        most = plan.largest_batch(int(args.gigabytes * 10**9))
        short = f"none, one text takes {size(plan.total(1))}" if most == 0 else f"{most:,}"
        print(f"largest batch in {args.gigabytes:g} GB: {short}")


def architecture(name: str) -> tuple[type, object]:
    """Class and sizes of a known model, a bundled one, or one that a folder or a config.json describes."""
    if name in SHAPES:
        return SHAPES[name]
    try:
        path = Path(name).expanduser()
        known = path.exists() or name in model_names()
    except (OSError, RuntimeError, ValueError):  # too long, a home that is nobody's, a zero byte
        known = False
    if not known:
        near = difflib.get_close_matches(name[:100], [*SHAPES, *model_names()], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known by name are {', '.join([*SHAPES, *model_names()])}."
        raise UserError(f"There is no model, folder or config.json {excerpt(name)!r}; {hint}")
    file = path if path.is_file() else find(name) / "config.json"
    return read_their_sizes(file) if "model_type" in read_json(file) else read_sizes(file)


def size(count: int) -> str:
    """Bytes as megabytes, or gigabytes from one on."""
    return f"{count / 1e9:,.2f} GB" if count >= 10**9 else f"{count / 1e6:,.2f} MB"


def table(parts: dict[str, int]) -> str:
    """One line for each part, readable in a terminal and as Markdown."""
    cells = [("part", "memory"), *((name, size(count)) for name, count in parts.items())]
    left, right = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    lines = [f"| {name.ljust(left)} | {text.rjust(right)} |" for name, text in cells]
    return "\n".join([lines[0], f"|{'-' * (left + 2)}|{'-' * (right + 1)}:|", *lines[1:]])
