"""`python -m minipeft generate "text"`: the model's answer to a text."""

import torch

from minipeft.commands.arguments import add_model, add_task
from minipeft.commands.evaluate import add_adapter, loaded
from minipeft.errors import UserError
from minipeft.flags import not_negative, whole
from minipeft.training.batches import encode_source, positions_for_text
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.text_joints import decode_written

HELP = "Write the model's answer to a text."


def add_arguments(parser) -> None:
    parser.add_argument("text", help="the source text")
    add_model(parser)
    add_task(parser)  # so that a call of train or evaluate can be repeated with its flags; only the limit is read
    add_adapter(parser)
    parser.add_argument("--max-length", type=whole(), default=40, help="tokens to write at most (default 40)")
    parser.add_argument("--temperature", type=not_negative, default=0.0, help="0 is greedy")


def run(args) -> None:
    """Print the answer."""
    if not args.text.strip():
        raise UserError("There is nothing to read: give generate a text.")
    model = loaded(args)
    torch.manual_seed(args.seed)
    ids = encode_source(model, args.text)
    positions = positions_for_text(model)
    if len(ids) > args.max_source_length:
        raise UserError(f"The text has {len(ids)} tokens: shorten it, or raise --max-source-length.")
    if positions is not None and len(ids) + args.max_length > positions:
        raise UserError(
            f"{len(ids)} tokens of text and --max-length {args.max_length} are more than the {positions} positions "
            "of this model, beside those of its prompt: shorten either."
        )
    batch = Batch(*pad([ids])).to(args.device)
    method = getattr(model, "attached_method", None)
    if method:
        print(method.write(batch, args.max_length, temperature=args.temperature)[0])
    else:
        print(decode_written(model, model.generate(batch, args.max_length, temperature=args.temperature)[0]))
