"""Prefix tuning against attention over prefix and text written out in float64, and its two forms of training."""

import math

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.infix_tuning import InfixTuning
from minipeft.methods.prompts.prefix_tuning import PrefixedAttention, PrefixTable, PrefixTuning
from minipeft.transformer.attention import Attention, KeyValueCache

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def attention_by_hand(attention, table, hidden, context, bias):
    """One number at a time: every query over the prefix, without bias, and then over the text."""
    heads, size = attention.heads, attention.head_size
    query, key, value = attention.query(hidden), attention.key(context), attention.value(context)
    mixed = torch.zeros(*hidden.shape[:2], heads * size, dtype=hidden.dtype)
    for row in range(hidden.shape[0]):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            keys = [*table[0, head], *key[row, :, part]]
            values = [*table[1, head], *value[row, :, part]]
            for target in range(hidden.shape[1]):
                biases = [0.0] * table.shape[2] + bias[row, head, target].tolist()
                scores = [
                    attention.scale * float(query[row, target, part] @ k) + b for k, b in zip(keys, biases, strict=True)
                ]
                weights = [math.exp(score) for score in scores]
                for weight, v in zip(weights, values, strict=True):
                    mixed[row, target, part] += weight / sum(weights) * v
    return attention.output(mixed)


@torch.no_grad()
@pytest.mark.parametrize("scale, linear_bias, crossing", [(1.0, False, True), (0.5, True, False)])
def test_prefixed_attention_is_attention_over_the_prefix_and_the_text(scale, linear_bias, crossing):
    torch.manual_seed(5)
    attention = Attention(10, heads=2, head_size=3, bias=linear_bias, scale=scale).double()
    table = torch.randn(4, 2, 2, 5, 3, dtype=torch.float64)  # 4 layers, prefix of 5
    hidden, context = torch.randn(2, 4, 10).double(), torch.randn(2, 6, 10).double()
    bias = torch.randn(2, 2, 4, 6 if crossing else 4).double()
    bias[1, :, :, -2:] = torch.finfo(torch.float64).min  # padding
    expected = attention_by_hand(attention, table[2], hidden, context if crossing else hidden, bias)
    wrapped = PrefixedAttention(attention, PrefixTable(table), layer=2)
    got = wrapped(hidden, context if crossing else None, bias=bias)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize(
    "kind, place",
    [
        (PrefixTuning, "encoder.blocks.{}.attention"),
        (PrefixTuning, "decoder.blocks.{}.attention"),
        (PrefixTuning, "decoder.blocks.{}.cross_attention"),
        (InfixTuning, "decoder.blocks.{}.attention"),
        (InfixTuning, "decoder.blocks.{}.cross_attention"),
    ],
)
def test_in_a_whole_t5_each_attention_reads_its_layer_of_the_stored_table(kind, place):
    model, calls = tiny_t5().double(), []
    method = kind(prefix_length=4, inner=6)
    method.attach(model)
    for parameter in method.named_parameters().values():
        parameter.add_(0.3 * torch.randn_like(parameter))
    table = method.state_dict()[place.format(0) + ".prefix.table"]
    wrapped = model.get_submodule(place.format(1))
    wrapped.register_forward_hook(
        lambda _, inputs, named, output: calls.append((inputs, named, output)), with_kwargs=True
    )
    model(random_batch())
    ((hidden, *rest), named, got) = calls[0]
    context = rest[0] if rest else hidden
    bias = named["bias"].expand(len(hidden), 3, hidden.shape[1], context.shape[1])
    expected = attention_by_hand(wrapped.attention, table[1], hidden, context, bias)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_the_cache_holds_the_text_and_not_the_prefix():
    attention = Attention(10, heads=2, head_size=3)
    wrapped, cache = PrefixedAttention(attention, PrefixTable(torch.randn(1, 2, 2, 5, 3)), 0), KeyValueCache()
    wrapped(torch.randn(2, 4, 10), cache=cache)
    wrapped(torch.randn(2, 1, 10), cache=cache)
    assert cache.key.shape == cache.value.shape == (2, 2, 5, 3)  # 4 + 1 positions of text


