"""How good a base is: its loss on texts it never reads in training, and whether it looks at its encoder at all."""

from dataclasses import replace

import torch

from minipeft.pretraining.batches import TextStream, as_batch, prepare_chunk
from minipeft.tasks.making.corpus import VALIDATION_SEED
from minipeft.transformer.batch import Batch
from minipeft.transformer.encoder_decoder import EncoderDecoder
from minipeft.transformer.language_model import LanguageModel


def held_out_batches(stream: TextStream, count: int = 12) -> list[Batch]:
    """`count` batches of 32 texts from the validation stream: the same texts, cuts and masks each time."""
    chunk = prepare_chunk(replace(stream, seed=VALIDATION_SEED, batch_size=32), 0)
    return [as_batch(rows) for rows in chunk[:count]]


@torch.no_grad()
def evaluate_base(model: LanguageModel, batches: list[Batch]) -> dict[str, float]:
    """Held-out loss in nats per target token, and for T5 the gap: how much higher it is with the sources exchanged."""
    model.eval()
    values = {"loss": mean_loss(model, batches)}
    if isinstance(model, EncoderDecoder):
        shuffled = [replace(b, source=b.source.roll(1, 0), source_mask=b.source_mask.roll(1, 0)) for b in batches]
        values["gap"] = mean_loss(model, shuffled) - values["loss"]
    model.train()
    return values


def mean_loss(model: LanguageModel, batches: list[Batch]) -> float:
    """The mean over all target tokens of `batches`."""
    tokens = [batch.target_mask.sum() for batch in batches]
    return (sum(model.loss(b) * n for b, n in zip(batches, tokens, strict=True)) / sum(tokens)).item()
