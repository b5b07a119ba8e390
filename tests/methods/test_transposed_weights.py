"""The low-rank family on a weight stored as (in, out): same start, a merge that lands in it, a detach that does not."""

import pytest
import torch
from helpers.conv1d import Conv1D, Model

from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.pissa import PiSSA
from minipeft.methods.low_rank.vera import VeRA
from minipeft.methods.multiplicative.oft import OFT

TARGETS = ("first",)  # 5 inputs, 7 outputs
METHODS = [
    DoRA(rank=2, targets=TARGETS),
    PiSSA(rank=2, alpha=3.0, targets=TARGETS),
    VeRA(rank=6, targets=TARGETS),
    OFT(block_size=5, targets=TARGETS),
    AdaLoRA(rank=3, target_rank=2, targets=TARGETS),
]


@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
def test_a_transposed_weight_is_read_merged_and_left_the_right_way_round(method):
    torch.manual_seed(0)
    model, plain, x = Model(), torch.nn.Linear(5, 7), torch.randn(4, 6, 5)
    with torch.no_grad():
        plain.weight.copy_(model.first.weight.T)
        plain.bias.copy_(model.first.bias)
    reference = torch.nn.ModuleDict({"first": plain})
    weight, start = model.first.weight.detach().clone(), model(x)
    method.attach(model)
    assert torch.equal(model(x), start)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(torch.randn_like(parameter))
    expected, learned = model(x), method.state_dict()
    assert not torch.allclose(expected, start)
    method.detach()
    assert torch.equal(model.first.weight, weight) and torch.equal(model(x), start)

    other = type(method)(**method.hyperparameters())  # the same numbers on the same weight the usual way round
    other.attach(reference)
    other.load_state_dict(learned)
    torch.testing.assert_close(model.second(reference["first"](x).tanh()), expected)
    method.attach(model)
    method.load_state_dict(learned)
    method.merge()
    assert type(model.first) is Conv1D and model.first.weight.shape == (5, 7)
    torch.testing.assert_close(model(x), expected)
