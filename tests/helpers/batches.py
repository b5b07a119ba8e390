"""A batch taken apart and padded further: what must not change the answers of a model."""

import pytest
import torch
from torch.nn import functional

from helpers.models import FAMILIES
from minipeft.transformer.batch import Batch

every_family = pytest.mark.parametrize("family", FAMILIES)


def assert_close(got, expected, atol=1e-4):  # logits here are around 10, so this is 1e-5 of them
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def one_by_one(batch):
    """Each row as a batch of its own, without any padding."""
    for row in range(len(batch)):
        source, target = batch.source[row][batch.source_mask[row]], batch.target[row][batch.target_mask[row]]
        yield Batch(source[None], torch.ones_like(source, dtype=torch.bool)[None], target[None], target[None] > 0)


def with_more_padding(batch, columns):
    """The same batch with padding columns of a token that would matter if it were read."""

    def wider(ids, mask):
        return functional.pad(ids, (0, columns), value=9), functional.pad(mask, (0, columns), value=False)

    return Batch(*wider(batch.source, batch.source_mask), *wider(batch.target, batch.target_mask))
