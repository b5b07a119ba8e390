"""Weights kept as (in, out): a method sees them the usual way round, and what it merges lands in them."""

import pytest
import torch
from helpers.conv1d import Conv1D, Model

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.multiplicative.ia3 import IA3


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
