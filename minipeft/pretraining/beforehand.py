"""What of a pretraining run cannot work is found before its first step."""

import torch

from minipeft.errors import UserError, one_line
from minipeft.pretraining.batches import chunks
from minipeft.pretraining.settings import PretrainSettings
from minipeft.ranges import Range, checked


def check_place(device: str, workers: int) -> None:
    """Raise UserError where one cannot compute on `device` or `workers` is no number of processes."""
    checked("workers", workers, Range(int, lambda number: number >= 0, "0 or more"))
    try:
        torch.ones(1, device=device).add(1).item()
    except Exception as error:  # torch raises a different type for each way in which a device can be absent
        raise UserError(f"There is no device {device!r} here ({one_line(error)}): use cpu.") from error


def check_keep_at(settings: PretrainSettings) -> None:
    """Raise UserError where a step of `keep_at` lies beyond the run, whose length its first chunk foretells."""
    if settings.keep_at:
        chunk = next(chunks(settings.text, 0))
        steps = settings.tokens * len(chunk) / sum(rows.tokens for rows in chunk)
        if max(settings.keep_at) > 1.2 * steps + 1:
            raise UserError(
                f"keep_at has step {max(settings.keep_at)}, and the run ends after about {steps:.0f}: "
                "leave it out, or read more tokens."
            )
