"""What LoRA's ranks by name, unmerging and continued training promise, and how rsLoRA and LoRA+ differ from LoRA."""

import json

import pytest
import torch
from helpers.models import FAMILIES, random_batch, tiny_t5
from torch import nn

import minipeft
from minipeft import METHODS, TrainingSettings
from minipeft.errors import UserError
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.racing.entries import parse_hyperparameters
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.training.optimizers import make_optimizer

LORAS = pytest.mark.parametrize("kind", [LoRA, RSLoRA, LoRAPlus], ids=lambda kind: kind.name)


def scramble(method, seed=0, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))


def layers(model):
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}


@LORAS
def test_a_rank_pattern_gives_the_layers_that_it_names_their_own_rank_and_factor(kind):
    pattern = {"decoder.blocks.*.query": 4, "cross_attention.query": 1, "value": 2}
    method = kind(rank=3, alpha=6.0, targets=("query", "value", "up"), rank_pattern=pattern)
    method = kind(**json.loads(json.dumps(method.hyperparameters())))
    model = tiny_t5()
    method.attach(model)
    seen = set()
    for path, layer in layers(model).items():
        rank = 3
        if path.endswith("query") and path.startswith("decoder"):
            rank = 1 if "cross_attention" in path else 4
        if path.endswith("value"):
            rank = 2
        seen.add(rank)
        assert layer.A.shape[0] == layer.B.shape[1] == rank, path
        assert layer.scaling == pytest.approx(6.0 / rank**0.5 if kind is RSLoRA else 6.0 / rank), path
    assert seen == {1, 2, 3, 4}


def test_of_several_patterns_for_a_layer_the_last_one_counts():
    for pattern, rank in (({"query": 2, "*": 5}, 5), ({"*": 5, "query": 2}, 2)):
        model = tiny_t5()
        LoRA(targets=("query",), rank_pattern=pattern).attach(model)
        assert {len(layer.A) for layer in layers(model).values()} == {rank}


def test_a_pattern_that_names_no_targeted_layer_is_refused_and_the_model_left_alone():
    for wrong in ("qurey", "value"):  # there is no such layer; there is one, but it is no target
        model = tiny_t5()
        with pytest.raises(UserError, match=f"rank_pattern names '{wrong}'.*they name query, up"):
            LoRA(targets=("query", "up"), rank_pattern={"query": 2, wrong: 4}).attach(model)
        assert not layers(model) and all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(UserError, match="rank must be at least 1, not 0"):
        LoRA(rank_pattern={"query": 0})


def test_a_rank_pattern_can_be_typed_on_the_command_line():
    assert parse_hyperparameters("lora", ['rank_pattern={"value": 2}', "rank=4"]) == {
        "rank_pattern": {"value": 2},
        "rank": 4,
    }


@LORAS
@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_merging_and_unmerging_restores_outputs_and_weights_to_rounding(kind, family):
    model, batch = FAMILIES[family]().double(), random_batch()
    plain = {path: value.clone() for path, value in model.state_dict().items()}
    method = kind(rank=3, alpha=5.0, targets=("query", "up"), rank_pattern={"up": 2})
    method.attach(model)
    scramble(method)
    numbers, expected, base = method.state_dict(), model(batch), method.fingerprint
    method.merge()
    assert not layers(model)
    assert any(not torch.equal(model.state_dict()[path], value) for path, value in plain.items())
    method.unmerge()
    torch.testing.assert_close(model(batch), expected, atol=1e-12 * float(expected.detach().abs().max()), rtol=0)
    assert method.fingerprint == base
    assert {path: value.tolist() for path, value in method.state_dict().items()} == {
        path: value.tolist() for path, value in numbers.items()
    }
    model.loss(batch).backward()
    assert all(parameter.grad.any() for parameter in method.named_parameters().values())
    assert all(p.grad is None for name, p in model.named_parameters() if name not in method.named_parameters())
    method.detach()
    for path, value in plain.items():
        torch.testing.assert_close(model.state_dict()[path], value, atol=1e-12, rtol=0)


