"""Infix tuning: the source does not see the infix, the answer does, written out position by position in float64."""

import math

import pytest
import torch
from helpers.laws import Words, batch_for, new_model
from helpers.models import random_batch, tiny_gpt2, tiny_llama
from helpers.scrambling import scramble

from minipeft.methods.prompts.infix_tuning import InfixTuning
from minipeft.transformer.attention import KeyValueCache
from minipeft.transformer.positions import rotate


def gpt_by_hand(model, table, source, target):
    """Logits of one row's target tokens; every position looks at itself and at those before it, one at a time."""
    infix, heads, size = table.shape[3], 3, 4
    first, length = len(source), len(source) + infix + len(target)
    vectors = torch.zeros(length, 12, dtype=torch.float64)
    vectors[:first], vectors[first + infix :] = model.embedding.weight[source], model.embedding.weight[target]
    hidden = vectors + model.decoder.positions.table.weight[:length]
    for number, block in enumerate(model.decoder.blocks):
        attention, normed = block.attention, block.attention_norm(hidden)
        query = attention.query(normed)
        key, value = (part.linear(normed) for part in (attention.key, attention.value))
        for i in range(infix):
            key[first + i] = torch.cat([table[number, 0, head, i] for head in range(heads)])
            value[first + i] = torch.cat([table[number, 1, head, i] for head in range(heads)])
        mixed = torch.zeros(length, heads * size, dtype=torch.float64)
        for position in range(length):
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                seen = range(position + 1)
                weights = [math.exp(float(query[position, part] @ key[j, part]) / size**0.5) for j in seen]
                for j in seen:
                    mixed[position, part] += weights[j] / sum(weights) * value[j, part]
        hidden = hidden + attention.output(mixed)
        hidden = hidden + block.feed_forward(block.feed_forward_norm(hidden))
    return model.head(model.decoder.norm(hidden))[first + infix - 1 : -1]


@torch.no_grad()
def test_a_gpt_answers_behind_an_infix_as_written_out_by_hand():
    model, method = new_model("gpt2", torch.float64), InfixTuning(prefix_length=3, inner=6)
    method.attach(model)
    scramble(method)
    batch, (table,) = batch_for(method), method.state_dict().values()
    got = model(batch)
    for row in range(len(batch)):
        source = [token for token in batch.source[row][batch.source_mask[row]].tolist() if token < 37]
        target = batch.target[row][batch.target_mask[row]].tolist()
        assert len(source) == int(batch.source_mask[row].sum()) - 3
        expected = gpt_by_hand(model, table, source, target)
        torch.testing.assert_close(got[row, : len(target)], expected, atol=1e-10, rtol=1e-10)


@torch.no_grad()
def test_a_gpts_source_is_read_as_without_an_infix_in_every_layer():
    model, method, states = new_model("gpt2", torch.float64), InfixTuning(prefix_length=2), []
    for block in model.decoder.blocks:
        block.register_forward_hook(lambda _, inputs, output: states.append(output))
    source = torch.tensor([[5, 9, 30, 4, 17]])
    every = torch.ones(1, 5, dtype=torch.bool)
    model.decoder(model.embedding(source), every)
    method.attach(model)
    scramble(method)
    longer = torch.tensor([method.source_ids("5 9 30 4 17")])
    assert longer.tolist() == [[5, 9, 30, 4, 17, 37, 38]]
    model.decoder(model.embedding(longer), torch.ones(1, 7, dtype=torch.bool))
    for plain, infixed in zip(states[:3], states[3:], strict=True):
        torch.testing.assert_close(infixed[:, :5], plain, atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_a_t5s_encoder_is_the_plain_one_and_each_infix_of_its_decoder_is_seen():
    model, batch = new_model("t5"), random_batch()
    context, _ = model.encode(batch)
    method = InfixTuning(prefix_length=2, reparametrise=False)
    method.attach(model)
    scramble(method)
    assert method.source_ids("5 9") == [5, 9]
    assert torch.equal(model.encode(batch)[0], context)
    assert len(method.named_parameters()) == 2
    for parameter in method.named_parameters().values():
        before = model(batch)
        parameter[:, 1] += 1.0
        assert ((model(batch) - before).abs().amax(-1) > 1e-3).all()  # at every position of every answer


@torch.no_grad()
def test_the_cache_holds_the_infix_in_its_place():
    model, method = new_model("gpt2"), InfixTuning(prefix_length=2)
    method.attach(model)
    scramble(method)
    _, state = model.prefill(batch_for(method, sources=(3, 3, 3, 3)))
    (table,) = method.state_dict().values()
    for layer, (cache,) in enumerate(state.caches):
        for row in range(4):
            torch.testing.assert_close(cache.key[row, :, 3:], table[layer, 0])
            torch.testing.assert_close(cache.value[row, :, 3:], table[layer, 1])


@torch.no_grad()
@pytest.mark.parametrize("normed", [False, True])
def test_a_llamas_infix_is_turned_as_words_at_its_place_behind_each_source(normed):
    model = tiny_llama(query_key_norm=normed, query_key_value_bias=True)
    model.tokenizer, method = Words(), InfixTuning(prefix_length=2)
    method.attach(model)
    scramble(method)
    sources = (5, 3, 1)
    _, state = model.prefill(batch_for(method, sources=sources, targets=(1, 1, 1)))
    (table,) = method.state_dict().values()  # (layers, 2, key_value_heads, infix, head)
    for layer, (cache,) in enumerate(state.caches):
        attention = model.decoder.blocks[layer].attention
        for row, length in enumerate(sources):
            rotation = model.decoder.positions(torch.ones(1, length + 2, dtype=torch.bool), 2)
            expected = rotate(attention.key_norm(table[layer, :1]), *rotation)[0]
            torch.testing.assert_close(cache.key[row, :, 5:], expected)
            torch.testing.assert_close(cache.value[row, :, 5:], table[layer, 1])


@torch.no_grad()
def test_a_llamas_infix_from_words_has_their_keys_before_these_are_turned():
    model = tiny_llama().double()
    model.tokenizer, caches = Words(), [[KeyValueCache()] for _ in range(3)]
    model.decoder(model.embedding(torch.tensor([[8, 3]])), torch.ones(1, 2, dtype=torch.bool), caches=caches)
    cosine, sine = model.decoder.positions(torch.ones(1, 2, dtype=torch.bool), 2)
    method = InfixTuning(prefix_length=2, reparametrise=False, init="words", words="8 3")
    method.attach(model)
    (table,) = method.state_dict().values()
    for layer, (cache,) in enumerate(caches):
        torch.testing.assert_close(table[layer, 0], rotate(cache.key, cosine, -sine)[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(table[layer, 1], cache.value[0])


def test_a_gpts_head_stays_tied_to_its_embedding():
    model = tiny_gpt2()
    InfixTuning().attach(model)
    assert model.embedding.weight is model.head.weight
