"""Lower layers that several tasks share: each gets what its adapters give alone, and the layers are computed once."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch

from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_drop import AdapterDrop
from minipeft.serving.shared_lower_layers import SharedLowerLayers

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
CHAIN = {  # in the order in which they compute
    "t5": [*(f"encoder.blocks.{i}" for i in range(2)), *(f"decoder.blocks.{i}" for i in range(3))],
    "gpt2": [f"decoder.blocks.{i}" for i in range(3)],
    "llama": [f"decoder.blocks.{i}" for i in range(3)],
}


def set_random(method):
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_(std=0.4)


def states_of(family, tasks, **hyperparameters):
    """A plain model, and states of different adapters of it."""
    model, states = FAMILIES[family](), []
    for seed in range(tasks):
        method = AdapterDrop(bottleneck=6, **hyperparameters)
        method.attach(model)
        torch.manual_seed(seed)
        set_random(method)
        states.append(method.state_dict())
        method.detach()
    return model, states


@families
@torch.no_grad()
def test_shared_lower_layers_give_each_task_what_it_gives_alone(family):
    batch, layers = random_batch(), len(CHAIN[family])
    for free in range(layers):
        model, states = states_of(family, 3, dropped=free)
        expected = []
        for state in states:
            method = AdapterDrop(bottleneck=6, dropped=free)
            method.attach(model)
            method.load_state_dict(state)
            expected.append((model(batch), model.generate(batch, 5)))
            method.detach()
        before = [(path, id(module)) for path, module in model.named_modules()]
        shared, calls = SharedLowerLayers(AdapterDrop(bottleneck=6, dropped=free), states), []
        handles = [
            model.get_submodule(f"{path}.attention").register_forward_hook(lambda *_, to=calls, n=n: to.append(n))
            for n, path in enumerate(CHAIN[family])
        ]
        shared.attach(model)
        got = shared.outputs(batch)
        assert [calls.count(n) for n in range(layers)] == [1 if n < free else 3 for n in range(layers)]
        for handle in handles:
            handle.remove()
        for task, (logits, written) in enumerate(expected):
            torch.testing.assert_close(got[task], logits, atol=1e-5, rtol=1e-5)
            with shared.only(task):
                assert model.generate(batch, 5) == written
        assert (got[0] - got[1]).abs().max() > 0.01
        other = random_batch(seed=9)  # and nothing of one batch stays for the next
        with shared.only(1):
            torch.testing.assert_close(shared_output := model(other), shared.outputs(other)[1], atol=1e-5, rtol=1e-5)
        assert (shared_output - got[1]).abs().max() > 0.01
        shared.detach()
        assert [(path, id(module)) for path, module in model.named_modules()] == before


@families
@torch.no_grad()
def test_adapters_trained_for_every_number_of_free_layers_can_share_any(family):
    batch, settings = random_batch(), {"robust": True, "dropped": len(CHAIN[family]) - 1}
    model, states = states_of(family, 2, **settings)
    method = AdapterDrop(bottleneck=6, **settings)
    for free in (0, 1, len(CHAIN[family])):
        shared = SharedLowerLayers(AdapterDrop(bottleneck=6, **settings), states, free=free)
        shared.attach(model)
        got = shared.outputs(batch)
        shared.detach()
        for task, state in enumerate(states):
            method.attach(model)
            method.load_state_dict(state)
            method.drop(free)
            torch.testing.assert_close(got[task], model(batch), atol=1e-5, rtol=1e-5)
            method.detach()


def test_shared_layers_ask_whose_adapters_and_refuse_what_does_not_fit():
    model, states = states_of("t5", 2, dropped=2)
    shared = SharedLowerLayers(AdapterDrop(bottleneck=6, dropped=2), states)
    shared.attach(model)
    with pytest.raises(UserError, match="Say whose adapters"):
        model(random_batch())
    with pytest.raises(UserError, match="from 0 to 1, not 2"), shared.only(2):
        pass
    assert shared.stored_count() == 0 and not any(p.requires_grad for p in model.parameters())
    shared.detach()
    assert all(parameter.requires_grad for parameter in model.parameters())
    for wrong, sentence in (
        (SharedLowerLayers(AdapterDrop(bottleneck=6), []), "at least one state_dict"),
        (SharedLowerLayers(AdapterDrop(bottleneck=7, dropped=2), states), "hyper-parameters it was saved with"),
        (SharedLowerLayers(AdapterDrop(bottleneck=6, dropped=2), states, free=1), "From 2 to 5 layers"),
    ):
        with pytest.raises(UserError, match=sentence):
            wrong.attach(model)
        assert getattr(model, "attached_method", None) is None
