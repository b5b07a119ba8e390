"""Several LoRAs on one base: their weighted sum, and the one LoRA that is the same, against dense float64 sums."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch
from torch import nn

from minipeft import METHODS
from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.methods.selective.norm_tuning import NormTuning
from minipeft.serving.lora_sum import LoRASum, LoRASumLinear, combine_loras
from minipeft.training.adapter_files import load_adapter, save_adapter

EXACT = {"atol": 1e-12, "rtol": 1e-12}
WEIGHTS = [0.7, -1.3, 2.0]


class Tower(nn.Module):
    """Linear layers at "0", "1.0", "1.2" and "head": the name "0" alone is also the end of another path."""

    def __init__(self):
        super().__init__()
        self.add_module("0", nn.Linear(7, 5))
        self.add_module("1", nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 9, bias=False)))
        self.head = nn.Linear(9, 4)

    def forward(self, x):
        return self.head(self.get_submodule("1")(self.get_submodule("0")(x).tanh()))


# Different ranks, alphas, scalings and targets; the target "0" names "1.0" too, and the head has one adapter alone.
METHOD_MAKERS = (
    lambda: LoRA(rank=2, alpha=3.0, targets=("0", "1.2"), rank_pattern={"1.2": 4}),
    lambda: RSLoRA(rank=3, alpha=0.5, targets=("1.*", "0")),
    lambda: LoRAPlus(rank=1, alpha=8.0, targets=("1.0", "1.2", "head")),
)
SCALINGS = ({"0": 3 / 2, "1.0": 3 / 2, "1.2": 3 / 4}, dict.fromkeys(("0", "1.0", "1.2"), 0.5 / 3**0.5),
            dict.fromkeys(("1.0", "1.2", "head"), 8.0))  # fmt: skip


def tower():
    torch.manual_seed(5)
    return Tower().double()


def trained():
    """Methods and their states, all numbers far from the start."""
    methods, states = [make() for make in METHOD_MAKERS], []
    for method in methods:
        model = tower()
        method.attach(model)
        states.append({name: torch.randn_like(value) for name, value in method.state_dict().items()})
        method.detach()
    return methods, states


def dense(states, weights):
    """The plain model with every update added to its weights, number by number."""
    model = tower()
    with torch.no_grad():
        for scalings, state, weight in zip(SCALINGS, states, weights, strict=True):
            assert set(scalings) == {name[:-2] for name in state}
            for path, scaling in scalings.items():
                A, B, W = state[f"{path}.A"], state[f"{path}.B"], model.get_submodule(path).weight
                for out in range(len(W)):
                    for column in range(W.shape[1]):
                        W[out, column] += weight * scaling * sum(B[out, r] * A[r, column] for r in range(len(A)))
    return model


def summed(weights=WEIGHTS):
    model, (methods, states) = tower(), trained()
    method = LoRASum(methods, states, weights)
    method.attach(model)
    return model, method, states


@torch.no_grad()
def test_several_active_loras_compute_with_the_weighted_sum_of_their_dense_updates():
    x = torch.randn(2, 3, 7, dtype=torch.float64)
    model, method, states = summed()
    torch.testing.assert_close(model(x), dense(states, WEIGHTS)(x), **EXACT)
    for weights in ([0.0, 1.0, 0.0], [1, 1, 1], [0, 0, 0]):  # switched while attached
        method.set_weights(weights)
        torch.testing.assert_close(model(x), dense(states, weights)(x), **EXACT)
    method.detach()
    assert torch.equal(model(x), tower()(x))


@torch.no_grad()
def test_merging_the_sum_gives_the_dense_weights_and_unmerging_takes_them_out():
    model, method, states = summed()
    assert sum(isinstance(module, LoRASumLinear) for module in model.modules()) == 4
    method.merge()
    for path, value in dense(states, WEIGHTS).state_dict().items():
        torch.testing.assert_close(model.state_dict()[path], value, **EXACT)
    method.unmerge()
    method.detach()
    for path, value in tower().state_dict().items():
        torch.testing.assert_close(model.state_dict()[path], value, **EXACT)


@torch.no_grad()
def test_combined_loras_are_one_ordinary_lora_with_exactly_the_same_outputs():
    x, model, (methods, states) = torch.randn(2, 3, 7, dtype=torch.float64), tower(), trained()
    lora = combine_loras(model, methods, states, WEIGHTS)
    assert type(lora) is LoRA and model.attached_method is lora
    torch.testing.assert_close(model(x), dense(states, WEIGHTS)(x), **EXACT)
    layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}
    assert {path: len(layer.A) for path, layer in layers.items()} == {"0": 5, "1.0": 6, "1.2": 8, "head": 1}
    lora.merge()
    torch.testing.assert_close(model(x), dense(states, WEIGHTS)(x), **EXACT)


def test_averaging_the_factors_apart_is_not_the_sum_of_the_updates():
    """Same rank, alpha and targets, weights 1/2 each: what a mean of the state dicts would give is another function."""
    x, model = torch.randn(5, 7, dtype=torch.float64), tower()
    methods, states = [LoRA(rank=2, alpha=4.0, targets=("0", "1.2")) for _ in range(2)], []
    for method in methods:
        method.attach(model)
        states.append({name: torch.randn_like(value) for name, value in method.state_dict().items()})
        method.detach()
    lora = combine_loras(model, methods, states, [0.5, 0.5])
    exact = model(x).detach()
    lora.detach()
    methods[0].attach(model)
    methods[0].load_state_dict({name: (states[0][name] + states[1][name]) / 2 for name in states[0]})
    assert (model(x) - exact).abs().max() > 0.1


@torch.no_grad()
@pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
def test_combined_loras_of_a_transformer_are_saved_and_loaded_as_one(family, tmp_path):
    model, batch = FAMILIES[family](), random_batch()
    methods = [LoRA(rank=2, alpha=3.0, targets=("query", "value")), RSLoRA(rank=3, alpha=2.0)]
    states = []
    for method in methods:
        method.attach(model)
        states.append({name: 0.3 * torch.randn_like(value) for name, value in method.state_dict().items()})
        method.detach()
    together = LoRASum(methods, states, [1.0, -0.5])
    together.attach(model)
    expected = model(batch)
    with pytest.raises(UserError, match="combine_loras"):
        save_adapter(tmp_path / "sum.pt", model, together)
    together.detach()
    plain = model(batch)
    lora = combine_loras(model, methods, states, [1.0, -0.5])
    save_adapter(tmp_path / "one.pt", model, lora)
    fresh = FAMILIES[family]()
    loaded = load_adapter(tmp_path / "one.pt", fresh, METHODS)
    assert type(loaded) is LoRA and torch.equal(fresh(batch), model(batch))
    torch.testing.assert_close(fresh(batch), expected, atol=2e-4, rtol=1e-4)
    assert (plain - expected).abs().max() > 0.1


def test_combining_loras_of_one_rank_needs_no_rank_pattern_and_the_result_can_be_trained():
    model = tower()
    method = LoRA(rank=2, targets=("0", "1.0"))
    method.attach(model)
    state = method.state_dict()
    method.detach()
    lora = combine_loras(model, [method, method], [state, state], [1.0, 1.0])
    assert (lora.rank, lora.rank_pattern) == (4, {})
    model(torch.randn(6, 7, dtype=torch.float64)).square().sum().backward()
    assert all(parameter.grad.any() for name, parameter in lora.named_parameters().items() if name.endswith(".B"))


def test_adapters_that_cannot_be_summed_are_refused_and_the_model_left_plain():
    model, (methods, states) = tower(), trained()
    with pytest.raises(UserError, match="not norm_tuning"):
        LoRASum([NormTuning()], [{}], [1.0])
    for wrong in (WEIGHTS[:2], []):
        with pytest.raises(UserError, match="one weight for each adapter"):
            LoRASum(methods, states, wrong)
    with pytest.raises(UserError, match="lacks"):
        LoRASum(methods[:2], [states[0], {}], [1.0, 1.0]).attach(model)
    together = LoRASum(methods, states, WEIGHTS)
    together.attach(model)
    for wrong in ([1.0], [1.0, float("nan"), 0.0]):
        with pytest.raises(UserError, match="3 finite weights"):
            together.set_weights(wrong)
    together.detach()
    assert not hasattr(model, "attached_method") and type(model.head) is nn.Linear
