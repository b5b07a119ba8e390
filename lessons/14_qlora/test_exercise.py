"""The tests of chapter 14: levels, blocks, bytes, the product in the right precision, and what a merge costs."""

import statistics

import torch
from torch import nn

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.quantization.blockwise import dequantize, quantize, scale_to_one
from minipeft.quantization.data_types import LEVELS
from minipeft.quantization.linear import QuantizedLinear

PUBLISHED = torch.tensor([
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
])  # fmt: skip
FIVE = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def test_nf4_levels_are_the_published_table(answers):
    check(
        answers,
        lambda answers: answers.nf4_levels(),
        PUBLISHED,
        holds="level = Phi^-1(p) / Phi^-1(outermost), with 7 levels below 0 and 8 above",
        inputs={"bits": 4},
        section="The mathematics",
        tolerance=1e-6,
    )


def test_nf4_levels_hold_zero_and_both_ends_exactly(answers):
    def ends(answers):
        found = [answers.nf4_levels(bits).float() for bits in (3, 4, 6)]
        return [[len(levels), float(levels[0]), float(levels.abs().min()), float(levels[-1])] for levels in found]

    check(
        answers,
        ends,
        [[8, -1.0, 0.0, 1.0], [16, -1.0, 0.0, 1.0], [64, -1.0, 0.0, 1.0]],
        holds="2^bits levels, of which the first is -1, one is 0 and the last is 1",
        inputs={"bits": [3, 4, 6]},
        section="The mathematics",
        tolerance=0,
    )


