"""LoRA against its equation in float64, and what it refuses."""

import pytest
import torch
from helpers.models import FAMILIES, random_batch, tiny_gpt2, tiny_t5
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA, LoRALinear


def plain_network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4, bias=False))


def set_random(method):
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_()


@pytest.mark.parametrize("rank, alpha", [(1, 1.0), (2, 16.0), (6, 3.0)])
def test_a_lora_layer_computes_with_w_plus_alpha_over_rank_times_b_a(rank, alpha):
    torch.manual_seed(rank)
    linear, x = nn.Linear(7, 5).double(), torch.randn(2, 3, 7, dtype=torch.float64)
    layer = LoRALinear(linear, rank, alpha)
    nn.init.normal_(layer.B)
    weight = linear.weight + alpha / rank * layer.B @ layer.A
    torch.testing.assert_close(layer(x), x @ weight.T + linear.bias, atol=1e-12, rtol=1e-12)


def test_a_starts_uniform_within_one_over_the_root_of_its_inputs_and_b_at_zero():
    layer = LoRALinear(nn.Linear(400, 30), rank=9, alpha=1.0)
    bound = 400**-0.5
    assert layer.A.abs().max() <= bound and layer.A.abs().max() > 0.99 * bound
    assert abs(float(layer.A.detach().std()) / (bound / 3**0.5) - 1) < 0.05
    assert not layer.B.any()


def test_lora_trains_any_network_of_linear_layers():
    model, x = plain_network(), torch.randn(6, 7)
    before = model(x)
    method = LoRA(rank=2, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    assert method.stored_count() == 2 * (7 + 5) + 2 * (5 + 4)
    set_random(method)
    trained = model(x)
    assert not torch.allclose(trained, before)
    method.merge()
    torch.testing.assert_close(model(x), trained)
    assert isinstance(model[0], nn.Linear) and isinstance(model[2], nn.Linear)


def test_merging_in_float64_is_exact_to_rounding():
    model, method, batch = tiny_t5().double(), LoRA(rank=3, targets=("*blocks.*",)), random_batch()
    method.attach(model)
    set_random(method)
    expected = model(batch)
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("family, per_layer", [("t5", 7 * 2 + 11 * 3), ("gpt2", 6 * 3)])
def test_a_pattern_names_all_linear_layers_of_all_blocks(family, per_layer):
    model, method = FAMILIES[family](), LoRA(targets=("*blocks.*",))
    method.attach(model)
    assert sum(isinstance(module, LoRALinear) for module in model.modules()) == per_layer


@pytest.mark.parametrize(
    "targets, wrapped",
    [
        (("query",), 8),
        (("attention.query",), 5),
        (("cross_attention.query", "gate"), 8),
        (("encoder.blocks.*.attention.*",), 8),
        (("decoder.blocks.2.cross_attention.value",), 1),
        ("head", 1),
    ],
)
def test_targets_are_ends_of_names_or_patterns_of_all_of_them(targets, wrapped):
    model = tiny_t5()
    LoRA(targets=targets).attach(model)
    assert sum(isinstance(module, LoRALinear) for module in model.modules()) == wrapped


def test_a_target_that_matches_nothing_is_refused_with_the_nearest_name_and_the_model_is_left_alone():
    model = tiny_gpt2()
    before = {path: type(module) for path, module in model.named_modules()}
    sentence = (
        "'qurey' matches no Linear of this model. Did you mean 'query'.*down, head, key, output, query, up, value"
    )
    with pytest.raises(UserError, match=sentence):
        LoRA(targets=("value", "qurey")).attach(model)
    with pytest.raises(UserError, match="'gate' matches no"):  # a T5 name
        LoRA(targets=("up", "gate")).attach(model)
    with pytest.raises(UserError, match="'feed_forward' matches no Linear"):  # a module, but not a linear layer
        LoRA(targets=("feed_forward",)).attach(model)
    with pytest.raises(UserError, match="No targets"):
        LoRA(targets=()).attach(model)
    assert {path: type(module) for path, module in model.named_modules()} == before
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0}, {"alpha": -1.0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_hyper_parameters_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match=f"{next(iter(settings))} must be"):
        LoRA(**settings)


def test_merging_into_a_head_tied_to_the_embedding_is_refused():
    model, method = tiny_gpt2(), LoRA(targets=("value", "head"))
    method.attach(model)
    set_random(method)
    before = model.decoder.blocks[0].attention.value.linear.weight.clone()
    with pytest.raises(UserError, match="head shares its weight"):
        method.merge()
    assert torch.equal(model.decoder.blocks[0].attention.value.linear.weight, before)


def test_dropout_acts_on_the_update_only_and_in_training_only():
    torch.manual_seed(0)
    linear, x = nn.Linear(50, 4), torch.ones(1, 50)
    layer = LoRALinear(linear, rank=2, alpha=2.0, dropout=0.5)
    assert torch.equal(layer.train()(x), linear(x))  # B is zero: only a dropped base could differ
    nn.init.normal_(layer.B)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))


def test_a_module_that_stands_in_two_places_gets_one_wrapper():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.Tanh(), shared)
    method = LoRA(rank=1, targets=("0", "2"))
    method.attach(model)
    assert model[0] is model[2] and method.stored_count() == 8
    method.detach()
    assert model[0] is shared and model[2] is shared
