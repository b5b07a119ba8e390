"""Parallel adapters, plain and scaled, against their formula written out in float64, and where they stand."""

import pytest
import torch
from helpers.laws import watch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, tiny_t5
from helpers.scrambling import scramble

from minipeft.errors import UserError
from minipeft.methods.adapters.parallel_adapter import Bottleneck, ParallelAdapter, ParallelSublayer
from minipeft.methods.adapters.scaled_parallel_adapter import ScaledParallelAdapter

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def bottleneck_by_hand(adapter, x, scale=1.0):
    """scale * (W_up relu(W_down x + b_down) + b_up), one number at a time."""
    down, up = adapter.down, adapter.up
    (w, b), (v, c) = ((linear.weight.tolist(), linear.bias.tolist()) for linear in (down, up))
    rows = []
    for vector in x.flatten(0, -2).tolist():
        inner = [max(0.0, sum(i * j for i, j in zip(row, vector, strict=True)) + b[m]) for m, row in enumerate(w)]
        rows.append([scale * (sum(i * j for i, j in zip(row, inner, strict=True)) + c[d]) for d, row in enumerate(v)])
    return torch.tensor(rows, dtype=torch.float64).view(x.shape)


@torch.no_grad()
@pytest.mark.parametrize("kind, scale", [(ParallelAdapter, 1.0), (ScaledParallelAdapter, 2.5)])
@pytest.mark.parametrize(
    "family, place, path",
    [
        ("t5", "feed_forward", "encoder.blocks.1.feed_forward"),
        ("t5", "feed_forward", "decoder.blocks.2.feed_forward"),
        ("t5", "attention", "encoder.blocks.0.attention"),
        ("t5", "attention", "decoder.blocks.1.attention"),
        ("t5", "attention", "decoder.blocks.1.cross_attention"),
        ("gpt2", "feed_forward", "decoder.blocks.2.feed_forward"),
        ("gpt2", "attention", "decoder.blocks.1.attention"),
    ],
)
def test_an_adapter_reads_what_the_frozen_sublayer_reads_and_is_added_to_its_output(kind, scale, family, place, path):
    model, normed, calls = FAMILIES[family]().double(), [], []
    method = kind(7, place, **({"scale": scale} if kind is ScaledParallelAdapter else {}))
    method.attach(model)
    scramble(method)
    wrapped = model.get_submodule(path)
    watch(model.get_submodule(f"{path}_norm"), normed)
    watch(wrapped.sublayer, calls)
    watch(wrapped, calls)
    model(random_batch())
    (_, _, frozen), (_, _, got) = calls
    x = normed[0][2]
    assert calls[0][0][0] is x  # the frozen sublayer's input too
    adapter = wrapped.adapter.adapter if kind is ScaledParallelAdapter else wrapped.adapter
    expected = frozen + bottleneck_by_hand(adapter, x, scale)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)
    assert not torch.allclose(got, frozen, atol=0.1)


@families
@pytest.mark.parametrize("place", ["feed_forward", "attention"])
def test_every_sublayer_of_one_kind_has_an_adapter_and_no_other(family, place):
    model = FAMILIES[family]()
    ParallelAdapter(3, place).attach(model)
    adapted = {path for path, module in model.named_modules() if isinstance(module, ParallelSublayer)}
    blocks = [f"decoder.blocks.{n}" for n in range(3)]
    blocks += [f"encoder.blocks.{n}" for n in range(2)] if family == "t5" else []
    expected = {f"{block}.{place}" for block in blocks}
    if (family, place) == ("t5", "attention"):
        expected |= {f"decoder.blocks.{n}.cross_attention" for n in range(3)}
    assert adapted == expected


@torch.no_grad()
def test_changing_one_adapter_of_cross_attention_leaves_everything_before_it_alone():
    model, calls = tiny_t5(), []
    method = ParallelAdapter(5, "attention")
    method.attach(model)
    scramble(method)
    places = ("decoder.blocks.0", "decoder.blocks.1.attention", "decoder.blocks.1.cross_attention", "decoder.blocks.1")
    for place in places:
        watch(model.get_submodule(place), calls)
    model(random_batch())
    model.decoder.blocks[1].cross_attention.adapter.up.bias += 1.0
    model(random_batch())
    before, after = [output for _, _, output in calls[:4]], [output for _, _, output in calls[4:]]
    assert torch.equal(after[0], before[0]) and torch.equal(after[1], before[1])
    torch.testing.assert_close(after[2], before[2] + 1.0)
    assert not torch.allclose(after[3], before[3])


def test_the_down_projection_starts_within_one_over_the_root_of_the_width():
    torch.manual_seed(0)
    weight = Bottleneck(64, 200).down.weight.detach()
    assert 0.99 / 8 < float(weight.abs().max()) <= 1 / 8
    assert float(weight.std()) == pytest.approx(1 / 8 / 3**0.5, rel=0.03)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"bottleneck": 0}, "bottleneck must be at least 1, not 0"),
        ({"place": "cross_attention"}, "must be 'feed_forward' or 'attention', not 'cross_attention'"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        ParallelAdapter(**settings)