def quantiles(bits):
    """The levels by the definition, with Python's own quantile function."""
    count = 2**bits
    outermost = statistics.mean([1 - 1 / (2 * count - 2), 1 - 1 / (2 * count)])
    largest, levels = statistics.NormalDist().inv_cdf(outermost), [0.0]
    for sign, steps in ((-1, count // 2 - 1), (1, count // 2)):
        points = [0.5 + (outermost - 0.5) * step / steps for step in range(1, steps + 1)]
        levels += [sign * statistics.NormalDist().inv_cdf(point) / largest for point in points]
    return torch.tensor(sorted(levels))


def test_nf4_levels_of_other_widths_are_the_quantiles_of_pythons_own_function(answers):
    check(
        answers,
        lambda answers: [answers.nf4_levels(bits) for bits in (2, 3, 5)],
        [quantiles(bits) for bits in (2, 3, 5)],
        holds="level = Phi^-1(p) / Phi^-1(outermost), with n / 2 - 1 levels below 0 and n / 2 above, n = 2^bits",
        inputs={"bits": [2, 3, 5]},
        section="The mathematics",
        tolerance=1e-6,
    )


def test_quantize_blocks_gives_the_numbers_worked_by_hand(answers):
    values = torch.tensor([0.08, -0.4, 0.35, 0.0, 6.0, 2.0, -3.5, -5.0, 0.9, 1.1])
    check(
        answers,
        lambda answers: answers.quantize_blocks(values, FIVE, 4),
        (torch.tensor([2, 0, 4, 2, 4, 3, 1, 0, 4, 4]), torch.tensor([0.4, 6.0, 1.1])),
        holds="code = index of the level nearest to w / absmax of its block",
        inputs={"values": values.tolist(), "levels": FIVE.tolist(), "block_size": 4},
        section="The mathematics",
    )


def test_quantize_blocks_takes_the_nearest_level_written_as_loops(answers):
    values, levels = 0.3 * random(150, seed=1), LEVELS["nf4"]()
    codes, absmax = [], []
    for start in range(0, 150, 64):
        block = values[start : start + 64].double().tolist()
        absmax.append(max(abs(number) for number in block))
        for number in block:
            distances = [abs(level - number / absmax[-1]) for level in levels.double().tolist()]
            codes.append(distances.index(min(distances)))
    check(
        answers,
        lambda answers: answers.quantize_blocks(values, levels, 64),
        (torch.tensor(codes), torch.tensor(absmax)),
        holds="code = index of the level nearest to w / absmax of its block",
        inputs={"values": values, "levels": levels, "block_size": 64},
        section="The mathematics",
    )


def test_quantize_blocks_keeps_a_block_of_zeros(answers):
    values = torch.tensor([0.0, 0.0, 0.0, 2.0, -1.0, 0.9])
    check(
        answers,
        lambda answers: answers.quantize_blocks(values, FIVE, 3),
        (torch.tensor([2, 2, 2, 4, 1, 3]), torch.tensor([0.0, 2.0])),
        holds="a block of zeros has absmax 0, and its codes are those of the level 0",
        inputs={"values": values.tolist(), "levels": FIVE.tolist(), "block_size": 3},
        section="The mathematics",
    )


def test_quantize_blocks_agrees_with_the_library(answers):
    values, levels = random(3, 128, seed=2), LEVELS["nf4"]()
    packed, absmax = quantize(values)
    codes = torch.stack([packed >> 4, packed & 15], 1).view(-1).long()
    check(
        answers,
        lambda answers: answers.quantize_blocks(values.view(-1), levels, 64),
        (codes, absmax),
        holds="codes and absmax are those of minipeft.quantization.blockwise.quantize",
        inputs={"values": values.view(-1), "levels": levels, "block_size": 64},
        section="The code",
    )


def test_pack_puts_the_first_code_into_the_low_half(answers):
    codes = torch.tensor([1, 2, 15, 0, 7, 9, 0, 13, 2, 2])
    check(
        answers,
        lambda answers: answers.pack(codes),
        torch.tensor([0x21, 0x0F, 0x97, 0xD0, 0x22]),
        holds="byte = first code + 16 * second code",
        inputs={"codes": codes.tolist()},
        section="The code",
        tolerance=0,
    )


def test_pack_fills_the_half_byte_left_over_with_the_code_of_zero(answers):
    codes = torch.tensor([3, 14, 5])
    check(
        answers,
        lambda answers: answers.pack(codes),
        torch.tensor([0xE3, 0x75]),
        holds="with an odd number of codes, the last high half is 7, the level 0",
        inputs={"codes": codes.tolist()},
        section="The code",
        tolerance=0,
    )


def test_pack_takes_one_byte_for_two_codes(answers):
    def size(answers):
        packed = answers.pack(torch.arange(16))
        return {"bytes": packed.numel() * packed.element_size(), "type": str(packed.dtype)}

    check(
        answers,
        size,
        {"bytes": 8, "type": "torch.uint8"},
        holds="16 codes take 8 bytes",
        inputs={"codes": list(range(16))},
        section="The code",
        tolerance=0,
    )


def test_pack_is_the_librarys_with_the_halves_exchanged(answers):
    values = random(5, 13, seed=3)
    scaled, _ = scale_to_one(values.view(-1), 64)
    levels = LEVELS["nf4"]()
    codes = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2)
    packed = quantize(values)[0]
    check(
        answers,
        lambda answers: answers.pack(codes),
        packed >> 4 | packed << 4,
        holds="the bytes are those of minipeft.quantization.blockwise.quantize, high and low half exchanged",
        inputs={"codes": codes},
        section="The code",
        tolerance=0,
    )


def layer(dtype=torch.float32):
    """x (5, 24), W (10, 24), A (3, 24), B (10, 3)."""
    codes, absmax = quantize(random(10, 24, seed=4))
    return [random(5, 24, seed=5, dtype=dtype), codes, absmax, random(3, 24, seed=6, dtype=dtype),
            random(10, 3, seed=7, dtype=dtype)]  # fmt: skip


def qlora_inputs(x, codes, absmax, A, B):
    return {"x": x, "codes": codes, "absmax": absmax, "A": A, "B": B, "alpha": 7.5}


def loops(x, weight, A, B, scale):
    """W x + scale B A x, number by number in float64."""
    x, weight, A, B = (tensor.double().tolist() for tensor in (x, weight, A, B))
    result = []
    for row in x:
        low = [sum(a * value for a, value in zip(line, row, strict=True)) for line in A]
        plain = [sum(w * value for w, value in zip(line, row, strict=True)) for line in weight]
        added = [scale * sum(b * value for b, value in zip(line, low, strict=True)) for line in B]
        result.append([first + second for first, second in zip(plain, added, strict=True)])
    return torch.tensor(result)


def test_qlora_output_is_the_quantized_weights_and_the_scaled_update(answers):
    x, codes, absmax, A, B = layer()
    check(
        answers,
        lambda answers: answers.qlora_output(x, codes, absmax, A, B, 7.5),
        loops(x, dequantize(codes, absmax, (10, 24)), A, B, 2.5),
        holds="y = W_q x + (alpha / rank) * B A x",
        inputs=qlora_inputs(x, codes, absmax, A, B),
        section="The mathematics",
        tolerance=1e-4,
        trained=("x", "A", "B"),
    )


def test_qlora_output_lets_gradients_reach_x_and_both_factors(answers):
    x, codes, absmax, A, B = layer()
    weight, factor = dequantize(codes, absmax, (10, 24)), random(5, 10, seed=8)

    def gradients(answers):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, A, B)]
        output = answers.qlora_output(leaves[0], codes, absmax, leaves[1], leaves[2], 7.5)
        (output * factor).sum().backward()
        return [leaf.grad for leaf in leaves]

    expected = [
        factor @ weight + 2.5 * factor @ B @ A,
        2.5 * (factor @ B).T @ x,
        2.5 * factor.T @ (x @ A.T),
    ]
    check(
        answers,
        gradients,
        expected,
        holds="gradients: G (W_q + s B A) for x, s (G B)^T x for A, s G^T (x A^T) for B, where s = alpha / rank",
        inputs=qlora_inputs(x, codes, absmax, A, B),
        section="The mathematics",
        tolerance=1e-4,
    )


