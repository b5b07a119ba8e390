"""LoftQ and QPiSSA: how near their start is to the weight, for every alpha, and that a fresh base gives it again."""

import pytest
import torch
from helpers.models import random_batch, tiny_gpt2, tiny_t5
from helpers.quantized_starts import attached, error, nearest_of_rank, weight_of

from minipeft.errors import UserError
from minipeft.methods.low_rank.loftq import LoftQ
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.quantization.blockwise import dequantize, quantize

SHAPES = [(48, 80), (80, 48), (64, 64)]
every_shape = pytest.mark.parametrize("shape", SHAPES)


@every_shape
def test_loftq_starts_nearer_to_the_weight_than_quantization_alone_and_iterating_brings_it_nearer(shape):
    weight = weight_of(shape)
    alone = error(QLoRA(rank=8), weight)
    errors = [error(LoftQ(rank=8, iterations=T), weight) for T in (1, 2, 3, 5, 8)]
    assert errors[0] < 0.9 * alone
    assert all(later < 1.01 * earlier for earlier, later in zip(errors, errors[1:], strict=False))
    assert errors[3] < 0.98 * errors[0]
    assert error(LoftQ(rank=16), weight) < error(LoftQ(rank=8), weight) < error(LoftQ(rank=2), weight)


@every_shape
@pytest.mark.parametrize("make", [LoftQ, QPiSSA])
def test_the_start_is_the_same_for_every_alpha(make, shape):
    """peft's is not: it leaves alpha / rank out of A and B, and then multiplies by it."""
    weight = weight_of(shape, seed=1, strong=0.5)
    layers = [attached(make(rank=4, alpha=alpha), weight) for alpha in (4.0, 0.5, 16.0, 64.0)]
    for layer in layers[1:]:
        assert torch.equal(layer.linear.codes, layers[0].linear.codes)
        torch.testing.assert_close(layer.update(), layers[0].update(), atol=1e-6, rtol=1e-5)
    assert layers[0].update().norm() > 0.01 and len({float(layer.A.detach().norm()) for layer in layers}) == 4


@every_shape
@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_loftq_is_the_alternation_written_as_a_loop(iterations, shape):
    weight, method = weight_of(shape), LoftQ(rank=5, alpha=7.0, iterations=iterations, double_quantization=False)
    product = torch.zeros(shape, dtype=torch.float64)
    for _ in range(iterations):
        codes, absmax = quantize(weight - product.float())
        stored = dequantize(codes, absmax, shape)
        product = nearest_of_rank(weight - stored, 5)
    layer = attached(method, weight)
    different = int((layer.linear.codes != codes).sum())
    assert different <= 2  # a rounding of the product may turn a code over
    if not different:
        torch.testing.assert_close(layer.update().double(), product, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make", [LoftQ, QPiSSA])
@pytest.mark.parametrize("family", [tiny_t5, tiny_gpt2])
def test_the_numbers_of_a_file_and_a_fresh_base_give_the_same_bits(make, family):
    batch, method, model = random_batch(), make(rank=3), family()
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.mul_(1.3)
    state, expected = method.state_dict(), model(batch)
    assert all(name.endswith((".A", ".B")) for name in state)
    again, fresh = make(**method.hyperparameters()), family()
    torch.manual_seed(77)
    again.attach(fresh)
    again.load_state_dict(state)
    assert torch.equal(fresh(batch), expected)


@pytest.mark.parametrize("family", [tiny_t5, tiny_gpt2])
def test_the_model_starts_nearer_to_its_base_than_with_qlora(family):
    model, batch = family(), random_batch()
    expected, errors = model(batch), {}
    for method in (QLoRA(), LoftQ()):
        method.attach(model)
        errors[method.name] = float((model(batch) - expected).detach().norm())
        method.detach()
    assert 0 < errors["loftq"] < 0.7 * errors["qlora"]


@pytest.mark.parametrize("make", [LoftQ, QPiSSA])
def test_half_precision_and_too_high_ranks(make):
    weight = weight_of((48, 80)).bfloat16()
    layer = attached(make(rank=4), weight)
    assert layer.A.dtype == layer.B.dtype == layer.weight.dtype == torch.bfloat16
    whole = layer.linear.dequantize(torch.float32) + layer.scaling * layer.B.float() @ layer.A.float()
    assert (whole - weight.float()).norm() < 0.1 * weight.float().norm()
    with pytest.raises(UserError, match=r"\(48, 80\) has 48 singular values: rank 49"):
        attached(make(rank=49), weight)


def test_no_iteration_at_all_is_refused():
    with pytest.raises(UserError, match="iterations must be from 1 to 100"):
        LoftQ(iterations=0)
