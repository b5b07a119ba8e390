"""Llama against itself written out number by number, rotary positions as complex numbers, counts of known models."""

import cmath
import math

import pytest
import torch
from helpers.models import random_batch, tiny_llama

from minipeft.errors import UserError
from minipeft.transformer.hollow import build_hollow
from minipeft.transformer.llama import Llama, LlamaConfig
from minipeft.transformer.positions import RotaryPositions, ShiftedPositions, rotate

ALL = {"query_key_value_bias": True, "query_key_norm": True}


def turned(vector, position, theta):
    """Numbers p and p + half are one complex number, which goes round by theta^(-2 p / size) a position."""
    half = len(vector) // 2
    angles = [position * theta ** (-2 * p / len(vector)) for p in range(half)]
    pairs = [
        complex(vector[p], vector[p + half]) * cmath.exp(1j * angle)
        for p, angle in zip(range(half), angles, strict=True)
    ]
    return torch.tensor([pair.real for pair in pairs] + [pair.imag for pair in pairs], dtype=torch.float64)


def norm(x, module):
    return module.weight * x / (x.square().mean(-1, keepdim=True) + module.epsilon).sqrt()


def attention_by_hand(attention, x, config):
    """One head, one position, one earlier position at a time; neighbouring heads share a key and a value."""
    c, size, length = config, config.head_size, len(x)
    project = lambda linear: (linear(x)).view(length, -1, size)  # noqa: E731
    query, key, value = project(attention.query), project(attention.key), project(attention.value)
    if c.query_key_norm:
        query, key = norm(query, attention.query_norm), norm(key, attention.key_norm)
    mixed = torch.zeros(length, c.heads, size, dtype=torch.float64)
    for head in range(c.heads):
        shared = head // (c.heads // c.key_value_heads)
        for i in range(length):
            q = turned(query[i, head].tolist(), i, c.rope_theta)
            keys = [turned(key[j, shared].tolist(), j, c.rope_theta) for j in range(i + 1)]
            odds = [math.exp(float(q @ k) / math.sqrt(size)) for k in keys]
            for j, odd in enumerate(odds):
                mixed[i, head] += odd / sum(odds) * value[j, shared]
    return mixed.flatten(1) @ attention.output.weight.T


def logits_by_hand(model, ids):
    hidden = model.embedding.weight[ids]
    for block in model.decoder.blocks:
        hidden = hidden + attention_by_hand(block.attention, norm(hidden, block.attention_norm), model.config)
        x, part = norm(hidden, block.feed_forward_norm), block.feed_forward
        gate = x @ part.gate.weight.T
        hidden = hidden + (gate / (1 + (-gate).exp()) * (x @ part.up.weight.T)) @ part.down.weight.T
    return norm(hidden, model.decoder.norm) @ model.head.weight.T


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, ALL | {"key_value_heads": 2, "rope_theta": 30.0, "tied_head": True}])
def test_a_llama_is_itself_written_out_by_hand(changes):
    model, batch = tiny_llama(**changes).double(), random_batch()
    found = model(batch)
    for row in range(len(batch)):
        source, target = batch.source[row][batch.source_mask[row]], batch.target[row][batch.target_mask[row]]
        expected = logits_by_hand(model, torch.cat([source, target]))[len(source) - 1 : -1]
        # Angles are float32, as in transformers: about 1e-6 of a radian here.
        torch.testing.assert_close(found[row, : len(target)], expected, atol=1e-4, rtol=0)


def test_rotated_scores_depend_on_the_distance_alone():
    torch.manual_seed(0)
    query, key = (
        torch.randn(1, 1, 1, 6).double().expand(1, 1, 7, 6),
        torch.randn(1, 1, 1, 6).double().expand(1, 1, 7, 6),
    )
    rotation = RotaryPositions(7, 6, 100.0)(torch.ones(1, 7, dtype=torch.bool), 7)
    scores = (rotate(query, *rotation) @ rotate(key, *rotation).mT)[0, 0]  # the same two vectors at all places
    for distance in range(-6, 7):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)
    assert len({round(float(x), 4) for x in scores[0]}) == 7
    torch.testing.assert_close(scores[3, 3], query[0, 0, 3] @ key[0, 0, 3], atol=1e-5, rtol=0)


