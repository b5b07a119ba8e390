"""What a scale does to training; the scaled adapter's equation is tested beside the plain one's."""

import pytest
import torch
from helpers.laws import watch
from helpers.models import random_batch, tiny_gpt2
from helpers.scrambling import scramble

from minipeft.errors import UserError
from minipeft.methods.adapters.parallel_adapter import Bottleneck
from minipeft.methods.adapters.scaled_parallel_adapter import Scaled, ScaledParallelAdapter


def test_with_adam_a_scale_is_a_higher_learning_rate_of_the_up_projection_alone():
    """s W_up moves by s times Adam's step, and W_down gets the gradient that it would have got."""
    torch.manual_seed(0)
    s, plain = 3.0, Bottleneck(6, 9).double()
    inner = Bottleneck(6, 9).double()
    inner.load_state_dict(plain.state_dict())
    scaled, x, wanted = Scaled(inner, s), torch.randn(20, 6).double(), torch.randn(20, 6).double()
    groups = [{"params": plain.down.parameters(), "lr": 0.01}, {"params": plain.up.parameters(), "lr": s * 0.01}]
    optimizers = [torch.optim.Adam(groups, eps=1e-30), torch.optim.Adam(scaled.parameters(), lr=0.01, eps=1e-30)]
    for _ in range(5):
        for adapter, optimizer in zip((plain, scaled), optimizers, strict=True):
            optimizer.zero_grad()
            (adapter(x) - wanted).square().mean().backward()
            optimizer.step()
    assert plain(x).abs().max() > 0.1
    torch.testing.assert_close(scaled(x), plain(x), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(s * inner.up.weight, plain.up.weight, atol=1e-9, rtol=1e-9)


def test_a_learned_scale_is_one_number_per_adapter_that_starts_at_the_scale_and_gets_its_gradient():
    model, calls, outputs_gradient = tiny_gpt2().double(), [], []
    method = ScaledParallelAdapter(6, scale=2.5, learn_scale=True)
    method.attach(model)
    scales = {name: value for name, value in method.named_parameters().items() if name.endswith("scale")}
    assert len(scales) == 3 and all(torch.equal(value, torch.tensor(2.5).double()) for value in scales.values())
    scramble(method)
    scaled = model.decoder.blocks[1].feed_forward.adapter
    watch(scaled, calls)
    watch(scaled.adapter, calls)
    scaled.register_full_backward_hook(lambda module, inner, outer: outputs_gradient.append(outer[0]))
    model.loss(random_batch()).backward()
    plain = calls[0][2]
    torch.testing.assert_close(scaled.scale.grad, (outputs_gradient[0] * plain).sum())
    assert scaled.scale.grad.abs() > 1e-6


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"bottleneck": 0}, "bottleneck must be at least 1"),
        ({"scale": 0.0}, "scale must be above 0, not 0.0"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        ScaledParallelAdapter(**settings)
