"""Unmerging, and training that goes on from a file: what the plain LoRAs promise besides LoRA's arithmetic."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, tiny_t5
from helpers.scrambling import redraw

import minipeft
from minipeft import METHODS, TrainingSettings
from minipeft.errors import UserError
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.training.adapter_files import load_adapter, save_adapter

LORAS = pytest.mark.parametrize("kind", [LoRA, RSLoRA, LoRAPlus], ids=lambda kind: kind.name)


def layers(model):
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}


@LORAS
@pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
def test_merging_and_unmerging_restores_outputs_and_weights_to_rounding(kind, family):
    model, batch = FAMILIES[family]().double(), random_batch()
    plain = {path: value.clone() for path, value in model.state_dict().items()}
    method = kind(rank=3, alpha=5.0, targets=("query", "up"), rank_pattern={"up": 2})
    method.attach(model)
    redraw(method)
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
    redraw(method)
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
    redraw(method, size=0.1)  # far larger, and the softmax saturates: no gradient for some queries
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
