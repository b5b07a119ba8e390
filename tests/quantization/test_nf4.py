"""Number formats and blockwise quantization against the published table, against loops in float64, and by hand."""

import math

import pytest
import torch

from minipeft.errors import UserError
from minipeft.quantization.blockwise import CHUNK, dequantize, dequantize_plainly, quantize
from minipeft.quantization.data_types import LEVELS
from minipeft.quantization.double_quantization import compress, dynamic_map, restore

CPU = torch.device("cpu")
# The table that QLoRA's authors published; every number is a float32, written out.
PUBLISHED = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
BITS = {"nf4": 4, "fp4": 4, "int4": 4, "int8": 8}
every_format = pytest.mark.parametrize("format", BITS)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def halves(codes):
    """The codes of 4 bits in bytes, by plain integers, the high half first."""
    return [half for byte in codes.tolist() for half in divmod(byte, 16)]


def test_the_quantiles_of_a_normal_distribution_give_the_published_table_bit_for_bit():
    assert LEVELS["nf4"]().tolist() == list(PUBLISHED)


def test_the_levels_cut_a_normal_distribution_into_parts_of_like_mass():
    """What NF4 is for: no code is used much more often than another, unlike with evenly spaced levels."""

    def masses(levels, deviation):
        edges = [-math.inf, *((a + b) / 2 for a, b in zip(levels, levels[1:], strict=False)), math.inf]
        below = [0.5 * (1 + math.erf(edge / deviation / 2**0.5)) for edge in edges]
        return [high - low for low, high in zip(below, below[1:], strict=False)]

    deviation = 1 / 1.848131  # of the quantile at level 1
    normal, even = (masses(levels, deviation) for levels in (PUBLISHED, [k / 7 for k in range(-7, 8)]))
    assert max(normal) < 1.6 * min(normal) and max(even) > 1.6 * min(even)


def test_fp4_is_the_published_table():
    magnitudes = [0, 0.0052083334, 0.6666667, 1, 0.3333333, 0.5, 0.1666667, 0.25]
    assert LEVELS["fp4"]().tolist() == pytest.approx(magnitudes + [-m for m in magnitudes], rel=1e-6)


@every_format
def test_every_format_has_zero_and_both_ends(format):
    levels = LEVELS[format]().tolist()
    assert len(levels) == 2 ** BITS[format] and {-1.0, 0.0, 1.0} <= set(levels)


@every_format
@pytest.mark.parametrize(
    "count, block_size", [(7, 3), (64, 64), (65, 64), (150, 64), (300, 7), (5, 64), (1, 64), (0, 4)]
)
def test_each_number_becomes_the_nearest_level_of_its_block_written_as_loops(format, count, block_size):
    values = 0.3 * random(count, seed=count)
    codes, absmax = quantize(values, format, block_size)
    levels, numbers = LEVELS[format]().double().tolist(), values.double().tolist()
    assert codes.dtype == torch.uint8 and len(codes) == math.ceil(count * BITS[format] / 8)
    unpacked = halves(codes) if BITS[format] == 4 else codes.tolist()
    got = dequantize(codes, absmax, values.shape, format, block_size).tolist()
    assert len(absmax) == math.ceil(count / block_size)
    for i, number in enumerate(numbers):
        block = i // block_size
        largest = max(map(abs, numbers[block * block_size : (block + 1) * block_size]))
        assert absmax[block] == largest
        distances = [abs(level - number / largest) for level in levels]
        assert distances[unpacked[i]] <= min(distances) + 1e-6
        assert got[i] == pytest.approx(levels[unpacked[i]] * largest, rel=1e-6)


@every_format
def test_halfway_between_two_levels_the_lower_one_is_taken(format):
    levels = LEVELS[format]().unique()
    levels = levels[levels >= -1]
    between = (levels[:-1] + levels[1:]) / 2
    values = torch.cat([torch.ones(1), between])  # the 1 keeps the block's scale at 1
    codes, absmax = quantize(values, format, len(values))
    assert torch.equal(dequantize(codes, absmax, values.shape, format, len(values))[1:], levels[:-1])


@every_format
def test_zeros_stay_zeros_and_the_largest_number_of_a_block_stays_what_it_is(format):
    values = torch.zeros(150)
    values[3], values[70] = -0.37, 0.0123  # in the first and second block; the third, shorter one has zeros alone
    got = dequantize(*quantize(values, format), values.shape, format)
    assert torch.equal(got, values)


