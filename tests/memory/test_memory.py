"""The bytes of a training step, against counts by hand and against the tensors an optimizer really holds."""

import gc

import pytest
import torch
from torch import nn

from minipeft.memory.counting import optimizer_bytes, saved_activation_bytes, step_memory
from minipeft.methods.registry import METHODS
from minipeft.training.optimizers import make_optimizer


class OneLayer(nn.Module):
    """loss = sum of relu(x W^T): the backward pass needs x (for the gradient of W) and the result (for relu's)."""

    def __init__(self, trained: bool):
        super().__init__()
        self.linear = nn.Linear(5, 7, bias=False)
        self.linear.weight.requires_grad_(trained)

    def loss(self, x):
        return self.linear(x).relu().sum()


def test_saved_activations_are_what_the_backward_pass_needs():
    x = torch.randn(3, 5)
    assert saved_activation_bytes(OneLayer(trained=True), x) == 4 * (3 * 5 + 3 * 7)
    assert saved_activation_bytes(OneLayer(trained=False), x) == 0, "a frozen layer that leads nowhere needs nothing"
    # A gradient that only passes through needs W, which is a weight and no activation, and relu's result.
    assert saved_activation_bytes(OneLayer(trained=False), x.requires_grad_()) == 4 * 3 * 7


@pytest.mark.parametrize("optimizer", ["adamw", "paged_adamw", "adafactor"])
def test_optimizer_bytes_are_those_of_its_state_after_a_step(optimizer):
    parameters = [nn.Parameter(torch.randn(7, 5)), nn.Parameter(torch.randn(11)), nn.Parameter(torch.randn(2, 3, 4))]
    real = make_optimizer(optimizer, [{"params": parameters, "lr": 0.1}], 0.1)
    sum(parameter.square().sum() for parameter in parameters).backward()
    real.step()
    held = [value for state in real.state.values() for value in state.values() if torch.is_tensor(value)]
    counted = sum(tensor.numel() * tensor.element_size() for tensor in held if tensor.dim() > 0)
    assert optimizer_bytes(parameters, optimizer) == counted


def test_a_frozen_base_saves_gradients_and_optimizer_state(make_tiny_model, tiny_task):
    parts = {}
    for name in ("full", "lora"):
        model, method = make_tiny_model(), METHODS[name]()
        method.attach(model)
        parts[name] = step_memory(model, method, tiny_task, batch_size=6)
        assert parts[name]["gradients"] == 4 * method.stored_count()
        assert parts[name]["optimizer"] == 8 * method.stored_count()
        method.detach()
        weights = 4 * sum(parameter.numel() for parameter in model.parameters())
        assert parts[name]["weights"] == weights + (parts[name]["gradients"] if name == "lora" else 0)
    assert parts["lora"]["activations"] > 0


def test_the_frozen_numbers_that_a_method_adds_are_weights_too(make_tiny_model, tiny_task):
    """VeRA's random matrices are stored once for all layers, and are neither trained nor activations."""
    model = make_tiny_model()
    plain = sum(parameter.numel() for parameter in model.parameters())
    method = METHODS["vera"](rank=5)
    method.attach(model)
    shared = next(module for module in model.modules() if hasattr(module, "d")).shared
    frozen = shared.A.numel() + shared.B.numel()
    counted = step_memory(model, method, tiny_task, batch_size=6)["weights"]
    assert frozen == 5 * (64 + 64 if type(model).__name__ == "DecoderOnly" else 24 + 24)
    assert counted == 4 * (plain + method.stored_count() + frozen)


@pytest.mark.parametrize("method", ("prompt_tuning", "lora", "qlora", "adalora", "prefix_tuning"))
def test_a_count_leaves_nothing_behind(make_tiny_model, tiny_task, method):
    model, attached = make_tiny_model(), METHODS[method]()
    attached.attach(model)
    step_memory(model, attached, tiny_task, 4)  # what is kept once for all is there now
    gc.freeze()  # only what is made from here on is looked at, which is quick

    def alive():
        step_memory(model, attached, tiny_task, 4)
        gc.collect()
        return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())

    try:
        before = alive()
        alive()
        assert alive() <= before, "a graph of the forward pass is never freed"
    finally:
        gc.unfreeze()
