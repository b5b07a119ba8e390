"""Parallel adapters, scaled and per head, against their formulas written out in float64."""

import math

import pytest
import torch
from helpers.models import FAMILIES, random_batch, tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.adapters.multi_head_parallel_adapter import AdaptedHeads, MultiHeadParallelAdapter
from minipeft.methods.adapters.parallel_adapter import Bottleneck, ParallelAdapter, ParallelSublayer
from minipeft.methods.adapters.scaled_parallel_adapter import Scaled, ScaledParallelAdapter
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.transformer.attention import Attention, KeyValueCache

both_families = pytest.mark.parametrize("family", ["t5", "gpt2"])


def scramble(method):
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))


def watch(module, calls):
    """Keep (inputs, named inputs, output) of every call of `module`."""
    module.register_forward_hook(
        lambda _, inputs, named, output: calls.append((inputs, named, output)), with_kwargs=True
    )


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


@both_families
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


def heads_by_hand(attention, down, up, hidden, context, bias):
    """One head and one query at a time: attention, and relu(q D) U beside it, before the output projection."""
    size = attention.head_size
    query, key, value = attention.query(hidden), attention.key(context), attention.value(context)
    mixed = torch.zeros_like(query)
    for row in range(hidden.shape[0]):
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            for target in range(hidden.shape[1]):
                q = query[row, target, part]
                scores = [attention.scale * float(q @ k) for k in key[row, :, part]]
                weights = [math.exp(score + b) for score, b in zip(scores, bias[row, head, target], strict=True)]
                out = sum(w / sum(weights) * v for w, v in zip(weights, value[row, :, part], strict=True))
                for unit in range(down.shape[2]):
                    out = out + max(0.0, float(q @ down[head, :, unit])) * up[head, unit]
                mixed[row, target, part] = out
    return attention.output(mixed)


@torch.no_grad()
@pytest.mark.parametrize("scale, linear_bias, crossing", [(1.0, False, True), (0.5, True, False)])
def test_adapted_heads_are_attention_and_an_adapter_in_each_head(scale, linear_bias, crossing):
    torch.manual_seed(5)
    attention = Attention(10, heads=2, head_size=3, bias=linear_bias, scale=scale).double()
    wrapped = AdaptedHeads(attention, 7)
    wrapped.up.normal_()
    hidden, context = torch.randn(2, 4, 10).double(), torch.randn(2, 6, 10).double()
    bias = torch.randn(2, 2, 4, 6 if crossing else 4).double()
    bias[1, :, :, -2:] = -1e300  # padding
    expected = heads_by_hand(attention, wrapped.down, wrapped.up, hidden, context if crossing else hidden, bias)
    got = wrapped(hidden, context if crossing else None, bias=bias)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_the_adapter_of_one_head_changes_that_head_alone_and_the_cache_stays_as_it_was():
    attention, inputs = Attention(10, heads=3, head_size=4), []
    wrapped, cache, hidden = AdaptedHeads(attention, 7), KeyValueCache(), torch.randn(2, 5, 10)
    watch(attention.output, inputs)
    wrapped(hidden)
    wrapped.up[1].normal_()
    wrapped(hidden, cache=cache)
    (before,), (after,) = (call[0] for call in inputs)
    changed = (after != before).view(2, 5, 3, 4).any(-1).any(0).any(0)
    assert changed.tolist() == [False, True, False]
    assert torch.equal(cache.value, attention.split_heads(attention.value(hidden)))


@both_families
def test_adapted_heads_train_as_many_numbers_as_a_prefix_of_their_bottleneck(family):
    heads, prefix = MultiHeadParallelAdapter(6), PrefixTuning(prefix_length=6)
    heads.attach(FAMILIES[family]())
    prefix.attach(FAMILIES[family]())
    assert heads.stored_count() == prefix.stored_count() == 2 * 6 * (8 * 15 if family == "t5" else 3 * 12)


@pytest.mark.parametrize(
    "kind, settings, words",
    [
        (ParallelAdapter, {"bottleneck": 0}, "bottleneck must be at least 1, not 0"),
        (ParallelAdapter, {"place": "cross_attention"}, "must be 'feed_forward' or 'attention', not 'cross_attention'"),
        (ScaledParallelAdapter, {"bottleneck": 0}, "bottleneck must be at least 1"),
        (ScaledParallelAdapter, {"scale": 0.0}, "scale must be above 0, not 0.0"),
        (MultiHeadParallelAdapter, {"bottleneck": 0}, "bottleneck must be at least 1, not 0"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(kind, settings, words):
    with pytest.raises(UserError, match=words):
        kind(**settings)
