"""`python -m minipeft pretrain`: make a small base model, from random weights or from another base."""

import argparse

import torch

from minipeft.commands.arguments import LARGEST_SEED, device
from minipeft.flags import positive, whole, words
from minipeft.pretraining.batches import OBJECTIVES, TextStream
from minipeft.pretraining.pretrain import pretrain
from minipeft.pretraining.settings import DTYPES, PretrainSettings
from minipeft.pretraining.sizes import SIZES

HELP = "Make a small base model."


def steps(text: str) -> tuple[int, ...]:
    """The type of --keep-at: numbers of steps, with commas between them."""
    return tuple(whole()(step) for step in text.split(","))


def share(text: str) -> float:
    """The type of --decay."""
    value = positive()(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share, a number above 0 and up to 1")
    return value


def add_arguments(parser) -> None:
    text, settings = TextStream(), PretrainSettings()
    parser.add_argument("--size", choices=tuple(SIZES), default=settings.size)
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default=text.objective)
    parser.add_argument(
        "--tokens", type=positive(10**15), default=settings.tokens, help="tokens of text to read, e.g. 20e6"
    )
    parser.add_argument(
        "--folder", type=words, required=True, help="where the checkpoint goes; a killed run goes on from there"
    )
    parser.add_argument("--start-from", type=words, help="folder of a checkpoint to go on from; its sizes are kept")
    parser.add_argument(
        "--keep-at", type=steps, default=(), metavar="STEPS", help="steps at which to keep a checkpoint, e.g. 100,300"
    )
    parser.add_argument(
        "--learning-rate", type=positive(), help="default: 0.05 for T5 (Adafactor), 0.002 for GPT-2 (AdamW)"
    )
    parser.add_argument("--decay", type=share, default=settings.decay, help="share of the tokens over which it falls")
    parser.add_argument("--batch-size", type=whole(1, 10**6), default=text.batch_size, help="texts a step")
    parser.add_argument(
        "--text-seed", type=whole(0, LARGEST_SEED), default=text.seed, help="which stream of documents to read"
    )
    parser.add_argument("--seed", type=whole(0, LARGEST_SEED), default=settings.seed, help="of the initial weights")
    parser.add_argument("--dtype", choices=DTYPES, help="what to compute in; default: bfloat16 on a GPU, else float32")
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda, or another device of PyTorch")
    parser.add_argument(
        "--threads", type=whole(1, 1000), default=1, help="processor threads; two runs of one beat one of two"
    )
    parser.add_argument(
        "--workers", type=whole(0, 1000), default=0, help="processes that prepare text; for a GPU, about 8"
    )


def run(args) -> None:
    """Pretrain as the flags say."""
    torch.set_num_threads(args.threads)
    settings = PretrainSettings(
        size=args.size,
        tokens=max(1, int(args.tokens)),
        text=TextStream(args.objective, args.text_seed, args.batch_size),
        learning_rate=args.learning_rate,
        decay=args.decay,
        seed=args.seed,
        start_from=args.start_from,
        keep_at=args.keep_at,
        dtype=args.dtype,
    )
    pretrain(settings, args.folder, device=args.device, workers=args.workers)