def test_qlora_output_computes_in_the_type_of_x(answers):
    inputs = layer(torch.bfloat16)
    check(
        answers,
        lambda answers: str(answers.qlora_output(*inputs, 7.5).dtype),
        "torch.bfloat16",
        holds="4 bits are how W is kept; the product is computed in the type of x",
        inputs=qlora_inputs(*inputs),
        section="The code",
    )


def round_trip_with(levels, absmax_of=lambda block: block.abs().max(), nearest=True):
    """A round trip of blocks of its own making."""

    def round_trip(values, block_size):
        left = []
        for block in values.split(block_size):
            largest = absmax_of(block).clamp(min=1e-30)
            scaled = (block / largest).clamp(-1, 1)
            edges = (levels[1:] + levels[:-1]) / 2 if nearest else levels[1:] - 1e-5
            left.append(levels[torch.bucketize(scaled, edges)] * largest)
        return torch.cat(left)

    return round_trip


def library(values, block_size):
    return dequantize(*quantize(values, "nf4", block_size), values.shape, "nf4", block_size)


def one_scale(values, block_size):
    return library(values, len(values))


def without_the_rest(values, block_size):
    left = library(values, block_size)
    left[len(values) // block_size * block_size :] = 0
    return left


def exchanged(values, block_size):
    packed, absmax = quantize(values, "nf4", block_size)
    return dequantize(packed >> 4 | packed << 4, absmax, values.shape, "nf4", block_size)


NF4 = LEVELS["nf4"]()
NO_ZERO = torch.special.ndtri(torch.linspace(1 - 0.9677083, 0.9677083, 16, dtype=torch.float64)).float()


def in_double(values, block_size):
    """Right: computed in float64, of two levels equally near the upper one."""
    return -round_trip_with(-NF4.double().flip(0))(-values.double(), block_size).to(values.dtype)


loop = round_trip_with(NF4)
RIGHT = {"the library's": library, "a loop over blocks": loop, "float64 within": in_double}
WRONG = {
    "one absmax for all blocks": one_scale,
    "no level 0": round_trip_with(NO_ZERO / NO_ZERO[-1]),
    "the level below, not the nearest": round_trip_with(NF4, nearest=False),
    "the largest number, not the largest size": round_trip_with(NF4, lambda block: block.max()),
    "cut off at 90% of the absmax": round_trip_with(NF4, lambda block: 0.9 * block.abs().max()),
    "a shorter last block is lost": without_the_rest,
    "the two codes of a byte exchanged": exchanged,
    "the input given back": lambda values, block_size: values,
    "everything a thousandth smaller": lambda values, block_size: 0.999 * library(values, block_size),
    "always 0": lambda values, block_size: 0 * values,
}


def test_check_round_trip_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_round_trip",
        RIGHT,
        WRONG,
        holds="your test passes a right round trip and fails for each wrong one",
        section="The mathematics",
    )


