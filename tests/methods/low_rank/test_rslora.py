"""rsLoRA against LoRA: its factor, and what that is for. The laws of every method: test_method_properties.py."""

import pytest
import torch
from helpers.scrambling import redraw
from torch import nn

from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.rslora import RSLoRA


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
            redraw(method)
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
