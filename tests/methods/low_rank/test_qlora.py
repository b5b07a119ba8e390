"""QLoRA against its equation, its two ways of merging, and what stays in memory."""

import pytest
import torch
from helpers.models import random_batch, tiny_gpt2, tiny_llama, tiny_t5
from helpers.scrambling import scramble
from torch import nn

from minipeft.errors import UserError
from minipeft.memory.counting import step_memory
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.quantization.blockwise import dequantize, quantize
from minipeft.quantization.linear import QuantizedLinear

slow_llama = pytest.param(tiny_llama, marks=pytest.mark.slow)
families = pytest.mark.parametrize("make", [tiny_t5, tiny_gpt2, slow_llama])
# int8 without double quantization is near enough to the weights to tell a wrong layer from a rounded one.
EXACT = {"format": "int8", "block_size": 8, "double_quantization": False}


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(21, 15), nn.ReLU(), nn.Linear(15, 9, bias=False))


def quantized_by_hand(model, paths, format="nf4", block_size=64):
    """The weights of these layers in place of theirs, quantized and written out."""
    with torch.no_grad():
        for path in paths:
            weight = model.get_submodule(path).weight
            weight.copy_(dequantize(*quantize(weight, format, block_size), weight.shape, format, block_size))
    return model


@pytest.mark.parametrize("format, block_size", [("nf4", 64), ("fp4", 10), ("int4", 32), ("int8", 64)])
def test_it_computes_with_the_quantized_weight_plus_alpha_over_rank_times_b_a(format, block_size):
    model, x = network(), torch.randn(5, 21)
    method = QLoRA(2, 6.0, ("0",), format=format, block_size=block_size, double_quantization=False)
    plain = quantized_by_hand(network(), ["0"], format, block_size)
    method.attach(model)
    assert torch.equal(model(x), plain(x))  # the start
    scramble(method, seed=0)
    layer = model[0]
    weight = plain[0].weight + 3.0 * layer.B @ layer.A
    torch.testing.assert_close(layer(x), x @ weight.T + plain[0].bias, atol=1e-5, rtol=1e-5)
    assert sum(parameter.numel() for parameter in method.named_parameters().values()) == 2 * (21 + 15)