def test_the_code_of_zero_in_nf4_is_seven_and_a_last_half_byte_holds_it():
    codes, _ = quantize(torch.tensor([1.0, 0.0, -1.0]))
    assert halves(codes) == [15, 7, 0, 7]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_are_quantized_as_float32_and_rounded_at_the_end(dtype):
    values = (0.1 * random(9, 31)).to(dtype)
    codes, absmax = quantize(values)
    expected = quantize(values.float())
    assert torch.equal(codes, expected[0]) and torch.equal(absmax, expected[1]) and absmax.dtype == torch.float32
    exact = dequantize(codes, absmax, values.shape)
    got = dequantize(codes, absmax, values.shape, dtype=dtype)
    assert got.dtype == dtype and torch.equal(got, exact.to(dtype)) and got.shape == (9, 31)


def test_a_transposed_view_is_read_row_by_row_as_it_looks():
    values = random(12, 10)
    assert torch.equal(quantize(values.T)[0], quantize(values.T.contiguous())[0])


def test_more_numbers_than_are_written_out_at_once_are_all_written():
    values = random(301, 903)
    for block_size in (64, 37):
        codes, absmax = quantize(values, "nf4", block_size)
        levels = torch.tensor(PUBLISHED)[torch.stack([codes >> 4, codes & 15], 1).int()].view(-1)[: values.numel()]
        expected = levels * absmax.repeat_interleave(block_size)[: values.numel()]
        assert torch.equal(dequantize(codes, absmax, values.shape, "nf4", block_size).view(-1), expected)


@every_format
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "shape, block_size", [((7,), 3), ((3, 5, 7), 64), ((64, 64), 64), ((1, 1), 64), ((0, 4), 64), ((CHUNK + 77,), 63)]
)
def test_the_fast_way_back_is_the_plain_one_bit_for_bit(format, dtype, shape, block_size):
    codes, absmax = quantize(random(*shape, seed=3), format, block_size)
    for factors in (absmax, restore(*compress(absmax)) if len(absmax) else absmax):
        expected = dequantize_plainly(codes, factors, shape, format, block_size, dtype)
        assert torch.equal(dequantize(codes, factors, shape, format, block_size, dtype), expected)
        assert expected.shape == shape and expected.dtype == dtype


def test_nf4_is_nearer_to_normal_weights_than_the_other_formats_of_four_bits():
    values = random(64, 640)
    error = {}
    for format in BITS:
        got = dequantize(*quantize(values, format), values.shape, format)
        error[format] = float((got - values).square().mean().sqrt())
    assert error["int8"] < 0.1 * error["nf4"] and error["nf4"] < 0.9 * min(error["int4"], error["fp4"])


def test_the_dynamic_map_has_a_sign_a_power_of_ten_and_places_within_it():
    values = dynamic_map(CPU).tolist()
    by_hand = [0.0, 1.0]
    for power in range(7):
        places = 2**power
        for place in range(places):
            size = (0.1 + 0.9 * (place + 0.5) / places) * 10 ** (power - 6)
            by_hand += [size, -size]
    assert values == pytest.approx(sorted(by_hand), rel=1e-6) and len(values) == 256
    assert values[0] == pytest.approx(-0.99296874)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000])
def test_double_quantization_keeps_each_absmax_near_one_byte_a_block(count):
    absmax = 0.02 + 0.01 * random(count, seed=count).abs()
    codes, scales, offset = compress(absmax)
    assert codes.dtype == torch.uint8 and len(codes) == count and len(scales) == math.ceil(count / 256)
    assert float(offset) == pytest.approx(float(absmax.mean()), rel=1e-6)
    centred = absmax - offset
    for number, code, block in zip(centred.tolist(), codes.tolist(), [i // 256 for i in range(count)], strict=True):
        if not scales[block]:
            continue
        distances = (dynamic_map(CPU) - number / float(scales[block])).abs()
        assert distances[code] <= distances.min() + 2 / 65535
    # A step of the map is at most 1 / 70 of the scale, so half of it is what can be lost.
    assert (restore(codes, scales, offset) - absmax).abs().max() <= scales.max() / 140 + 1e-8


def test_blocks_of_one_size_lose_nothing_by_double_quantization():
    absmax = torch.full((300,), 0.25)
    assert torch.equal(restore(*compress(absmax)), absmax)


def test_what_cannot_be_quantized_is_refused():
    with pytest.raises(UserError, match="not finite"):
        quantize(torch.tensor([1.0, math.nan]))
    with pytest.raises(UserError, match="at least 1"):
        quantize(torch.ones(4), block_size=0)
    with pytest.raises(UserError, match="no number format 'nf3': choose one of nf4, fp4, int4, int8"):
        quantize(torch.ones(4), "nf3")
