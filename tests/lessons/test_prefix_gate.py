"""Attention with a prefix is a gate between two attentions: exactly, in every attention of both families."""

import math

import pytest
import torch
from helpers.models import FAMILIES, random_batch

from minipeft.course.chapters import LESSONS, load_answers
from minipeft.methods.prompts.prefix_tuning import PrefixedAttention, PrefixTuning

prefix_gate = load_answers(LESSONS / "11_unified_view" / "prefix_gate.py").prefix_gate


def prefixed_model(family):
    """A model in float64 whose prefixes are far from their start, and the calls of each of its attentions."""
    torch.manual_seed(3)
    model, calls = FAMILIES[family]().double(), {}
    method = PrefixTuning(prefix_length=4, reparametrise=False)
    method.attach(model)
    with torch.no_grad():
        for table in method.named_parameters().values():
            table.normal_()
    for path, module in model.named_modules():
        if isinstance(module, PrefixedAttention):
            module.register_forward_hook(
                lambda own, inputs, named, output, path=path: calls.update({path: (own, inputs, named, output)}),
                with_kwargs=True,
            )
    return model, calls


def gate_of(wrapped, inputs, named):
    """`prefix_gate` on what one prefixed attention was called with."""
    attention = wrapped.attention
    query, key, value = attention.project(inputs[0], *inputs[1:2])
    prefix_key, prefix_value = wrapped.prefix(wrapped.layer)
    return prefix_gate(query, key, value, prefix_key, prefix_value, named["bias"], attention.scale), (query, key)


@torch.no_grad()
@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_prefixed_attention_is_the_gated_sum_of_text_and_prefix(family):
    model, calls = prefixed_model(family)
    model(random_batch())
    assert len(calls) == (8 if family == "t5" else 3)
    for path, (wrapped, inputs, named, output) in calls.items():
        (gate, text, prefix), _ = gate_of(wrapped, inputs, named)
        assert gate.shape == (4, 3, inputs[0].shape[1], 1) and prefix.shape == text.shape
        mixed = (1 - gate) * text + gate * prefix  # (batch, heads, targets, head)
        heads_together = mixed.transpose(1, 2).flatten(2)
        torch.testing.assert_close(wrapped.attention.output(heads_together), output, atol=1e-12, rtol=1e-12, msg=path)


@torch.no_grad()
@pytest.mark.parametrize(
    "family, path",
    [
        ("t5", "encoder.blocks.1.attention"),
        ("t5", "decoder.blocks.2.attention"),
        ("t5", "decoder.blocks.0.cross_attention"),
        ("gpt2", "decoder.blocks.1.attention"),
    ],
)
def test_the_gate_is_the_prefixes_share_of_all_exponentials(family, path):
    model, calls = prefixed_model(family)
    model(random_batch())
    wrapped, inputs, named, _ = calls[path]
    (gate, _, _), (query, key) = gate_of(wrapped, inputs, named)
    prefix_key, _ = wrapped.prefix(wrapped.layer)
    bias = named["bias"].expand(*query.shape[:3], key.shape[2])
    scale, hidden_sources = wrapped.attention.scale, 0
    for row in range(query.shape[0]):
        for head in range(query.shape[1]):
            for target in range(query.shape[2]):
                q = query[row, head, target]
                ours = sum(math.exp(scale * float(q @ k)) for k in prefix_key[head])
                others = 0.0
                for source, k in enumerate(key[row, head]):
                    added = float(bias[row, head, target, source])
                    if added < -1e300:  # a query may not look there: padding, or what comes later
                        hidden_sources += 1
                        continue
                    others += math.exp(scale * float(q @ k) + added)
                got = float(gate[row, head, target, 0])
                assert got == pytest.approx(ours / (ours + others), rel=1e-12, abs=1e-12)
    assert hidden_sources > 0
    assert gate.min() < 0.4 and gate.max() > 0.6  # neither part alone


@torch.no_grad()
def test_the_gate_opens_where_the_text_fits_the_query_less_and_is_stable_for_large_scores():
    torch.manual_seed(0)
    query, value = torch.randn(2, 3, 4, 5).double(), torch.randn(2, 3, 6, 5).double()
    key, prefix_key, prefix_value = (torch.randn(*shape, 5).double() for shape in ((2, 3, 6), (3, 2), (3, 2)))
    gate, text, prefix = prefix_gate(query, key, value, prefix_key, prefix_value)
    lowered, same_text, same_prefix = prefix_gate(
        query, key, value, prefix_key, prefix_value, bias=torch.full((1, 1, 1, 6), -1.0).double()
    )
    assert (lowered > gate).all()
    torch.testing.assert_close(torch.logit(lowered), torch.logit(gate) + 1.0)
    torch.testing.assert_close((same_text, same_prefix), (text, prefix))
    large, _, _ = prefix_gate(1e3 * query, key, value, prefix_key, prefix_value)
    assert large.isfinite().all() and ((large < 1e-6) | (large > 1 - 1e-6)).any()
