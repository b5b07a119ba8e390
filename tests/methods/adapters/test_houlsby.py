"""Houlsby adapters against their equation in float64, where they start, and where they stand."""

import math

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.houlsby import AdaptedSublayer, Adapter, Houlsby

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
# One tensor for each RMSNorm, two for each LayerNorm.
NORMS = {"t5": 2 * 2 + 3 * 3 + 2, "gpt2": 2 * (2 * 3 + 1), "llama": 2 * 3 + 1}


def attached(family, **hyperparameters):
    model, method = FAMILIES[family]().double(), Houlsby(**hyperparameters)
    method.attach(model)
    return model, method


def set_random(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


def gelu(x):
    """x times the normal distribution's share below x: the exact one, not the tanh that comes near it."""
    return x * 0.5 * (1 + math.erf(x / 2**0.5))


def test_an_adapter_adds_a_gelu_network_of_its_input_number_by_number():
    torch.manual_seed(0)
    adapter = Adapter(7, 3).double()
    set_random(adapter)
    (down, b_down), (up, b_up) = ([p.tolist() for p in linear.parameters()] for linear in (adapter.down, adapter.up))
    rows = torch.randn(10, 7, dtype=torch.float64)
    got = adapter(rows).tolist()
    for x, y in zip(rows.tolist(), got, strict=True):
        inner = [gelu(b_down[j] + sum(down[j][i] * x[i] for i in range(7))) for j in range(3)]
        for i in range(7):
            assert abs(y[i] - (x[i] + b_up[i] + sum(up[i][j] * inner[j] for j in range(3)))) < 1e-12


@pytest.mark.parametrize("std", [1e-3, 0.02])
def test_weights_start_normal_and_cut_at_two_standard_deviations_and_biases_at_zero(std):
    torch.manual_seed(0)
    adapter = Adapter(300, 40, *([] if std == 1e-3 else [std]))  # the first is the default
    for linear in (adapter.down, adapter.up):
        assert 1.95 * std < float(linear.weight.detach().abs().max()) <= 2 * std
        # A normal distribution that is cut at two standard deviations has 0.8796 of its deviation left.
        assert float(linear.weight.detach().std()) == pytest.approx(0.8796 * std, rel=0.03)
        assert abs(float(linear.weight.detach().mean())) < 0.05 * std
        assert not linear.bias.any()
    assert Houlsby().std == 1e-3 and Houlsby(std=std).hyperparameters()["std"] == std


@families
def test_the_standard_deviation_given_is_that_of_every_adapter(family):
    model, _ = attached(family, std=0.07)
    adapters = [module for module in model.modules() if isinstance(module, Adapter)]
    assert all(0.1 < float(adapter.up.weight.detach().abs().max()) <= 0.14 for adapter in adapters)


@torch.no_grad()
@families
def test_the_adapter_stands_behind_each_sublayer_before_the_residual_sum(family):
    """Each sublayer's output, put through its adapter by hand and handed on, gives the adapted model's logits."""
    model, method = attached(family, bottleneck=5)
    torch.manual_seed(1)
    for parameter in method.named_parameters().values():
        parameter.add_(0.3 * torch.randn_like(parameter))
    expected, batch = model(random_batch()), random_batch()
    wrappers = {path: module for path, module in model.named_modules() if isinstance(module, AdaptedSublayer)}
    adapters = {path: wrapper.adapter for path, wrapper in wrappers.items()}
    norms = {name: value for name, value in method.state_dict().items() if ".adapter." not in name}
    method.detach()
    model.load_state_dict(norms, strict=False)
    plain = model(batch)
    for path, adapter in adapters.items():

        def through(sublayer, inputs, output, adapter=adapter):
            inner = nn.functional.linear(output, adapter.down.weight, adapter.down.bias)
            inner = inner * torch.special.ndtr(inner)  # exact gelu
            return output + nn.functional.linear(inner, adapter.up.weight, adapter.up.bias)

        model.get_submodule(path).register_forward_hook(through)
    torch.testing.assert_close(model(batch), expected, atol=1e-10, rtol=1e-10)
    assert (plain - expected).abs().max() > 0.1


@families
def test_every_sublayer_has_one_adapter_and_the_norms_are_trained_along(family):
    model, method = attached(family)
    paths = [path for path, module in model.named_modules() if isinstance(module, AdaptedSublayer)]
    if family == "t5":
        kinds = [("encoder", 2, ("attention", "feed_forward"))]
        kinds += [("decoder", 3, ("attention", "cross_attention", "feed_forward"))]
    else:
        kinds = [("decoder", 3, ("attention", "feed_forward"))]
    assert paths == [
        f"{stack}.blocks.{i}.{kind}" for stack, layers, names in kinds for i in range(layers) for kind in names
    ]
    trained = method.named_parameters()
    assert sum(".adapter." in name for name in trained) == 4 * len(paths)
    assert sum("norm" in name for name in trained) == len(trained) - 4 * len(paths) == NORMS[family]


def test_a_bottleneck_of_nothing_is_refused():
    with pytest.raises(UserError, match="at least 1, not 0"):
        Houlsby(bottleneck=0)
