"""An adapter in each head, one head and one query at a time in float64."""

import math

import pytest
import torch
from helpers.laws import watch
from helpers.models import FAMILIES

from minipeft.errors import UserError
from minipeft.methods.adapters.multi_head_parallel_adapter import AdaptedHeads, MultiHeadParallelAdapter
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.transformer.attention import Attention, KeyValueCache

both_families = pytest.mark.parametrize("family", ["t5", "gpt2"])


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


def test_a_bottleneck_of_nothing_is_refused():
    with pytest.raises(UserError, match="bottleneck must be at least 1, not 0"):
        MultiHeadParallelAdapter(bottleneck=0)
