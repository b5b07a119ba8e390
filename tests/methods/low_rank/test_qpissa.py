"""QPiSSA: what is trained and what is stored. Its start for every alpha, from a file, in 16 bits: test_loftq.py."""

import pytest
import torch
from helpers.quantized_starts import attached, error, nearest_of_rank, weight_of

from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.quantization.blockwise import quantize

every_shape = pytest.mark.parametrize("shape", [(48, 80), (80, 48), (64, 64)])


@every_shape
def test_qpissa_trains_the_strongest_directions_and_stores_what_they_leave(shape):
    weight = weight_of(shape, strong=0.5)
    layer = attached(QPiSSA(rank=4, alpha=6.0, double_quantization=False), weight)
    strongest = nearest_of_rank(weight, 4)
    torch.testing.assert_close(layer.update().double(), strongest, atol=1e-6, rtol=1e-4)
    codes, absmax = quantize(weight - strongest.float())
    assert (layer.linear.codes != codes).sum() <= 2  # a rounding of the product may turn a code over
    torch.testing.assert_close(layer.linear.absmax(), absmax, atol=1e-6, rtol=1e-5)
    assert error(QPiSSA(rank=4), weight) < 0.9 * error(QLoRA(rank=4), weight)
