"""PiSSA against its equation in float64, the residual as the paper trains it, and the LoRA that does the same."""

import pytest
import torch
from helpers.models import random_batch, tiny_gpt2, tiny_t5
from helpers.scrambling import scramble
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.pissa import PiSSA, PiSSALinear


def layer_and_input(rank=3, alpha=6.0, shape=(7, 5)):
    torch.manual_seed(rank)
    return PiSSALinear(nn.Linear(*shape).double(), rank, alpha), torch.randn(2, 3, shape[0], dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7)])
@pytest.mark.parametrize("rank, alpha", [(1, 0.5), (3, 6.0), (5, 5.0)])
def test_a_and_b_start_as_the_best_approximation_of_the_weight(rank, alpha, shape):
    """Of rank `rank`: by Eckart and Young what is missing has the other singular values, no more and no less."""
    layer, _ = layer_and_input(rank, alpha, shape)
    weight = layer.linear.weight.detach()
    squares = torch.linalg.eigvalsh(weight @ weight.T if shape[0] > shape[1] else weight.T @ weight).flip(0)
    residual = weight - alpha / rank * (layer.B @ layer.A).detach()
    torch.testing.assert_close(residual.square().sum(), squares[rank:].sum(), atol=1e-12, rtol=1e-10)
    # And the two share it evenly: A A^T = B^T B = S / s.
    share = torch.diag(squares[:rank].sqrt() * rank / alpha)
    torch.testing.assert_close((layer.A @ layer.A.T).detach(), share, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close((layer.B.T @ layer.B).detach(), share, atol=1e-10, rtol=1e-10)


def test_the_layer_and_its_gradients_are_those_of_lora_on_a_frozen_residual():
    layer, x = layer_and_input()
    residual = layer.linear.weight.detach() - 2.0 * (layer.B @ layer.A).detach()
    with torch.no_grad():
        layer.A.add_(torch.randn_like(layer.A))
        layer.B.add_(torch.randn_like(layer.B))
    expected = x @ residual.T + layer.linear.bias + 2.0 * (x @ layer.A.T) @ layer.B.T
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=1e-12)
    got, right = (torch.autograd.grad(y.square().sum(), (layer.A, layer.B)) for y in (layer(x), expected))
    torch.testing.assert_close(got, right, atol=1e-10, rtol=1e-10)


def test_both_factors_learn_from_the_first_step_on():
    layer, x = layer_and_input()
    layer(x).square().sum().backward()
    assert layer.A.grad.abs().max() > 0.01 and layer.B.grad.abs().max() > 0.01


def test_a_turned_singular_basis_gives_the_same_residual():
    """Another machine may return other signs: the residual, and so what a file means, does not depend on them."""
    layer, x = layer_and_input()
    scrambled = torch.randn_like(layer.A), torch.randn_like(layer.B)
    layer.A.data, layer.B.data = scrambled
    expected = layer(x)
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    layer.A_0, layer.B_0 = signs[:, None] * layer.A_0, layer.B_0 * signs
    torch.testing.assert_close(layer(x), expected, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("make", [tiny_t5, tiny_gpt2])
def test_a_lora_of_twice_the_rank_gives_the_same_outputs_on_a_base_that_knows_no_pissa(make):
    model, batch = make().double(), random_batch()
    method = PiSSA(rank=3, alpha=5.0)
    method.attach(model)
    scramble(method, seed=0)
    expected, state = model(batch), {}
    for path, layer in method.layers():  # s (B A - B_0 A_0) as one product
        state[f"{path}.A"] = torch.cat([layer.A.detach(), layer.A_0])
        state[f"{path}.B"] = torch.cat([layer.B.detach(), -layer.B_0], dim=1)
    fresh = make().double()
    LoRA(rank=6, alpha=10.0).attach(fresh, state)
    torch.testing.assert_close(fresh(batch), expected, atol=1e-9, rtol=1e-9)
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=1e-9, rtol=1e-9)


def test_pissa_trains_any_network_of_linear_layers():
    torch.manual_seed(3)
    model, x = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4, bias=False)), torch.randn(6, 7)
    before = model(x)
    method = PiSSA(rank=2, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    assert method.stored_count() == 2 * (7 + 5) + 2 * (5 + 4)
    scramble(method, seed=0)
    trained = model(x)
    method.merge()
    torch.testing.assert_close(model(x), trained)
    assert not torch.allclose(trained, before)


def test_more_directions_than_the_weight_has_are_refused():
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 4))
    with pytest.raises(UserError, match="1 has 4 singular values: PiSSA's rank can be 4 at most"):
        PiSSA(rank=5, targets=("0", "1")).attach(model)
    assert isinstance(model[0], nn.Linear)
    for settings in ({"rank": 0}, {"alpha": 0}):
        with pytest.raises(UserError, match=f"{next(iter(settings))} must be"):
            PiSSA(**settings)
