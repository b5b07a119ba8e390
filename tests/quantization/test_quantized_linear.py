"""A linear layer in 4 bits: the product, its gradients, what it keeps in memory, and what may be done with it."""

import copy

import pytest
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.memory.counting import saved_activation_bytes
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.quantization.blockwise import dequantize, quantize
from minipeft.quantization.linear import QuantizedLinear

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
both_biases = pytest.mark.parametrize("bias", [True, False])


def plain_layer(bias=True, shape=(23, 17), dtype=torch.float32):
    torch.manual_seed(2)
    layer = nn.Linear(*shape, bias=bias).to(dtype)
    return layer.requires_grad_(False)


def nf4_layer(plain, double_quantization=True):
    """The layer of the paper: NF4 in blocks of 64, with double quantization."""
    return QuantizedLinear(plain, "nf4", 64, double_quantization)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def saved_tensors(run):
    """Every tensor that autograd keeps for the backward pass of what `run` computes."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        run()
    return kept


@both_biases
@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
def test_the_output_is_that_of_a_plain_layer_with_the_dequantised_weight_bit_for_bit(dtype, bias):
    plain = plain_layer(bias, dtype=dtype)
    layer, x = nf4_layer(plain), random(2, 3, 23).to(dtype)
    expected = plain_layer(bias, dtype=dtype)
    expected.weight.copy_(layer.weight)
    assert layer.weight.dtype == dtype and layer.weight.shape == (17, 23)
    assert torch.equal(layer(x), expected(x)) and not torch.allclose(layer(x), plain(x), rtol=1e-3)


@pytest.mark.parametrize("format, block_size", [("nf4", 64), ("fp4", 16), ("int4", 23), ("int8", 64)])
def test_without_double_quantization_the_weight_is_what_blockwise_quantization_leaves(format, block_size):
    plain = plain_layer()
    layer = QuantizedLinear(plain, format, block_size)
    codes, absmax = quantize(plain.weight, format, block_size)
    assert torch.equal(layer.weight, dequantize(codes, absmax, (17, 23), format, block_size))


@both_biases
@pytest.mark.parametrize("shape", [(23,), (4, 23), (2, 3, 23)])
def test_gradients_are_those_of_the_dequantised_weight(shape, bias):
    plain = plain_layer(bias)
    if bias:
        plain.bias.requires_grad_(True)
    layer, x = nf4_layer(plain), random(*shape).requires_grad_(True)
    trained = [x, plain.bias] if bias else [x]
    goal = random(*shape[:-1], 17, seed=1)
    got = torch.autograd.grad((layer(x) * goal).sum(), trained)
    expected = torch.autograd.grad((nn.functional.linear(x, layer.weight, plain.bias) * goal).sum(), trained)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


def test_the_backward_pass_has_saved_no_weight():
    layer, x = nf4_layer(plain_layer(shape=(50, 40))), random(3, 50).requires_grad_(True)
    assert saved_tensors(lambda: layer(x)) == []
    kept = saved_tensors(lambda: nn.functional.linear(x, layer.weight, layer.bias))  # what would happen without care
    assert max(tensor.numel() for tensor in kept) == 50 * 40


def test_with_lora_only_what_lora_needs_is_saved():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = LoRALinear(nf4_layer(plain_layer(shape=(50, 40))), rank=2, alpha=4.0)

        def loss(self, x):
            return self.layer(x).square().sum()

    x = random(3, 50).requires_grad_(True)
    # x for A's gradient, the low-rank product for B's, the output for the square; weights are not activations.
    assert saved_activation_bytes(Model(), x) == 4 * (3 * 50 + 3 * 2 + 3 * 40)


@pytest.mark.parametrize("double_quantization, bits", [(False, 4.5), (True, 4.127)])
def test_bits_per_parameter_are_counted_from_the_bytes_in_memory(double_quantization, bits):
    layer = nf4_layer(plain_layer(shape=(1024, 768)), double_quantization=double_quantization)
    assert round(layer.bits_per_parameter(), 3) == bits
    held = sum(len(buffer.numpy().tobytes()) for name, buffer in layer.named_buffers())
    assert layer.stored_bytes() == held and layer.bits_per_parameter() == 8 * held / (1024 * 768)
    eight = QuantizedLinear(plain_layer(shape=(1024, 768)), "int8", 64, double_quantization)
    assert round(eight.bits_per_parameter() - 4, 3) == bits


def test_the_parameters_are_the_bias_alone_and_the_codes_are_in_the_state_dict():
    plain = plain_layer()
    layer = nf4_layer(plain)
    assert list(layer.parameters()) == [plain.bias]
    other = nf4_layer(plain_layer())
    other.codes.zero_()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.weight, layer.weight)


def test_casting_a_model_leaves_the_codes_and_their_scales_as_they_are():
    """bfloat16 scales would change every weight by up to 0.4%."""
    for double_quantization in (False, True):
        layer = nf4_layer(plain_layer(), double_quantization=double_quantization)
        expected = layer.weight
        layer.bfloat16()
        assert layer.weight.dtype == torch.bfloat16 and torch.equal(layer.weight, expected.bfloat16())
        assert torch.equal(copy.deepcopy(layer).float().weight, expected)
        assert layer(random(2, 23).bfloat16()).dtype == torch.bfloat16


def test_under_autocast_it_computes_in_sixteen_bits_like_a_plain_layer():
    layer, x = nf4_layer(plain_layer()), random(5, 23).requires_grad_(True)
    plain = plain_layer()
    plain.weight.copy_(layer.weight)
    results = []
    for module in (layer, plain):
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        (gradient,) = torch.autograd.grad(y.float().square().sum(), x)
        results.append((y, gradient))
    assert results[0][0].dtype == torch.bfloat16 and results[0][1].dtype == torch.float32
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", [LoRA, DoRA])
def test_other_methods_wrap_it_and_refuse_to_merge_into_what_would_be_lost(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nf4_layer(plain_layer()), nn.Tanh(), nf4_layer(plain_layer(shape=(17, 9))))
    x = random(4, 23)
    before, codes = model(x), model[0].codes.clone()
    method = kind(rank=2, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    optimizer = torch.optim.Adam(method.parameter_groups(0.05))
    for _ in range(3):
        optimizer.zero_grad()
        (model(x) - 1).square().sum().backward()
        optimizer.step()
    trained = model(x)
    assert not torch.allclose(trained, before, rtol=1e-2)
    with pytest.raises(UserError, match="0 is quantized, and what is added to its weight would be lost"):
        method.merge()
    assert torch.equal(model(x), trained)
    method.detach()
    assert torch.equal(model(x), before) and torch.equal(model[0].codes, codes)


def test_a_target_that_names_no_quantized_layer_lists_them_by_kind():
    model = nn.Sequential(nf4_layer(plain_layer()))
    with pytest.raises(UserError, match="matches no Linear or QuantizedLinear.*There are: 0"):
        LoRA(targets=("1",)).attach(model)
