"""Compacter: its weight against torch.kron, its adapter written out in float64, and the one factor that all share."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from helpers.method_table import TABLE, Sizes
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, tiny_gpt2, tiny_t5
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.compacter import Compacter, KroneckerAdapter, KroneckerLinear
from minipeft.methods.adapters.houlsby import AdaptedSublayer

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def random_linear(in_features, out_features, n):
    linear = KroneckerLinear(in_features, out_features, nn.Parameter(torch.randn(n, n, n).double()))
    with torch.no_grad():
        linear.bias.normal_()
    return linear


@pytest.mark.parametrize("in_features, out_features, n", [(12, 6, 3), (4, 20, 2), (5, 7, 1)])
def test_the_weight_is_the_sum_of_the_kronecker_products(in_features, out_features, n):
    torch.manual_seed(0)
    linear, x = random_linear(in_features, out_features, n), torch.randn(2, 3, in_features).double()
    products = [torch.kron(linear.rule[i], torch.outer(linear.left[i], linear.right[i])) for i in range(n)]
    expected = sum(products)
    assert linear.weight().shape == (in_features, out_features)
    torch.testing.assert_close(linear.weight(), expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(linear(x), x @ expected + linear.bias, atol=1e-12, rtol=1e-12)


def linear_by_hand(linear, vector):
    """x W + b from the definition of the Kronecker product, one number at a time."""
    rule, left, right = linear.rule.tolist(), linear.left.tolist(), linear.right.tolist()
    n, rows, columns = len(rule), len(left[0]), len(right[0])
    out = linear.bias.tolist()
    for i in range(n):
        for row in range(n * rows):
            for column in range(n * columns):
                entry = rule[i][row // rows][column // columns] * left[i][row % rows] * right[i][column % columns]
                out[column] += vector[row] * entry
    return out


def gelu(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@torch.no_grad()
def test_the_adapter_is_the_formula():
    torch.manual_seed(1)
    adapter, x = KroneckerAdapter(random_linear(12, 6, 3), random_linear(6, 12, 3)), torch.randn(2, 5, 12).double()
    rows = []
    for vector in x.flatten(0, 1).tolist():
        inner = [gelu(value) for value in linear_by_hand(adapter.down, vector)]
        rows.append([a + b for a, b in zip(vector, linear_by_hand(adapter.up, inner), strict=True)])
    torch.testing.assert_close(adapter(x).flatten(0, 1), torch.tensor(rows).double(), atol=1e-6, rtol=1e-6)


@torch.no_grad()
@families
@pytest.mark.parametrize("after_attention", [True, False])
def test_adapters_stand_behind_attention_and_feed_forward_but_not_behind_cross_attention(family, after_attention):
    model = FAMILIES[family]()
    Compacter(after_attention=after_attention).attach(model)
    adapted = {path for path, module in model.named_modules() if isinstance(module, AdaptedSublayer)}
    blocks = [f"decoder.blocks.{n}" for n in range(3)]
    blocks += [f"encoder.blocks.{n}" for n in range(2)] if family == "t5" else []
    places = ("attention", "feed_forward") if after_attention else ("feed_forward",)
    assert adapted == {f"{block}.{place}" for block in blocks for place in places}


@families
def test_the_factor_is_one_parameter_that_every_projection_reads(family):
    model, batch = FAMILIES[family](), random_batch()
    method = Compacter(12, kronecker=3)
    method.attach(model)
    layers = [module for module in model.modules() if isinstance(module, KroneckerLinear)]
    assert len(layers) == (20 if family == "t5" else 12)
    assert len({id(layer.rule) for layer in layers}) == 1
    state = method.state_dict()
    assert [tuple(value.shape) for name, value in state.items() if name.endswith("rule")] == [(3, 3, 3)]
    with torch.no_grad():
        layers[0].rule.normal_()
    state, expected, fresh = method.state_dict(), model(batch), FAMILIES[family]()
    again = Compacter(12, kronecker=3)
    again.attach(fresh)
    again.load_state_dict(state)
    assert torch.equal(fresh(batch), expected)
    for moved in (copy.deepcopy(model), fresh.to(torch.bfloat16)):
        rules = {id(module.rule) for module in moved.modules() if isinstance(module, KroneckerLinear)}
        assert len(rules) == 1 and rules != {id(layers[0].rule)}


def test_the_gradient_of_the_factor_is_the_sum_over_all_projections():
    model, copies = tiny_gpt2().double(), tiny_gpt2().double()
    method, other = Compacter(8), Compacter(8)
    method.attach(model)
    other.attach(copies)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    other.load_state_dict(method.state_dict())
    layers = [module for module in copies.modules() if isinstance(module, KroneckerLinear)]
    for layer in layers:  # the same numbers, each layer its own
        layer.rule = nn.Parameter(layer.rule.detach().clone())
    for either in (model, copies):
        either.loss(random_batch()).backward()
    shared = model.decoder.blocks[0].attention.adapter.down.rule.grad
    assert shared.abs().max() > 1e-6
    torch.testing.assert_close(shared, sum(layer.rule.grad for layer in layers))


def test_the_numbers_of_compacter_plus_plus_on_t5_base_are_the_papers_share():
    config = dict(vocabulary_size=32128, hidden_size=768, feed_forward_size=3072, heads=12, head_size=64)
    sizes = Sizes(SimpleNamespace(**config, encoder_layers=12, decoder_layers=12, relative_buckets=32))
    assert TABLE["compacter"].count(sizes, Compacter(24, after_attention=False)) == 104_704
    table, layers = 32128 * 768 + 2 * 32 * 12, 36 * 4 * 768 * 768 + 24 * 2 * 768 * 3072  # T5 1.0: tied, no gate
    assert table + layers + sizes.norms == 222_903_552
    assert round(100 * 104_704 / 222_903_552, 3) == 0.047


@torch.no_grad()
@families
def test_it_starts_near_the_base_model_and_ten_times_nearer_factors_a_hundred_times_nearer(family):
    """A stands in both projections, so an adapter's output grows with the square of A's size."""
    changes = []
    for std in (1e-2, 1e-3):
        model, batch = FAMILIES[family]().double(), random_batch()
        expected = model(batch)
        torch.manual_seed(0)
        Compacter(std=std).attach(model)
        changes.append(float((model(batch) - expected).abs().max() / expected.abs().max()))
    assert 1e-4 < changes[0] < 0.02
    assert changes[0] / changes[1] == pytest.approx(100, rel=0.25)


def test_the_factors_start_as_the_released_code_starts_them():
    torch.manual_seed(0)
    model = tiny_t5(hidden_size=96)
    Compacter(bottleneck=96, kronecker=8, std=0.03).attach(model)
    rule = model.encoder.blocks[0].attention.adapter.down.rule.detach()
    assert float(rule.std()) == pytest.approx(0.03, rel=0.1)
    lefts = torch.cat([m.left.detach().flatten() for m in model.modules() if isinstance(m, KroneckerLinear)])
    bound = math.sqrt(2) * math.sqrt(6 / (12 + 1))  # Glorot with gain sqrt(2), a column of 96 / 8 numbers
    assert 0.99 * bound < float(lefts.abs().max()) <= bound
    assert float(lefts.std()) == pytest.approx(bound / 3**0.5, rel=0.03)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"kronecker": 5, "bottleneck": 20}, "kronecker 5 must divide hidden size 12 and bottleneck 20"),
        ({"kronecker": 3, "bottleneck": 16}, "kronecker 3 must divide hidden size 12 and bottleneck 16"),
        ({"kronecker": 0}, "at least 1: 16, 0 given"),
        ({"bottleneck": 0}, "at least 1: 0, 4 given"),
        ({"std": 0.0}, "std must be above 0, not 0.0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused_and_leave_the_model_alone(settings, words):
    model = tiny_t5()
    with pytest.raises(UserError, match=words):
        Compacter(**settings).attach(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    Compacter().attach(model)