@families
def test_by_default_every_linear_layer_of_every_block_is_quantized_and_nothing_else(make):
    model = make()
    linear = {path for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    QLoRA().attach(model)
    quantized = {path[: -len(".linear")] for path, m in model.named_modules() if isinstance(m, QuantizedLinear)}
    assert quantized == {path for path in linear if "blocks." in path} and linear - quantized == {"head"}
    assert all(isinstance(model.get_submodule(path), LoRALinear) for path in quantized)


@families
def test_it_starts_near_the_base_and_with_eight_bits_nearer(make):
    model, batch = make(), random_batch()
    expected, errors = model(batch).detach(), []
    for settings in ({}, EXACT):
        method = QLoRA(**settings)
        method.attach(model)
        errors.append(float((model(batch).detach() - expected).norm() / expected.norm()))
        method.detach()
    assert torch.equal(model(batch), expected)
    assert 0 < errors[1] < 0.1 and 4 * errors[1] < errors[0] < 1.0, errors


def test_gradients_pass_through_quantized_layers_to_the_adapters_alone_and_no_code_changes():
    model, method, x = network(), QLoRA(rank=2, targets=("0", "2")), torch.randn(6, 21)
    method.attach(model)
    scramble(method, seed=0)
    frozen = {name: buffer.clone() for name, buffer in model.named_buffers()}
    twin = quantized_by_hand(network(), ["0", "2"])  # differs by double quantization of absmax alone
    for path, layer in method.layers():
        twin.get_submodule(path).weight.data.copy_(layer.linear.weight)
    low = {path: [p.detach().clone().requires_grad_() for p in (layer.A, layer.B)] for path, layer in method.layers()}
    hidden = (twin[0](x) + 8.0 * x @ low["0"][0].T @ low["0"][1].T).relu()
    (twin[2](hidden) + 8.0 * hidden @ low["2"][0].T @ low["2"][1].T).square().sum().backward()
    model(x).square().sum().backward()
    for path, layer in method.layers():
        for got, expected in zip((layer.A, layer.B), low[path], strict=True):
            torch.testing.assert_close(got.grad, expected.grad, atol=1e-3, rtol=1e-4)
    assert model[0].linear.bias.grad is None
    torch.optim.SGD(method.parameter_groups(0.1)).step()
    assert all(torch.equal(buffer, frozen[name]) for name, buffer in model.named_buffers())


def test_the_ledger_counts_the_quantized_bytes(make_tiny_model, tiny_task):
    model = make_tiny_model()
    blocks = {m.weight: m for p, m in model.named_modules() if isinstance(m, nn.Linear) and "blocks." in p}
    plain = 4 * sum(parameter.numel() for parameter in model.parameters())
    method = QLoRA(rank=3, block_size=64, double_quantization=False)
    method.attach(model)
    saved = sum(4 * weight.numel() for weight in blocks)
    stored = sum(weight.numel() // 2 + 4 * -(-weight.numel() // 64) for weight in blocks)
    counted = step_memory(model, method, tiny_task, batch_size=4)
    assert counted["weights"] == plain - saved + stored + 4 * method.stored_count()
    assert counted["gradients"] == 4 * method.stored_count()


@families
def test_merging_writes_what_was_trained_into_the_plain_layers(make):
    model, batch = make(), random_batch()
    base = {path: module for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    untouched = {path: module.weight.clone() for path, module in base.items()}
    method = QLoRA(rank=3)
    method.attach(model)
    scramble(method, seed=0)
    expected, layers = model(batch), {path: layer.weight for path, layer in method.layers()}
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=2e-5 * float(expected.detach().abs().max()), rtol=0)
    for path, module in base.items():
        assert model.get_submodule(path) is module and type(module) is nn.Linear
        assert torch.equal(module.weight, layers.get(path, untouched[path]))
    with pytest.raises(UserError, match="qlora cannot be unmerged"):
        method.unmerge()


@families
@pytest.mark.parametrize("format, lowest, highest", [("nf4", 0.05, 0.15), ("int8", 0.002, 0.01)])
def test_merging_and_quantizing_again_says_what_it_costs(make, format, lowest, highest):
    model, batch = make(), random_batch()
    method = QLoRA(rank=3, format=format)
    method.attach(model)
    scramble(method, seed=0)
    expected, exact = model(batch), {path: layer.weight.detach() for path, layer in method.layers()}
    errors = method.merge_requantized()
    assert errors.keys() == exact.keys() and not hasattr(model, "attached_method")
    for path, weight in exact.items():
        layer = model.get_submodule(path)
        assert type(layer) is QuantizedLinear and layer.format == format
        difference = (layer.weight - weight).double().square().sum().sqrt() / weight.double().square().sum().sqrt()
        assert errors[path] == pytest.approx(float(difference), rel=1e-4) and lowest < errors[path] < highest
    change = (model(batch) - expected).norm() / expected.norm()
    assert 1e-3 < change < 1.0  # merging without quantizing keeps five digits
    assert not any(isinstance(module, LoRALinear) for module in model.modules())


def test_a_layer_that_stands_in_two_places_is_merged_once():
    shared = nn.Linear(6, 6)
    model, x = nn.Sequential(shared, nn.Tanh(), shared), torch.randn(4, 6)
    for merge in ("merge", "merge_requantized"):
        method = QLoRA(rank=1, targets=("0", "2"), **EXACT)
        method.attach(model)
        assert model[0] is model[2]
        scramble(method, seed=0)
        expected = model(x)
        getattr(method, merge)()
        assert model[0] is model[2] and torch.allclose(model(x), expected, atol=1e-5 if merge == "merge" else 0.1)


def test_merging_into_a_head_tied_to_the_embedding_is_refused():
    model, method = tiny_gpt2(), QLoRA(targets=("value", "head"))
    method.attach(model)
    scramble(method, seed=0)
    wrappers, plain_layers = dict(method.layers()), method.plain_layers()
    plain = {path: plain_layers[wrapper].weight.clone() for path, wrapper in wrappers.items()}
    for merge in (method.merge, method.merge_requantized):
        with pytest.raises(UserError, match="head shares its weight"):
            merge()
    method.detach()
    assert all(torch.equal(model.get_submodule(path).weight, weight) for path, weight in plain.items())


def test_a_layer_that_is_quantized_already_takes_an_adapter_but_no_merge():
    torch.manual_seed(0)
    model, method = nn.Sequential(QuantizedLinear(nn.Linear(9, 7))), QLoRA(rank=2, targets=("0",))
    method.attach(model)
    with pytest.raises(UserError, match="0 is quantized"):
        method.merge()


@pytest.mark.parametrize("settings", [{"format": "nf3"}, {"block_size": 0}, {"rank": 0}, {"alpha": 0}])
def test_hyper_parameters_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match=f"{next(iter(settings))} must be"):
        QLoRA(**settings)


def test_weights_that_are_not_finite_are_refused_and_the_model_is_left_alone():
    model = network()
    model[2].weight.data[3, 4] = float("inf")
    with pytest.raises(UserError, match="not finite"):
        QLoRA(targets=("0", "2")).attach(model)
    assert isinstance(model[0], nn.Linear) and not hasattr(model, "attached_method")
