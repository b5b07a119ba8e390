"""(IA)3: what is scaled, on any module with linear layers, and merging."""

import pytest
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.multiplicative.ia3 import IA3, ScaledInput, ScaledOutput


def mlp():
    """6 -> 9 -> 7 -> 4; the layers are called 0, 2 and 4, the middle one has no bias."""
    torch.manual_seed(0)
    layers = nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 7, bias=False), nn.Tanh(), nn.Linear(7, 4)
    return nn.Sequential(*layers).double()


def scramble(method):
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_()


def by_hand(model, x, outputs, inputs):
    """The MLP of plain numbers, one sum at a time, with the scales of each layer's output and input."""
    rows = x.tolist()
    for number, layer in enumerate(model):
        if isinstance(layer, nn.Tanh):
            rows = [[float(torch.tanh(torch.tensor(v, dtype=torch.float64))) for v in row] for row in rows]
            continue
        before, after = inputs.get(number), outputs.get(number)
        weight, bias = layer.weight.tolist(), [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
        new = []
        for row in rows:
            scaled = [value * before[i] if before is not None else value for i, value in enumerate(row)]
            sums = [sum(w * v for w, v in zip(weight[o], scaled, strict=True)) + bias[o] for o in range(len(weight))]
            new.append([s * after[o] if after is not None else s for o, s in enumerate(sums)])
        rows = new
    return torch.tensor(rows, dtype=torch.float64)


def test_ia3_on_a_plain_mlp_is_the_formula():
    model, plain, x = mlp(), mlp(), torch.randn(5, 6, dtype=torch.float64)
    method = IA3(targets=("0", "2"), feed_forward_targets=("4",))
    method.attach(model)
    assert torch.equal(model(x), plain(x))
    scramble(method)
    scales = {number: model[number].scale.tolist() for number in (0, 2, 4)}
    expected = by_hand(plain, x, outputs={0: scales[0], 2: scales[2]}, inputs={4: scales[4]})
    torch.testing.assert_close(model(x), expected)
    method.merge()
    torch.testing.assert_close(model(x), expected)
    assert [type(layer) for layer in model] == [type(layer) for layer in plain]


@pytest.mark.parametrize("targets, feed_forward", [(("0",), ()), ((), ("0",)), (("0",), ("*",)), (("*",), ())])
def test_either_list_may_be_empty_and_a_layer_in_both_gets_its_input_scaled(targets, feed_forward):
    model = mlp()
    method = IA3(targets, feed_forward)
    method.attach(model)
    kind = ScaledInput if feed_forward else ScaledOutput
    assert isinstance(model[0], kind) and model[0].scale.shape == ((6,) if feed_forward else (9,))
    named = 3 if "*" in (*targets, *feed_forward) else 1
    assert len(method.named_parameters()) == named
    assert isinstance(model[0].linear, nn.Linear)  # wrapped once


def test_the_default_targets_are_keys_values_and_the_down_projection(make_tiny_model):
    model = make_tiny_model()
    IA3().attach(model)
    for path, module in model.named_modules():
        if path.endswith((".key", ".value")):
            assert isinstance(module, ScaledOutput), path
        elif path.endswith(".down"):
            assert isinstance(module, ScaledInput), path
        elif not path.endswith(".linear"):
            assert not isinstance(module, ScaledOutput | ScaledInput), path


def test_targets_that_match_nothing_and_no_targets_are_refused(tiny_t5):
    with pytest.raises(UserError, match="'keys' matches no Linear.*'key'"):
        IA3(targets=("keys",)).attach(tiny_t5)
    with pytest.raises(UserError, match="'dawn' matches no Linear.*'down'"):
        IA3(feed_forward_targets=("dawn",)).attach(tiny_t5)
    with pytest.raises(UserError, match="No targets given"):
        IA3((), ()).attach(tiny_t5)
    IA3().attach(tiny_t5)  # nothing was left behind


def test_merging_a_shared_weight_is_refused_and_nothing_is_changed(tiny_gpt):
    before = tiny_gpt.embedding.weight.detach().clone()
    method = IA3(targets=("key", "head"), feed_forward_targets=())
    method.attach(tiny_gpt)
    scramble(method)
    key = tiny_gpt.decoder.blocks[0].attention.key.linear.weight.detach().clone()
    with pytest.raises(UserError, match="head shares its weight"):
        method.merge()
    assert torch.equal(tiny_gpt.embedding.weight, before)
    assert torch.equal(tiny_gpt.decoder.blocks[0].attention.key.linear.weight, key)
    method.detach()
