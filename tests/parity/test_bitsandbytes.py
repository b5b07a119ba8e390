"""4-bit weights against bitsandbytes on the CPU, bit for bit: codes, bytes, absmax and the values they stand for.

Written for bitsandbytes 0.50: its 8-bit kernel rounds to a grid of 65,536 points before it looks for the nearest code,
and that, too, is the same here. Its AVX-512 kernel for writing weights out begins a new block with every row where rows
are a multiple of 16 long and not of the block: there its weights are wrong (0.25 off where quantizing costs 0.09), and
unlike those of its other paths. Told that a tensor is one long row, all its paths agree, and so it is asked here.
The sign of a zero is not compared: for fp4's second zero their paths differ in it.
"""

import math

import pytest
import torch

bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs minipeft[parity]")

from torch import nn  # noqa: E402

from minipeft.methods.low_rank.loftq import LoftQ  # noqa: E402
from minipeft.quantization.blockwise import dequantize, quantize  # noqa: E402
from minipeft.quantization.data_types import LEVELS  # noqa: E402
from minipeft.quantization.double_quantization import compress, dynamic_map, restore  # noqa: E402
from minipeft.quantization.linear import QuantizedLinear  # noqa: E402

theirs = bitsandbytes.functional
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHAPES = [(64,), (48, 80), (33, 50), (1, 1), (63,), (65,), (129, 65), (5, 3, 40), (2, 700)]
formats = pytest.mark.parametrize("format", ["nf4", "fp4"])
types = pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(autouse=True)
def without_compiling():
    """For odd sizes they compile a function for every shape, which takes seconds and changes nothing."""
    with torch.compiler.set_stance("force_eager"):
        yield


def assert_same(ours, other):
    """Equal in type and in every number; both are read as one row."""
    assert ours.dtype == other.dtype and torch.equal(ours.reshape(-1), other.reshape(-1))


def their_values(codes, state):
    """What their codes stand for, as one row."""
    state.shape = (math.prod(state.shape),)
    return theirs.dequantize_4bit(codes, state)


def numbers(shape, dtype, kind="normal"):
    """Random numbers, or such as are hard: whole blocks of zeros, equal, huge and tiny ones, and ties."""
    values = 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
    flat = values.view(-1)
    if kind == "zeros":
        flat[:130] = 0.0
        flat[1::7] = -0.0
        flat[-10:] = 0.0  # all of a short last block
    elif kind == "steep":
        flat *= 10.0 ** torch.linspace(-6, 4, flat.numel())
    elif kind == "ties":
        levels = LEVELS["nf4"]().repeat(flat.numel() // 16 + 1)[: flat.numel()]
        flat.copy_((levels + levels.roll(-1)) / 2)
        flat[::64] = 1.0
    elif kind == "equal":
        flat.fill_(-0.3)
    return values.to(dtype)


def test_the_tables_are_theirs():
    for format in ("nf4", "fp4"):
        assert_same(LEVELS[format](), theirs.get_4bit_type(format, device="cpu"))
    assert_same(dynamic_map(torch.device("cpu")), theirs.create_dynamic_map())


@formats
@types
@shapes
@pytest.mark.parametrize("kind", ["normal", "zeros", "steep", "ties", "equal"])
def test_codes_absmax_and_values_are_theirs(kind, shape, dtype, format):
    values = numbers(shape, dtype, kind)
    for block_size in (64, 32, 256):
        codes, state = theirs.quantize_4bit(values, blocksize=block_size, quant_type=format)
        ours, absmax = quantize(values, format, block_size)
        assert_same(ours, codes)
        assert_same(absmax, state.absmax)
        got = dequantize(ours, absmax, shape, format, block_size, dtype)
        assert_same(got, their_values(codes, state))


@formats
@types
@shapes
@pytest.mark.parametrize("kind", ["normal", "zeros", "steep", "equal"])
def test_double_quantization_is_theirs(kind, shape, dtype, format):
    values = numbers(shape, dtype, kind)
    packed, state = theirs.quantize_4bit(values, blocksize=64, quant_type=format, compress_statistics=True)
    ours, absmax = quantize(values, format)
    codes, scales, offset = compress(absmax)
    assert_same(codes, state.absmax)
    assert_same(scales, state.state2.absmax)
    assert_same(offset, state.offset)
    got = dequantize(ours, restore(codes, scales, offset), shape, format, dtype=dtype)
    assert_same(got, their_values(packed, state))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 100_000])
