"""Every method trains, scores and writes on every device, in both number formats; in the base's place."""

import pytest
import torch
from helpers.method_table import new_method

from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.training.evaluating import evaluate
from minipeft.training.trainer import TrainingSettings, fine_tune

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_trains_scores_and_writes(make_tiny_model, tiny_task, name, dtype, device):
    model = make_tiny_model().to(device, dtype)
    method = new_method(name, model)
    try:
        method.attach(model)
    except UserError:
        pytest.skip(f"{name} does not act on this family")
    trained, before = method.named_parameters(), method.state_dict()
    assert {parameter.device.type for parameter in trained.values()} == ({device} if trained else set())
    assert {parameter.dtype for parameter in trained.values()} == ({dtype} if trained else set())
    result = fine_tune(model, method, tiny_task, TrainingSettings(steps=4, batch_size=8, evaluate_every=4))
    assert len(result.losses) == (4 if trained else 0) and all(0 < loss < 100 for loss in result.losses)
    after = method.state_dict()
    assert any(not torch.equal(after[key], before[key]) for key in before) == bool(trained)
    assert 0 <= evaluate(model, tiny_task, "test")["score"] <= 100
    method.detach()