def test_a_prefix_of_zeros_is_not_nothing():
    model, batch = tiny_gpt2(), random_batch()
    before = model(batch)
    method = PrefixTuning(prefix_length=2, reparametrise=False)
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.zero_()
    assert not torch.allclose(model(batch), before, atol=1e-3)


def test_the_positions_of_a_gpt_start_behind_the_prefix():
    model = tiny_gpt2()
    table = model.decoder.positions.table.weight
    PrefixTuning(prefix_length=3).attach(model)
    mask = torch.tensor([[True, True, True], [False, True, True]])
    got = model.decoder.positions(mask, 2)
    assert torch.equal(got, torch.stack([table[[4, 5]], table[[3, 4]]]))


@families
def test_every_layer_reads_its_own_part_of_the_table(family):
    """Changing layer i's keys must change layer i's output first: earlier layers stay bit-identical."""
    model, batch, outputs = FAMILIES[family](), random_batch(), []
    method = PrefixTuning(prefix_length=2, reparametrise=False)
    method.attach(model)
    for block in model.decoder.blocks:
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    model(batch)
    (table,) = (p for path, p in method.named_parameters().items() if path.startswith("decoder.blocks.0.attention."))
    with torch.no_grad():
        table[1] += 1.0
    model(batch)
    layers = len(model.decoder.blocks)
    assert torch.equal(outputs[0], outputs[layers])
    assert not torch.allclose(outputs[1], outputs[layers + 1])


def test_a_t5_has_one_prefix_for_each_of_its_three_kinds_of_attention():
    model, method = tiny_t5(), PrefixTuning(prefix_length=4)
    method.attach(model)
    assert {path: tuple(table.shape) for path, table in method.state_dict().items()} == {
        "encoder.blocks.0.attention.prefix.table": (2, 2, 3, 4, 5),
        "decoder.blocks.0.attention.prefix.table": (3, 2, 3, 4, 5),
        "decoder.blocks.0.cross_attention.prefix.table": (3, 2, 3, 4, 5),
    }


@families
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finishing_drops_the_training_network_and_does_not_change_one_bit(family, dtype):
    model, batch = FAMILIES[family]().to(dtype), random_batch()
    method = PrefixTuning(prefix_length=3, inner=7)
    method.attach(model)
    expected, state = model(batch), method.state_dict()
    assert not state.keys() & method.named_parameters().keys()
    method.finish()
    assert torch.equal(model(batch), expected)
    assert method.named_parameters().keys() == state.keys()
    assert method.stored_count() == sum(p.numel() for p in method.named_parameters().values())
    method.finish()
    assert torch.equal(model(batch), expected)


def test_training_moves_the_network_of_the_docstring_and_a_file_holds_the_table():
    model = tiny_gpt2()  # 3 layers, d = 12, 3 heads of 4
    method = PrefixTuning(prefix_length=5, inner=7)
    method.attach(model)
    assert method.trained_count() == 5 * 12 + 7 * (12 + 1) + 2 * 3 * 12 * (7 + 1)
    assert method.stored_count() == 2 * 3 * 5 * 12
    method.finish()
    assert method.trained_count() == method.stored_count() == 2 * 3 * 5 * 12


def test_a_prefix_that_leaves_no_positions_is_refused():
    with pytest.raises(UserError, match="A prefix of 40 leaves the text no positions"):
        PrefixTuning(prefix_length=40).attach(tiny_gpt2())
    model = tiny_gpt2()
    PrefixTuning(prefix_length=38).attach(model)
    with pytest.raises(UserError, match="do not fit"):
        model(random_batch())
    with pytest.raises(UserError, match="at least 1"):
        PrefixTuning(prefix_length=0)