def test_the_eight_bit_codes_are_theirs_for_many_blocks_and_near_zero(count):
    absmax = torch.rand(count, generator=torch.Generator().manual_seed(count)) ** 4
    codes, state = theirs.quantize_blockwise(absmax - absmax.mean(), blocksize=256)
    ours, scales, offset = compress(absmax)
    assert_same(ours, codes)
    assert_same(scales, state.absmax)
    assert_same(restore(ours, scales, offset), theirs.dequantize_blockwise(codes, state) + absmax.mean())


@shapes
def test_int8_is_their_linear_map_but_for_numbers_within_their_grid_of_a_tie(shape):
    """They have two codes for zero, and round to the grid first; the values agree where both take the same level."""
    values = numbers(shape, torch.float32)
    codes, state = theirs.quantize_blockwise(values, code=theirs.create_linear_map(), blocksize=64)
    other = theirs.dequantize_blockwise(codes, state).view(-1)
    ours, absmax = quantize(values, "int8")
    assert_same(absmax, state.absmax)
    ours, blocks = dequantize(ours, absmax, (values.numel(),), "int8"), absmax.repeat_interleave(64)[: values.numel()]
    steps = (values.view(-1) / blocks * 127).double()
    at_a_tie = (steps - steps.floor() - 0.5).abs() < 127 * 2 / 65535
    assert at_a_tie.sum() <= math.ceil(0.05 * values.numel())
    torch.testing.assert_close(ours[~at_a_tie], other[~at_a_tie], rtol=1e-6, atol=1e-8)
    assert ((ours - other).abs() <= 1.001 * blocks / 127).all()


@formats
@pytest.mark.parametrize("double_quantization", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_layer_and_its_gradient_are_those_of_linear4bit(dtype, double_quantization, format):
    torch.manual_seed(0)
    plain = nn.Linear(128, 70).to(dtype)
    layer = QuantizedLinear(plain, format, 64, double_quantization)
    other = bitsandbytes.nn.Linear4bit(
        128, 70, compute_dtype=dtype, compress_statistics=double_quantization, quant_type=format
    )
    other.load_state_dict(plain.state_dict())
    other = other.to(dtype).to("cpu")  # which is when it quantizes
    results = []
    for module in (layer, other):
        x = torch.randn(4, 5, 128, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_(True)
        y = module(x)
        y.float().square().sum().backward()
        results.append((y.detach(), x.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5 if dtype is torch.float32 else 1e-2, atol=1e-5)


@pytest.mark.parametrize("shape", [(48, 80), (80, 48)])
def test_loftq_is_the_alternation_with_their_quantization(shape):
    """peft's loftq_init wants a GPU; this is its loop with the same calls, at alpha = rank, where it is right."""
    torch.manual_seed(0)
    layer = nn.Linear(*reversed(shape))
    weight, product = layer.weight.detach(), torch.zeros(shape)
    for _ in range(4):
        stored = their_values(*theirs.quantize_4bit(weight - product, blocksize=64, quant_type="nf4")).view(shape)
        U, S, V_T = torch.linalg.svd(weight - stored, full_matrices=False)
        product = U[:, :6] @ S[:6].diag() @ V_T[:6]
    model = nn.Sequential(layer)
    LoftQ(rank=6, alpha=6.0, targets=("0",), iterations=4, double_quantization=False).attach(model)
    whole = model[0].linear.weight + model[0].update()
    others = (model[0].linear.weight - stored).abs() > 1e-5  # where a rounding of the product turned a code over
    assert others.float().mean() < 0.02
    error, expected = (whole - weight).norm().detach(), (stored + product - weight).norm()
    assert float(error) == pytest.approx(float(expected), rel=2e-3)