def llama_layers():
    """The layers of the exercise without numbers in them."""
    with torch.device("meta"):
        square = [nn.Linear(4096, 4096, bias=False, dtype=torch.float16) for _ in range(4)]
        return 32 * [*square, *(nn.Linear(4096, 11008, bias=False, dtype=torch.float16) for _ in range(3))]


def bytes_of_the_layers(double_quantization):
    """Counted by the library's own class; equal shapes are counted once."""
    sizes = {}
    for linear in llama_layers():
        if linear.weight.shape not in sizes:
            stored = QuantizedLinear(linear, double_quantization=double_quantization)
            sizes[linear.weight.shape] = stored.stored_bytes()
    return sum(sizes[linear.weight.shape] for linear in llama_layers())


PLAIN_BYTES = 2 * (32000 * 4096 + 32000 * 4096 + 65 * 4096)
SHAPE = {"layers": 32, "width": 4096, "inner width": 11008, "vocabulary": 32000}


def test_nf4_bytes_are_those_of_the_real_layers(answers):
    check(
        answers,
        lambda answers: answers.NF4_BYTES,
        bytes_of_the_layers(False) + PLAIN_BYTES,
        holds="half a byte for each quantized number, 4 bytes for each block of 64, 2 bytes for each other number",
        inputs=SHAPE,
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_double_nf4_bytes_are_those_of_the_real_layers(answers):
    check(
        answers,
        lambda answers: answers.DOUBLE_NF4_BYTES,
        bytes_of_the_layers(True) + PLAIN_BYTES,
        holds="1 byte for each block of 64, 4 for each 256 blocks, 4 for each matrix; the codes and the rest as before",
        inputs=SHAPE,
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_lora_state_bytes_count_weights_gradients_and_averages(answers):
    numbers = sum(64 * (linear.in_features + linear.out_features) for linear in llama_layers())
    check(
        answers,
        lambda answers: answers.LORA_STATE_BYTES,
        16 * numbers,
        holds="rank * (in + out) numbers for each matrix; of each 4 bytes of weight, 4 of gradient, 8 of Adam",
        inputs={**SHAPE, "rank": 64},
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def merge_case():
    """codes and absmax of W_q (10, 48), A (3, 48), B (10, 3), alpha / rank = 2.5, and the sum."""
    codes, absmax = quantize(0.2 * random(10, 48, seed=9))
    A, B = 0.1 * random(3, 48, seed=10), 0.3 * random(10, 3, seed=11)
    merged = torch.addmm(dequantize(codes, absmax, (10, 48)).double(), B.double(), A.double(), alpha=2.5)
    return codes, absmax, A, B, merged.float()


def test_merge_requantized_stores_the_sum(answers):
    codes, absmax, A, B, merged = merge_case()
    check(
        answers,
        lambda answers: dequantize(*answers.merge_requantized(codes, absmax, A, B, 7.5)[:2], (10, 48)),
        round_trip_with(NF4)(merged.view(-1), 64).view(10, 48),
        holds="W_q + (alpha / rank) * B A is stored, with absmax numbers of its own",
        inputs={"codes": codes, "absmax": absmax, "A": A, "B": B, "alpha": 7.5},
        section="The mathematics",
    )


def test_merge_requantized_tells_the_error(answers):
    codes, absmax, A, B, merged = merge_case()
    stored = round_trip_with(NF4)(merged.view(-1), 64).view(10, 48).double()
    lost, size = (stored - merged.double()).square().sum() ** 0.5, merged.double().square().sum() ** 0.5
    check(
        answers,
        lambda answers: answers.merge_requantized(codes, absmax, A, B, 7.5)[2],
        float(lost / size),
        holds="error = |stored - sum| / |sum|, in Frobenius norms",
        inputs={"codes": codes, "absmax": absmax, "A": A, "B": B, "alpha": 7.5},
        section="The mathematics",
    )
