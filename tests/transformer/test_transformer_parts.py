"""Norm, feed-forward layer, attention and positions against plain loops in float64, and parameter counts on paper."""

import math

import pytest
import torch

from minipeft.transformer.attention import Attention
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.feed_forward import FeedForward, GatedFeedForward
from minipeft.transformer.normalization import RMSNorm
from minipeft.transformer.positions import RelativePositionBias, causal_mask, mask_bias, relative_bucket


@pytest.fixture(autouse=True)
def same_random_numbers():
    torch.manual_seed(0)


def test_rms_norm_divides_by_the_root_mean_square_and_subtracts_no_mean():
    norm = RMSNorm(5, epsilon=1e-2)  # an epsilon large enough to see where it stands
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 3, 5) + 1
    for row in range(2):
        for position in range(3):
            vector = x[row, position].tolist()
            root = math.sqrt(sum(number * number for number in vector) / 5 + 1e-2)
            expected = [w * number / root for w, number in zip(norm.weight.tolist(), vector, strict=True)]
            assert norm(x)[row, position].tolist() == pytest.approx(expected, abs=1e-6)


def gelu(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def product(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix.tolist()]


def test_gated_feed_forward_multiplies_gelu_of_the_gate_by_the_linear_half():
    layer, x = GatedFeedForward(4, 7).double(), torch.randn(4, dtype=torch.float64)
    gate, up = product(layer.gate.weight, x.tolist()), product(layer.up.weight, x.tolist())
    expected = product(layer.down.weight, [gelu(g) * u for g, u in zip(gate, up, strict=True)])
    assert layer(x).tolist() == pytest.approx(expected, abs=1e-12)


def test_plain_feed_forward_adds_its_biases_around_the_activation():
    layer, x = FeedForward(4, 7, "gelu", bias=True).double(), torch.randn(4, dtype=torch.float64)
    inner = [gelu(a + b) for a, b in zip(product(layer.up.weight, x.tolist()), layer.up.bias.tolist(), strict=True)]
    outer = zip(product(layer.down.weight, inner), layer.down.bias.tolist(), strict=True)
    assert layer(x).tolist() == pytest.approx([a + b for a, b in outer], abs=1e-12)


def attention_by_loops(layer, hidden, context, bias):
    """One query, one head, one source at a time."""
    heads, size = layer.heads, layer.head_size
    query, key, value = (x.detach() for x in (layer.query(hidden), layer.key(context), layer.value(context)))
    mixed = torch.zeros(hidden.shape[0], hidden.shape[1], heads * size, dtype=hidden.dtype)
    for row in range(hidden.shape[0]):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for target in range(hidden.shape[1]):
                scores = [
                    layer.scale * float(query[row, target, part] @ key[row, source, part])
                    + float(bias[row, head, target, source])
                    for source in range(context.shape[1])
                ]
                odds = [math.exp(number) for number in scores]
                for source, odd in enumerate(odds):
                    mixed[row, target, part] += odd / sum(odds) * value[row, source, part]
    return layer.output(mixed)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("own", [True, False])
def test_attention_equals_three_loops_over_heads_queries_and_sources(own, fused):
    layer = Attention(6, heads=3, head_size=5, bias=True, scale=0.7).double()  # 3 * 5 is not 6
    layer.fused = fused
    hidden = torch.randn(2, 4, 6, dtype=torch.float64)
    context = hidden if own else torch.randn(2, 7, 6, dtype=torch.float64)
    bias = torch.randn(2, 3, 4, context.shape[1], dtype=torch.float64)
    expected = attention_by_loops(layer, hidden, context, bias)
    torch.testing.assert_close(layer(hidden, None if own else context, bias=bias), expected, rtol=0, atol=1e-12)


def test_a_masked_source_gets_no_weight():
    layer = Attention(6, heads=2, head_size=3).eval()
    hidden, mask = torch.randn(1, 5, 6), torch.tensor([[True, True, True, False, False]])
    masked = layer(hidden, bias=mask_bias(mask[:, None, None], torch.float32))
    torch.testing.assert_close(masked[:, :3], layer(hidden[:, :3]), rtol=0, atol=1e-6)


def bucket_by_hand(distance, buckets, max_distance, bidirectional):
    """The released rule for one distance, written as cases."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    step = math.log(distance / exact) / math.log(max_distance / exact) * (buckets - exact)
    return first + min(exact + int(step + 1e-6), buckets - 1)  # a hair, so that exact powers are not rounded down


@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (12, 50)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_buckets_follow_the_released_rule(buckets, max_distance, bidirectional):
    distances = list(range(-300, 301))
    expected = [bucket_by_hand(distance, buckets, max_distance, bidirectional) for distance in distances]
    found = relative_bucket(torch.tensor(distances), buckets, max_distance, bidirectional).tolist()
    assert found == expected


def test_bidirectional_buckets_have_known_values():
    distances = torch.tensor([0, -1, -7, -8, -15, -16, -127, -128, -999, 1, 7, 8, 128, 999])
    known = [0, 1, 7, 8, 9, 10, 15, 15, 15, 17, 23, 24, 31, 31]
    assert relative_bucket(distances, 32, 128, bidirectional=True).tolist() == known


def test_causal_buckets_have_known_values():
    distances = torch.tensor([5, 0, -1, -15, -16, -31, -32, -127, -128, -999])
    assert relative_bucket(distances, 32, 128, bidirectional=False).tolist() == [0, 0, 1, 15, 16, 21, 21, 31, 31, 31]


def test_position_bias_of_the_last_queries_is_the_end_of_the_full_one():
    positions = RelativePositionBias(heads=3, buckets=32, max_distance=128, bidirectional=False)
    assert torch.equal(positions(2, 9), positions(9, 9)[:, :, 7:])
    assert positions(9, 9)[0, 2, 8, 5] == positions.table.weight[3, 2]  # head 2, query 8, key 5: distance -3


def test_causal_mask_lets_the_last_queries_see_what_came_before():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


T5_V1_1 = {  # Raffel et al.'s released sizes: hidden, feed-forward, layers, heads, parameters
    "small": (512, 1024, 8, 6, 76_961_152),
    "base": (768, 2048, 12, 12, 247_577_856),
    "large": (1024, 2816, 24, 16, 783_150_080),
    "xl": (2048, 5120, 24, 32, 2_849_757_184),
    "xxl": (4096, 10240, 24, 64, 11_135_332_352),
}


@pytest.mark.parametrize("size", T5_V1_1)
def test_t5_v1_1_has_exactly_the_published_number_of_parameters(size):
    d, d_ff, layers, heads, published = T5_V1_1[size]
    with torch.device("meta"):
        model = EncoderDecoder(EncoderDecoderConfig(32128, d, heads, 64, d_ff, layers, layers))
    encoder = layers * (4 * d * 64 * heads + 3 * d * d_ff + 2 * d) + d + 32 * heads
    decoder = layers * (8 * d * 64 * heads + 3 * d * d_ff + 3 * d) + d + 32 * heads
    count = sum(weight.numel() for weight in model.parameters())
    assert count == 2 * 32128 * d + encoder + decoder == published


def test_gpt2_small_has_exactly_the_published_number_of_parameters():
    with torch.device("meta"):
        model = DecoderOnly(DecoderOnlyConfig(50257, 768, heads=12, layers=12, max_length=1024))
    assert sum(weight.numel() for weight in model.parameters()) == 124_439_808


def test_t5_starts_with_its_published_standard_deviations():
    model = EncoderDecoder(EncoderDecoderConfig(500, 64, 8, 16, 160, 1, 1))
    block = model.decoder.blocks[0]
    expected = {
        block.cross_attention.query: (64 * 16) ** -0.5,
        block.cross_attention.key: 64**-0.5,
        block.attention.value: 64**-0.5,
        block.attention.output: (8 * 16) ** -0.5,
        block.feed_forward.gate: 64**-0.5,
        block.feed_forward.down: 160**-0.5,
        model.embedding: 1.0,
        model.head: 1.0,
    }
    for module, deviation in expected.items():
        assert module.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_gpt2_starts_with_its_published_standard_deviations():
    model = DecoderOnly(DecoderOnlyConfig(500, 64, heads=4, layers=8))
    block = model.decoder.blocks[3]
    assert model.embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.attention.key.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for shrunk in (block.attention.output, block.feed_forward.down):
        assert shrunk.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)  # 1 / sqrt(2 * 8 layers)
