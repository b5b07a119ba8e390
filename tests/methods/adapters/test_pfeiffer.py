"""Pfeiffer adapters against their equation in float64, and what they leave alone."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.houlsby import AdaptedSublayer
from minipeft.methods.adapters.pfeiffer import Pfeiffer, PfeifferAdapter

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def set_random(method, std=0.5):
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_(std=std)


def test_an_adapter_adds_a_relu_network_of_its_input_number_by_number():
    torch.manual_seed(0)
    adapter = PfeifferAdapter(7, 3).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    u = torch.randn(2, 5, 7, dtype=torch.float64)
    (down, b_down), (up, b_up) = ([p.tolist() for p in linear.parameters()] for linear in (adapter.down, adapter.up))
    got, negative = adapter(u), 0
    for row in range(2):
        for position in range(5):
            x = u[row, position].tolist()
            inner = [b_down[j] + sum(down[j][i] * x[i] for i in range(7)) for j in range(3)]
            negative += sum(value < 0 for value in inner)
            for i in range(7):
                expected = x[i] + b_up[i] + sum(up[i][j] * max(0.0, inner[j]) for j in range(3))
                assert abs(float(got[row, position, i].detach()) - expected) < 1e-12
    assert negative > 5  # where relu matters


def test_it_starts_with_normal_weights_of_standard_deviation_002_and_no_biases():
    torch.manual_seed(0)
    adapter = PfeifferAdapter(300, 70)
    for linear in (adapter.down, adapter.up):
        assert abs(float(linear.weight.detach().std()) / 0.02 - 1) < 0.03
        assert float(linear.weight.detach().abs().max()) > 3 * 0.02  # a normal distribution that is not cut
        assert not linear.bias.any()


@families
def test_the_only_change_is_an_update_added_behind_each_feed_forward_sublayer(family):
    model, passes = FAMILIES[family]().double(), []
    method = Pfeiffer(bottleneck=5)
    method.attach(model)
    set_random(method)
    blocks = [*(model.encoder.blocks if family == "t5" else []), *model.decoder.blocks]
    for block in blocks:
        block.register_forward_hook(lambda *seen: passes.append(seen))
    model(random_batch())
    assert [block for block, _, _ in passes] == blocks
    for block, inputs, output in passes:
        adapter, block.feed_forward = block.feed_forward.adapter, block.feed_forward.sublayer  # a plain block again
        u = []
        block.feed_forward.register_forward_hook(lambda module, given, out, u=u: u.append(out))
        plain = block.forward(*inputs)
        inner = (u[0] @ adapter.down.weight.T + adapter.down.bias).clamp(min=0)
        expected = plain + inner @ adapter.up.weight.T + adapter.up.bias
        torch.testing.assert_close(output, expected, atol=1e-10, rtol=1e-10)
        assert (output - plain).abs().max() > 0.1


@families
def test_each_layer_has_one_adapter_and_the_norms_stay_frozen(family):
    model, method = FAMILIES[family](), Pfeiffer(bottleneck=4)
    method.attach(model)
    layers = {"t5": 2 + 3, "gpt2": 3, "llama": 3}[family]
    assert sum(isinstance(module, PfeifferAdapter) for module in model.modules()) == layers
    assert method.stored_count() == layers * (2 * 12 * 4 + 12 + 4)
    assert not any("norm" in name for name in method.named_parameters())


def test_a_bottleneck_of_nothing_is_refused():
    with pytest.raises(UserError, match="bottleneck must be at least 1, not 0"):
        Pfeiffer(bottleneck=0)


def test_a_place_that_there_is_not_is_refused():
    with pytest.raises(UserError, match="'feed_forward' or 'attention', not 'head'"):
        Pfeiffer(place="head")


def test_behind_attention_there_is_one_adapter_for_each_attention_and_none_elsewhere():
    model = FAMILIES["t5"]()
    Pfeiffer(place="attention").attach(model)
    places = {path for path, module in model.named_modules() if isinstance(module, AdaptedSublayer)}
    blocks = {f"encoder.blocks.{i}" for i in range(model.config.encoder_layers)}
    layers = {f"decoder.blocks.{i}" for i in range(model.config.decoder_layers)}
    assert places == {f"{b}.attention" for b in blocks | layers} | {f"{b}.cross_attention" for b in layers}
