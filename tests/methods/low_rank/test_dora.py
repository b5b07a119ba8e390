"""DoRA against its equation in float64: the forward pass, the gradients with a constant norm, and odd weights."""

import pytest
import torch
from helpers.models import random_batch, tiny_t5
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.dora import DoRA, DoRALinear


def trained_layer(bias=True, rank=2, alpha=3.0):
    """7 inputs, 5 outputs, every trained number far from its start."""
    torch.manual_seed(rank)
    layer = DoRALinear(nn.Linear(7, 5, bias=bias).double(), rank, alpha)
    with torch.no_grad():
        for parameter in (layer.A, layer.B, layer.magnitude):
            parameter.add_(torch.randn_like(parameter))
    return layer, torch.randn(2, 3, 7, dtype=torch.float64)


def row_by_row(layer, x, rank, alpha):
    """y as the docstring has it, one output after another, with a gradient through all but the lengths."""
    columns = []
    for row in range(5):
        v = layer.linear.weight[row] + alpha / rank * sum(layer.B[row, i] * layer.A[i] for i in range(rank))
        length = sum(entry**2 for entry in v.tolist()) ** 0.5
        bias = 0 if layer.linear.bias is None else layer.linear.bias[row]
        columns.append(layer.magnitude[row] / length * (x * v).sum(-1) + bias)
    return torch.stack(columns, -1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rank, alpha", [(1, 0.5), (2, 16.0), (6, 3.0)])
def test_a_dora_layer_and_its_gradients_are_those_of_its_equation(rank, alpha, bias):
    layer, x = trained_layer(bias, rank, alpha)
    expected = row_by_row(layer, x, rank, alpha)
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=1e-12)
    weights = torch.randn_like(expected)
    trained = (layer.A, layer.B, layer.magnitude)
    got = torch.autograd.grad((weights * layer(x)).sum(), trained)
    torch.testing.assert_close(got, torch.autograd.grad((weights * expected).sum(), trained), atol=1e-11, rtol=1e-11)


def test_a_gradient_through_the_lengths_would_be_another_one():
    layer, x = trained_layer()
    v = layer.linear.weight + 1.5 * layer.B @ layer.A
    through = layer.magnitude * (x @ v.T) / v.norm(dim=1) + layer.linear.bias
    torch.testing.assert_close(through, layer(x))
    (got,), (other,) = (torch.autograd.grad(y.square().sum(), layer.B) for y in (layer(x), through))
    assert (got - other).abs().max() > 0.1 * got.abs().max()


def test_the_magnitude_starts_as_the_rows_lengths_and_is_the_length_of_the_merged_rows():
    linear = nn.Linear(7, 5)
    assert torch.allclose(DoRALinear(linear, 2, 4.0).magnitude, linear.weight.square().sum(1).sqrt())
    layer, _ = trained_layer()
    torch.testing.assert_close(layer.weight.norm(dim=1), layer.magnitude.abs())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_output_whose_weights_are_all_zero_stays_finite_and_can_be_trained(dtype):
    linear, x = nn.Linear(4, 3).to(dtype), torch.randn(5, 4).to(dtype)
    with torch.no_grad():
        linear.weight[1] = 0
    before = linear(x)
    layer = DoRALinear(linear, 2, 4.0)
    assert torch.equal(layer(x), before)
    layer(x).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in (layer.A, layer.B, layer.magnitude)) and layer.B.grad[1].any()


def test_merging_in_float64_is_exact_to_rounding_and_leaves_the_biases():
    model, method, batch = tiny_t5().double(), DoRA(rank=3), random_batch()
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    expected = model(batch)
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=1e-9, rtol=1e-9)


def test_dora_trains_any_network_of_linear_layers():
    torch.manual_seed(3)
    model, x = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4, bias=False)), torch.randn(6, 7)
    before, bias = model(x), model[0].bias.detach().clone()
    method = DoRA(rank=2, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    assert method.stored_count() == 2 * (7 + 5) + 5 + 2 * (5 + 4) + 4
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(torch.randn_like(parameter))
    trained = model(x)
    method.merge()
    torch.testing.assert_close(model(x), trained)
    assert torch.equal(model[0].bias, bias) and not torch.allclose(trained, before)


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0}])
def test_hyper_parameters_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match=f"{next(iter(settings))} must be"):
        DoRA(**settings)
