"""OFT against a dense matrix in float64: orthogonal, block by block, and with all angles between neurons kept."""

import pytest
import torch
from helpers.models import random_batch, tiny_t5
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.multiplicative.oft import OFT, OFTLinear


def trained_layer(block_size=4, inputs=12, outputs=7):
    torch.manual_seed(block_size)
    layer = OFTLinear(nn.Linear(inputs, outputs).double(), block_size)
    nn.init.normal_(layer.skew)
    return layer, torch.randn(2, 3, inputs, dtype=torch.float64)


def dense_rotation(layer):
    """R as one (in, in) matrix: Q entry by entry, then Cayley's formula with an explicit inverse."""
    size, inputs = layer.block_size, layer.linear.in_features
    Q = torch.zeros(inputs, inputs, dtype=torch.float64)
    for block in range(inputs // size):
        entries = iter(layer.skew[block].tolist())
        for row in range(size):
            for column in range(row + 1, size):
                value = next(entries)
                Q[block * size + row, block * size + column] = value
                Q[block * size + column, block * size + row] = -value
    identity = torch.eye(inputs, dtype=torch.float64)
    return (identity + Q) @ torch.linalg.inv(identity - Q)


@pytest.mark.parametrize("block_size", [2, 3, 4, 12])
def test_an_oft_layer_turns_every_neuron_by_the_same_orthogonal_matrix(block_size):
    layer, x = trained_layer(block_size)
    R = dense_rotation(layer)
    torch.testing.assert_close(R.T @ R, torch.eye(12, dtype=torch.float64), atol=1e-12, rtol=0)
    weight = torch.stack([R @ row for row in layer.linear.weight])  # a neuron is a row
    torch.testing.assert_close(layer(x), x @ weight.T + layer.linear.bias, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(layer.weight, weight, atol=1e-12, rtol=1e-12)
    blocks = layer.rotation()
    identity = torch.eye(block_size, dtype=torch.float64).expand_as(blocks)
    torch.testing.assert_close(blocks.mT @ blocks, identity, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.block_diag(*blocks), R, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(torch.linalg.det(blocks), torch.ones(12 // block_size, dtype=torch.float64))


def hyperspherical_energy(weight):
    """The sum over pairs of neurons of one over the distance of their directions."""
    directions = weight / weight.norm(dim=1, keepdim=True)
    return sum(1 / (directions[i] - directions[j]).norm() for i in range(len(weight)) for j in range(i))


def test_lengths_and_angles_of_neurons_and_their_energy_are_kept():
    layer, _ = trained_layer()
    before, after = layer.linear.weight, layer.weight
    assert (after - before).abs().max() > 0.1
    torch.testing.assert_close(after @ after.T, before @ before.T, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(hyperspherical_energy(after), hyperspherical_energy(before), rtol=1e-12, atol=0)


def test_gradients_are_those_of_a_dense_rotation():
    layer, x = trained_layer(block_size=3)
    (got,) = torch.autograd.grad(layer(x).square().sum(), layer.skew)
    for block, entry in ((0, 0), (1, 2), (3, 1)):  # central differences
        sides = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                layer.skew[block, entry] += step
                sides.append(((x @ dense_rotation(layer)) @ layer.linear.weight.T + layer.linear.bias).square().sum())
                layer.skew[block, entry] -= step
        assert float(got[block, entry]) == pytest.approx(float(sides[0] - sides[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_rotation_starts_as_exactly_the_identity(dtype):
    layer = OFTLinear(nn.Linear(12, 7).to(dtype), 4)
    assert torch.equal(layer.rotation(), torch.eye(4, dtype=layer.rotation().dtype).expand(3, 4, 4))
    assert layer.rotation().dtype is (torch.float64 if dtype is torch.float64 else torch.float32)


def test_merging_in_float64_is_exact_to_rounding():
    model, method, batch = (
        tiny_t5().double(),
        OFT(block_size=6, targets=("query", "key", "value", "up")),
        random_batch(),
    )
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_()
    expected = model(batch)
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=1e-9, rtol=1e-9)


def test_oft_trains_any_network_of_linear_layers():
    torch.manual_seed(3)
    model, x = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4, bias=False)), torch.randn(5, 6)
    before = model(x)
    method = OFT(block_size=2, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    assert method.stored_count() == 3 + 4
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_()
    trained = model(x)
    method.merge()
    torch.testing.assert_close(model(x), trained)
    assert not torch.allclose(trained, before)


def test_a_block_size_that_does_not_divide_the_inputs_is_refused_with_the_one_that_would():
    model = nn.Sequential(nn.Linear(12, 30), nn.Linear(30, 4))
    sentence = "block_size 4 does not divide the 30 inputs of 1: the largest that divides those of all targets is 6"
    with pytest.raises(UserError, match=sentence):
        OFT(block_size=4, targets=("0", "1")).attach(model)
    assert isinstance(model[0], nn.Linear)
    with pytest.raises(UserError, match="block_size must be at least 2"):
        OFT(block_size=1)
