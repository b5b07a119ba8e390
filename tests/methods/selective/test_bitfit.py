"""BitFit trains biases alone. On other libraries' names: test_any_module.py; the laws: test_method_properties.py."""

import torch
from helpers.models import tiny_gpt2
from torch import nn

from minipeft.methods.selective.bitfit import BitFit


def test_every_bias_is_trained_and_nothing_else():
    model, method = tiny_gpt2(), BitFit()
    method.attach(model)
    assert set(method.named_parameters()) == {name for name, _ in model.named_parameters() if name.endswith(".bias")}
    assert method.stored_count() == 3 * (7 * 12 + 48) + 12  # 3 layers of width 12, feed-forward 48


def test_a_matrix_called_bias_is_no_bias():
    model = nn.ModuleDict({"linear": nn.Linear(3, 2)})
    model.register_parameter("bias", nn.Parameter(torch.zeros(2, 2)))
    method = BitFit()
    method.attach(model)
    assert set(method.named_parameters()) == {"linear.bias"}