def test_an_adapter_saved_after_unmerging_is_of_the_base_before_the_merge(make_tiny_model, tmp_path):
    model = make_tiny_model()
    method = LoRA(rank=2)
    method.attach(model)
    scramble(method)
    numbers = method.state_dict()
    method.merge()
    method.unmerge()
    save_adapter(tmp_path / "lora.pt", model, method)
    loaded = load_adapter(tmp_path / "lora.pt", make_tiny_model(), METHODS)
    assert all(torch.equal(value, numbers[path]) for path, value in loaded.state_dict().items())


def test_unmerging_what_was_not_merged_or_cannot_be_is_refused():
    model, method = tiny_t5(), LoRA(rank=1)
    with pytest.raises(UserError, match="nothing to unmerge"):
        method.unmerge()
    method.attach(model)
    method.merge()
    other = LoRA(rank=1, targets=("value",))
    other.attach(model)
    with pytest.raises(UserError, match="already carries lora"):
        method.unmerge()
    other.detach()
    method.unmerge()
    method.detach()
    with pytest.raises(UserError, match="nothing to unmerge"):
        method.unmerge()
    with pytest.raises(UserError, match="dora cannot be unmerged: its merging is no plain sum"):
        DoRA().unmerge()


@LORAS
def test_training_goes_on_from_a_saved_adapter(kind, make_tiny_model, tiny_task, tmp_path):
    settings = TrainingSettings(steps=4, batch_size=8, evaluate_every=4, learning_rate=1e-2, seed=3)
    model, method = make_tiny_model(), kind(rank=2, dropout=0.1)
    method.attach(model)
    scramble(method, size=0.1)  # far larger, and the softmax saturates: no gradient for some queries
    save_adapter(tmp_path / "lora.pt", model, method)
    saved = method.state_dict()
    expected = minipeft.fine_tune(model, method, tiny_task, settings).losses
    fresh = make_tiny_model()
    loaded = load_adapter(tmp_path / "lora.pt", fresh, METHODS)
    before = {path: value.clone() for path, value in fresh.state_dict().items()}
    assert minipeft.fine_tune(fresh, loaded, tiny_task, settings).losses == expected
    trained = loaded.state_dict()
    assert set(trained) == set(saved) and not any(torch.equal(trained[path], saved[path]) for path in saved)
    frozen = [path for path in before if path not in trained]
    assert frozen and all(torch.equal(fresh.state_dict()[path], before[path]) for path in frozen)


def test_rslora_divides_by_the_root_of_the_rank_and_is_lora_at_rank_one():
    torch.manual_seed(0)
    x = torch.randn(4, 7, dtype=torch.float64)
    for rank in (1, 2, 9):
        outputs = {}
        for kind in (LoRA, RSLoRA):
            model = nn.Sequential(nn.Linear(7, 5)).double()
            nn.init.ones_(model[0].weight), nn.init.ones_(model[0].bias)
            method = kind(rank=rank, alpha=3.0, targets=("0",))
            method.attach(model)
            scramble(method)
            outputs[kind] = model(x)
        A, B = model[0].A, model[0].B
        weight = torch.ones(5, 7, dtype=torch.float64) + 3.0 / rank**0.5 * B @ A
        torch.testing.assert_close(outputs[RSLoRA], x @ weight.T + 1, atol=1e-12, rtol=1e-12)
        assert torch.equal(outputs[RSLoRA], outputs[LoRA]) == (rank == 1)


def test_with_rslora_the_update_keeps_its_size_as_the_rank_grows():
    """B and A of fixed size per number: B A grows as sqrt(rank): alpha / rank is too much to take away."""
    torch.manual_seed(0)
    sizes = {}
    for kind in (LoRA, RSLoRA):
        for rank in (4, 256):
            layer = kind(rank=rank, alpha=1.0).wrap(nn.Linear(300, 200), rank)
            nn.init.normal_(layer.A), nn.init.normal_(layer.B)
            sizes[kind, rank] = float(layer.update().detach().std())
    assert sizes[RSLoRA, 256] == pytest.approx(sizes[RSLoRA, 4], rel=0.1)
    assert sizes[LoRA, 256] == pytest.approx(sizes[LoRA, 4] / 8, rel=0.1)


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
    scramble(method)
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
