"""Weights kept as (in, out): a method sees them the usual way round, and what it merges lands in them."""

import pytest
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.rescaling.ia3 import IA3


class Conv1D(nn.Module):
    """y = x W + b with W: (in, out), as transformers' GPT-2 has it."""

    def __init__(self, out_features, in_features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, out_features))
        self.bias = nn.Parameter(torch.randn(out_features))

    def forward(self, x):
        return x @ self.weight + self.bias


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Conv1D(7, 5), nn.Linear(7, 3)

    def forward(self, x):
        return self.second(self.first(x).tanh())


@pytest.mark.parametrize(
    "method",
    [LoRA(rank=2, alpha=3.0, targets=("first", "second")), IA3(targets=("first",), feed_forward_targets=("second",))],
    ids=["lora", "ia3"],
)
def test_merging_into_a_transposed_layer_keeps_the_outputs_and_its_shape(method):
    torch.manual_seed(0)
    model, x = Model(), torch.randn(4, 6, 5)
    before, start = model.first.weight.detach().clone(), model(x)
    method.attach(model)
    assert torch.equal(model(x), start)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(torch.randn_like(parameter))
    expected = model(x)
    method.merge()
    assert type(model.first) is Conv1D and model.first.weight.shape == (5, 7)
    assert not torch.equal(model.first.weight, before)
    torch.testing.assert_close(model(x), expected)


def test_a_target_that_no_linear_layer_has_lists_both_kinds():
    with pytest.raises(UserError, match="matches no Conv1D or Linear .*'first'.*There are: first, second"):
        LoRA(targets=("frist",)).attach(Model())
