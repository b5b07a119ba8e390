"""A state is loaded whole or not at all, and what is no state is refused in one sentence."""

import copy

import pytest
import torch
from torch import nn

from minipeft import METHODS
from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.strict_loading import load_strictly

MAKERS = {
    "lora": lambda: LoRA(rank=2, targets=("0",)),
    "adalora": lambda: METHODS["adalora"](targets=("0",)),
    "bitfit": METHODS["bitfit"],
}
SPOILED = {
    "nothing": lambda tensor: None,
    "an array": lambda tensor: tensor.numpy(),
    "a list": lambda tensor: tensor.tolist(),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "whole numbers": lambda tensor: tensor.to(torch.int32),
    "without numbers": lambda tensor: tensor.to("meta"),
    "sparse": lambda tensor: tensor.to_sparse(),
}


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_what_is_no_plain_tensor_is_refused_by_name_and_the_model_stays_plain(make, spoil):
    model, method = network(), make()
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    state = method.state_dict()
    method.detach()
    name = next(iter(state))
    state[name] = spoil(state[name])
    with pytest.raises(UserError, match=f"'{name}' in the state of {method.name} is"):
        method.attach(model, state)
    assert not hasattr(model, "attached_method")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_list_of_pairs_is_no_state():
    method = LoRA(rank=2, targets=("0",))
    with pytest.raises(UserError, match="The state of lora must be a dictionary of tensors, not a list"):
        method.attach(network(), [("0.A", torch.zeros(2, 6))])


def test_the_order_of_a_state_means_nothing():
    model, method, x = network(), LoRA(rank=2, targets=("0", "2")), torch.randn(5, 6)
    method.attach(model)
    nn.init.normal_(model[0].B)
    expected, state = model(x), method.state_dict()
    method.detach()
    method.attach(model, dict(reversed(state.items())))
    assert torch.equal(model(x), expected)


def test_choices_and_parameters_do_not_take_each_others_place():
    own = {"weight": nn.Parameter(torch.zeros(3))}
    with pytest.raises(UserError, match="'weight' is of type torch.bool in the saved x and torch.float32 here"):
        load_strictly(own, {"weight": torch.ones(3, dtype=torch.bool)}, "x")
