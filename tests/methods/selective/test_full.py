"""Full tuning trains everything, and detach brings every bit back. The other laws: test_method_properties.py."""

import torch
from torch import nn

from minipeft.methods.selective.full import Full


def test_one_step_moves_every_parameter_and_detaching_undoes_it():
    torch.manual_seed(0)
    model, method = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2, bias=False)), Full()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    method.attach(model)
    assert method.stored_count() == method.trained_count() == 3 * 5 + 5 + 2 * 5 + 5 * 2
    model(torch.randn(4, 3)).square().sum().backward()
    torch.optim.SGD(method.parameter_groups(0.1)).step()
    assert all((now != old).any() for now, old in zip(model.parameters(), before, strict=True))
    method.detach()
    assert all(torch.equal(now, old) for now, old in zip(model.parameters(), before, strict=True))
