"""Norm tuning trains every norm alone. Other libraries' norms: test_any_module.py."""

import pytest
from helpers.models import tiny_gpt2, tiny_t5

from minipeft.methods.selective.norm_tuning import NormTuning


@pytest.mark.parametrize("make, count", [(tiny_t5, 12 * (2 * 2 + 3 * 3 + 2)), (tiny_gpt2, 2 * 12 * (2 * 3 + 1))])
def test_every_norm_is_trained_the_last_one_of_each_stack_too_and_nothing_else(make, count):
    model, method = make(), NormTuning()
    method.attach(model)
    names = set(method.named_parameters())
    assert names == {name for name, _ in model.named_parameters() if "norm" in name}
    assert method.stored_count() == count
