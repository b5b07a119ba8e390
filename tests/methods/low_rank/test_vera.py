"""VeRA against its equation in float64, and the one pair of random matrices that all layers share."""

import pytest
import torch
from helpers.models import random_batch, tiny_t5
from helpers.scrambling import scramble
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.vera import SharedProjections, VeRA, VeRALinear


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 9, bias=False))


def test_a_vera_layer_computes_with_w_plus_diagonal_b_times_diagonal_a():
    shared = SharedProjections(11, 8, rank=3, seed=4).double()
    layer = VeRALinear(nn.Linear(7, 5).double(), shared)
    x = torch.randn(2, 3, 7, dtype=torch.float64)
    with torch.no_grad():
        layer.b.normal_()
        layer.d.normal_()
    weight = layer.linear.weight.detach().clone()
    for row in range(5):
        for column in range(7):
            terms = (layer.b[row] * shared.B[row, i] * layer.d[i] * shared.A[i, column] for i in range(3))
            weight[row, column] += sum(float(term.detach()) for term in terms)
    torch.testing.assert_close(layer(x), x @ weight.T + layer.linear.bias, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(layer.linear.weight + layer.update(), weight, atol=1e-12, rtol=1e-12)


def test_all_layers_share_one_pair_of_the_largest_sides_and_use_its_first_rows_and_columns():
    model = network()
    VeRA(rank=4, targets=("0", "2")).attach(model)
    assert model[0].shared is model[2].shared
    assert model[0].shared.A.shape == (4, 7) and model[0].shared.B.shape == (9, 4)
    model.double()  # what moves the model moves the pair once and keeps it one
    assert model[0].shared is model[2].shared and model[0].shared.A.dtype is torch.float64
    A, B = model[0].shared.A, model[0].shared.B
    with torch.no_grad():
        model[2].b.fill_(1.0)
    torch.testing.assert_close(model[2].update(), 0.1 * B @ A[:, :5])


def test_the_random_matrices_come_from_the_seed_alone_and_are_neither_trained_nor_saved():
    drawn = []
    for around, seed in ((1, 5), (2, 5), (2, 6)):
        torch.manual_seed(around)
        model, method = network(), VeRA(rank=4, targets=("0", "2"), seed=seed)
        state = torch.random.get_rng_state()
        method.attach(model)
        assert torch.equal(torch.random.get_rng_state(), state)
        drawn.append(model[0].shared.A)
        assert set(method.state_dict()) == {"0.d", "0.b", "2.d", "2.b"}
        assert not any("shared" in name for name in model.state_dict())
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])


def test_the_matrices_start_uniform_within_the_kaiming_bounds_d_at_a_tenth_and_b_at_zero():
    shared = SharedProjections(400, 300, rank=60, seed=0)
    for matrix, bound in ((shared.A, (6 / 400) ** 0.5), (shared.B, (6 / 60) ** 0.5)):
        assert 0.99 * bound < matrix.abs().max() <= bound
        assert abs(float(matrix.std()) / (bound / 3**0.5) - 1) < 0.02
    layer = VeRALinear(nn.Linear(400, 300), shared)
    assert not layer.b.any() and torch.equal(layer.d, torch.full((60,), 0.1))


def test_vera_trains_any_network_of_linear_layers():
    model, x = network(), torch.randn(6, 7)
    before = model(x)
    method = VeRA(rank=4, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    assert method.stored_count() == 4 + 5 + 4 + 9
    scramble(method)
    trained = model(x)
    method.merge()
    torch.testing.assert_close(model(x), trained)
    assert not torch.allclose(trained, before)
    method.unmerge()
    torch.testing.assert_close(model(x), trained)
    method.detach()
    torch.testing.assert_close(model(x), before)


def test_merging_in_float64_is_exact_to_rounding():
    model, method, batch = tiny_t5().double(), VeRA(rank=30), random_batch()
    method.attach(model)
    scramble(method)
    expected = model(batch)
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=1e-9, rtol=1e-9)


def test_a_rank_below_one_is_refused():
    with pytest.raises(UserError, match="rank must be"):
        VeRA(rank=0)
