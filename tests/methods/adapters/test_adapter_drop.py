"""AdapterDrop: which layers do without, and what is drawn in training."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch

from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_drop import AdapterDrop, DroppableSublayer
from minipeft.methods.adapters.pfeiffer import Pfeiffer

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
CHAIN = {  # in the order in which they compute
    "t5": [*(f"encoder.blocks.{i}" for i in range(2)), *(f"decoder.blocks.{i}" for i in range(3))],
    "gpt2": [f"decoder.blocks.{i}" for i in range(3)],
    "llama": [f"decoder.blocks.{i}" for i in range(3)],
}


def attached(family, **hyperparameters):
    """A model with an AdapterDrop far from its start."""
    model, method = FAMILIES[family](), AdapterDrop(bottleneck=6, **hyperparameters)
    method.attach(model)
    torch.manual_seed(5)
    set_random(method)
    return model, method


def set_random(method):
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_(std=0.4)


def drawn(model, passes, seed=0):
    """How many of the lowest layers had no gradient in each of `passes` training steps."""
    torch.manual_seed(seed)
    layers = [module for module in model.modules() if isinstance(module, DroppableSublayer)]
    numbers = []
    for _ in range(passes):
        model.zero_grad()
        model.loss(random_batch()).backward()
        without = [layer.adapter.up.weight.grad is None for layer in layers]
        assert without == sorted(without, reverse=True)  # the lowest ones
        numbers.append(sum(without))
    return numbers


@families
def test_a_specialised_method_has_no_adapters_in_the_lowest_layers(family):
    for dropped in range(len(CHAIN[family])):
        model, method = attached(family, dropped=dropped)
        paths = [path for path, module in model.named_modules() if isinstance(module, DroppableSublayer)]
        assert paths == [f"{path}.feed_forward" for path in CHAIN[family][dropped:]]
        assert drawn(model.train(), 2) == [0, 0]  # every adapter that is there takes part
        assert len(method.named_parameters()) == 4 * (len(CHAIN[family]) - dropped)


@families
def test_dropping_n_layers_equals_adapters_that_add_nothing_in_them(family):
    model, method = attached(family, robust=True)
    state, batch, seen = method.state_dict(), random_batch(), []
    for layers in range(len(CHAIN[family]) + 1):
        method.load_state_dict(state)
        method.drop(layers)
        got = model(batch)
        method.drop(0)
        for path in CHAIN[family][:layers]:
            adapter = model.get_submodule(f"{path}.feed_forward").adapter
            adapter.up.weight.data.zero_()
            adapter.up.bias.data.zero_()
        torch.testing.assert_close(got, model(batch), atol=0, rtol=0)
        seen.append(got)
    method.detach()
    assert torch.equal(seen[-1], model(batch))
    assert all((a - b).abs().max() > 0.01 for a, b in zip(seen, seen[1:], strict=False))


@families
def test_with_all_adapters_it_is_pfeiffers_method(family):
    model, method = attached(family, dropped=0)
    state, expected = method.state_dict(), model(random_batch())
    method.detach()
    pfeiffer = Pfeiffer(bottleneck=6)
    pfeiffer.attach(model)
    pfeiffer.load_state_dict(state)
    assert torch.equal(model(random_batch()), expected)


@families
def test_a_robust_step_goes_without_0_to_dropped_layers_all_equally_often_and_repeatably(family):
    model, _ = attached(family, robust=True, dropped=2)
    numbers = drawn(model.train(), 120)
    assert [28 <= numbers.count(number) <= 52 for number in range(3)] == [True] * 3  # 40 each, 2.3 deviations
    assert set(numbers) == {0, 1, 2}
    assert drawn(model, 20) == numbers[:20] != drawn(model, 20, seed=1)
    model.set_gradient_checkpointing()
    assert drawn(model, 20) == numbers[:20]


@families
def test_outside_of_training_steps_nothing_is_drawn(family):
    model, method = attached(family, robust=True, dropped=2)
    batch = random_batch()
    method.drop(1)
    expected = model(batch)
    model.train()
    model.loss(batch)  # a step that draws
    with torch.no_grad():
        assert all(torch.equal(model(batch), expected) for _ in range(8))
    assert all(torch.equal(model.eval()(batch), expected) for _ in range(8))


@families
def test_the_backward_pass_stops_above_the_free_layers(family):
    model, _ = attached(family, dropped=2)
    outputs = {}
    for path in CHAIN[family]:
        block = model.get_submodule(path)
        block.register_forward_hook(lambda block, inputs, output, path=path: outputs.update({path: output}))
    model.train().loss(random_batch())
    needs = [outputs[path].requires_grad for path in CHAIN[family]]
    assert needs == [number >= 2 for number in range(len(CHAIN[family]))]


def test_numbers_of_layers_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="must not be negative, got -1"):
        AdapterDrop(dropped=-1)
    model = FAMILIES["t5"]()
    with pytest.raises(UserError, match="5 layers: drop fewer than that, not 5"):
        AdapterDrop(dropped=5).attach(model)
    method = AdapterDrop(dropped=2)
    with pytest.raises(UserError, match="not attached"):
        method.drop(2)
    method.attach(model)
    for layers in (1, 6):
        with pytest.raises(UserError, match=f"From 2 to 5 layers can go without, not {layers}"):
            method.drop(layers)