def test_rotary_positions_count_real_tokens_and_what_stands_before_them():
    positions = RotaryPositions(9, 2, 100.0)  # one pair of numbers: a radian a position
    mask = torch.tensor([[True, True, True], [False, True, True]])
    cosine, sine = positions(mask, 2)
    expected = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    torch.testing.assert_close(torch.atan2(sine, cosine)[:, 0, :, 0], expected)
    cosine, sine = ShiftedPositions(positions, 1)(mask, 2)
    torch.testing.assert_close(torch.atan2(sine, cosine)[:, 0, :, 0], expected + 1)
    assert ShiftedPositions(positions, 4).room == 5


def test_the_scaling_of_llama_3_slows_the_slow_pairs_mixes_some_and_keeps_the_fast():
    mask = torch.ones(1, 2, dtype=torch.bool)
    speed = lambda positions: torch.atan2(*reversed(positions(mask, 1)))[0, 0, 0]  # noqa: E731, at position 1
    plain, scaled = speed(RotaryPositions(99, 6, 80.0)), speed(RotaryPositions(99, 6, 80.0, (8.0, 0.5, 4.0, 30)))
    turns = 30 * plain / (2 * math.pi)  # in the 30 positions that were learned first
    assert turns[0] > 4 > turns[1] > 0.5 > turns[2]
    kept = (turns[1] - 0.5) / 3.5
    expected = torch.stack([plain[0], plain[1] * (kept + (1 - kept) / 8), plain[2] / 8])
    torch.testing.assert_close(scaled, expected)


@torch.no_grad()
def test_a_group_of_heads_shares_keys_and_values_as_if_each_had_a_copy():
    grouped, batch = tiny_llama(**ALL).double(), random_batch()
    apart = tiny_llama(**ALL, key_value_heads=6).double()
    weights = grouped.state_dict()
    for name, weight in weights.items():
        if name.rpartition(".")[0].endswith(("key", "value")):  # 3 heads of 6 rows: each twice, side by side
            weights[name] = weight.unflatten(0, (3, 6)).repeat_interleave(2, 0).flatten(0, 1)
    apart.load_state_dict(weights)
    torch.testing.assert_close(apart(batch), grouped(batch), atol=1e-12, rtol=1e-12)
    assert apart.generate(batch, 6) == grouped.generate(batch, 6)


@torch.no_grad()
def test_the_cache_holds_as_many_heads_as_there_are_of_keys_and_values():
    model, batch = tiny_llama(), random_batch()
    _, state = model.prefill(batch)
    assert [tuple(cache.key.shape) for (cache,) in state.caches] == [(4, 3, 7, 6)] * 3
    assert [tuple(cache.value.shape) for (cache,) in state.caches] == [(4, 3, 7, 6)] * 3


def test_a_text_longer_than_its_positions_is_refused_with_both_numbers():
    with pytest.raises(UserError, match="43 positions do not fit the model's 40"):
        tiny_llama().loss(random_batch(sources=(41,), targets=(2,)))


def test_only_attention_drops_out():
    model = tiny_llama(dropout=0.5)
    assert [path for path, m in model.named_modules() if isinstance(m, torch.nn.Dropout) and m.p] == [
        f"decoder.blocks.{number}.attention.dropout" for number in range(3)
    ]


def test_every_matrix_starts_with_the_same_deviation_and_every_bias_at_zero():
    model = Llama(LlamaConfig(500, 64, 4, 2, 200, **ALL))
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            assert weight.std().item() == pytest.approx(0.02, rel=0.05), name
        else:
            assert torch.equal(weight, torch.zeros_like(weight) if name.endswith("bias") else torch.ones_like(weight))


KNOWN = {  # the sizes of the released config.json, and the parameters that their pages name
    "TinyLlama 1.1B": (LlamaConfig(32000, 2048, 32, 22, 5632, key_value_heads=4), 1_100_048_384),
    "Mistral 7B": (LlamaConfig(32000, 4096, 32, 32, 14336, key_value_heads=8), 7_241_732_096),
    "Qwen2.5 0.5B": (
        LlamaConfig(151936, 896, 14, 24, 4864, key_value_heads=2, tied_head=True, query_key_value_bias=True),
        494_032_768,
    ),
    "Qwen3 0.6B": (
        LlamaConfig(151936, 1024, 16, 28, 3072, key_value_heads=8, head_size=128, tied_head=True, query_key_norm=True),
        596_049_920,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_models_have_their_published_number_of_parameters(name):
    config, published = KNOWN[name]
    assert sum(weight.numel() for weight in build_hollow(Llama, config).parameters()) == published
