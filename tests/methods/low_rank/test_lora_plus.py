"""LoRA+: which rate each parameter gets. The laws of every method: test_method_properties.py."""

import pytest
import torch
from helpers.models import tiny_t5
from helpers.scrambling import redraw
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.training.optimizers import make_optimizer


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_lora_plus_gives_every_parameter_to_one_group_and_b_the_higher_rate(optimizer):
    model, method = tiny_t5(), LoRAPlus(rank=2, ratio=7.0)
    method.attach(model)
    groups = make_optimizer(optimizer, method.parameter_groups(1e-3), 1e-3).param_groups
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rate) == len(method.named_parameters())
    for name, parameter in method.named_parameters().items():
        assert rate[id(parameter)] == pytest.approx(7e-3 if name.endswith(".B") else 1e-3)


def test_with_adam_the_first_step_moves_b_by_ratio_times_the_rate_and_a_by_the_rate():
    """Adam's first step is the rate times the gradient's sign."""
    model, method, x = nn.Sequential(nn.Linear(7, 5)), LoRAPlus(rank=2, targets=("0",), ratio=4.0), torch.randn(6, 7)
    method.attach(model)
    redraw(method)
    before = method.state_dict()
    optimizer = make_optimizer("adamw", method.parameter_groups(1e-3), 1e-3)
    model(x).square().sum().backward()
    optimizer.step()
    for name, value in method.state_dict().items():
        step = (value - before[name]).abs()
        torch.testing.assert_close(step, torch.full_like(step, 4e-3 if name == "0.B" else 1e-3), atol=1e-5, rtol=0)


def test_lora_plus_refuses_a_ratio_below_one_and_equals_lora_at_one():
    with pytest.raises(UserError, match="ratio must be at least 1, not 0.5"):
        LoRAPlus(ratio=0.5)
    assert {group["lr"] for group in attached(LoRAPlus(ratio=1.0)).parameter_groups(2e-3)} == {2e-3}


def attached(method):
    method.attach(tiny_t5())
    return method
